//! `basalt events`.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::Value;

use super::{client::Client, error::CliError, model::Event, report::Report, timestamp::utc};

#[derive(Debug, clap::Args)]
pub(crate) struct EventsArguments {
    /// Only those after the event with this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// Go on and print each new event, until interrupted
    #[arg(long)]
    follow: bool,
}

/// With `--follow` it prints by itself and ends only when nobody reads any more.
pub(crate) async fn run(
    client: &mut Client,
    arguments: EventsArguments,
    json: bool,
) -> Result<Report, CliError> {
    let (events, value) = read(client, arguments.after).await?;
    if !arguments.follow {
        let text: String = events.iter().map(line).collect();
        let text = if text.is_empty() { "no events".to_owned() } else { text };
        return Ok(Report::new(text, value));
    }
    let mut after = arguments.after;
    let (mut events, mut value) = (events, value);
    loop {
        let text = match (json, &value) {
            (true, Value::Array(list)) => list.iter().map(|event| format!("{event}\n")).collect(),
            _ => events.iter().map(line).collect::<String>(),
        };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(Report { text: String::new(), json: Value::Null, has_problems: false });
            }
            done => done.map_err(CliError::Output)?,
        }
        drop(out);
        after = events.last().map_or(after, |event| event.sequence);
        tokio::time::sleep(LOOK).await;
        (events, value) = read(client, after).await?;
    }
}

async fn read(client: &mut Client, after: u64) -> Result<(Vec<Event>, Value), CliError> {
    let json: Value = client.get(&format!("/basalt/v1/events?after={after}")).await?;
    Ok((client.parse(json.clone())?, json))
}

fn line(event: &Event) -> String {
    format!("{:>6}  {}  {:<17} {}\n", event.sequence, utc(event.time), event.kind, event.message)
}

/// People see a new event within this time.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each() {
        let event = Event {
            sequence: 12,
            time: 1_795_309_323_000,
            kind: "drive-state".to_owned(),
            message: "drive a has failed: gone".to_owned(),
        };
        let expected = "    12  2026-11-22 01:02:03  drive-state       drive a has failed: gone\n";
        assert_eq!(line(&event), expected);
    }
}
