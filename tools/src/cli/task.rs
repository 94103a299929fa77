//! `basalt task …`

use std::fmt::Write;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    model::Task,
    report::{Report, table},
    resolve,
};

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// List tasks; those of the server itself go half an hour after their end
    List {
        /// Only those of the host with this id
        #[arg(long, value_name = "ID")]
        host: Option<String>,
    },
    /// Everything about one task
    Show {
        /// Id or the beginning of an id
        task: String,
    },
    /// Forget a task that has ended
    Remove {
        /// Id or the beginning of an id
        task: String,
    },
}

pub(crate) async fn run(client: &mut Client, command: TaskCommand) -> Result<Report, CliError> {
    match command {
        TaskCommand::List { host } => list(client, host).await,
        TaskCommand::Show { task } => show(client, &task).await,
        TaskCommand::Remove { task } => remove(client, &task).await,
    }
}

async fn list(client: &mut Client, host: Option<String>) -> Result<Report, CliError> {
    let query = host.map(|host| format!("?hostId={}", encode(&host))).unwrap_or_default();
    let json: Value = client.get(&format!("/tasks{query}")).await?;
    let tasks: Vec<Task> = client.parse(json.clone())?;
    if tasks.is_empty() {
        return Ok(Report::new("no tasks", json));
    }
    let rows = tasks.into_iter().map(|task| {
        let host = task.host_id.unwrap_or_else(|| "-".to_owned());
        [task.task_id, task.task_type, task.state, format!("{} %", task.progress), host, task.start_date]
    });
    Ok(Report::new(table(["ID", "TYPE", "STATE", "DONE", "HOST", "SINCE (UTC)"], rows), json))
}

async fn show(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let id = resolve::task(client, text).await?.task_id;
    let json: Value = client.get(&format!("/tasks?taskId={}", encode(&id))).await?;
    let mut tasks: Vec<Task> = client.parse(json.clone())?;
    let gone = || CliError::NotFound { what: "task", name: text.to_owned(), hint: String::new() };
    let task = tasks.pop().ok_or_else(gone)?;
    Ok(Report::new(lines(&task), json[0].clone()))
}

fn lines(task: &Task) -> String {
    let mut text = format!("{} {}\n", task.task_type, task.task_id);
    let mut line = |name: &str, value: &str| {
        writeln!(text, "  {name:<14} {value}").expect("a String takes all");
    };
    line("state", &format!("{}, {} % done", task.state, task.progress));
    line("host", task.host_id.as_deref().unwrap_or("none: the server itself"));
    line("started", &task.start_date);
    for (name, value) in
        [("ended", &task.end_date), ("status", &task.task_status), ("description", &task.status_description)]
    {
        if let Some(value) = value {
            line(name, value);
        }
    }
    for setting in &task.task_configuration {
        line(&setting.name, &setting.value);
    }
    text
}

async fn remove(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let id = resolve::task(client, text).await?.task_id;
    client.call(Method::DELETE, &format!("/tasks?taskId={}", encode(&id)), None).await?;
    Ok(Report::new(format!("removed task {id}"), json!({ "removed": id })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_in_lines() {
        let task = json!({"taskId": "t", "state": "RUNNING", "type": "RemoteMigration", "progress": 12.5,
            "hostId": "h", "taskStatus": "syncing", "startDate": "2026-11-22T10:00:00.000", "stoppable": false,
            "taskConfiguration": [{"name": "volId", "value": "v"}]});
        let expected = "RemoteMigration t\n  state          RUNNING, 12.5 % done\n  host           h\n  \
            started        2026-11-22T10:00:00.000\n  status         syncing\n  volId          v\n";
        assert_eq!(lines(&serde_json::from_value(task).unwrap()), expected);
    }
}
