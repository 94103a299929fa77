//! `basalt volume path`.

use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::Client,
    error::CliError,
    model::{PathState, VolumePath},
    report::Report,
    resolve,
};

/// How hosts see a volume through a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArgument {
    /// Use it
    Optimized,
    /// Use it where there is nothing better
    NonOptimized,
    /// Do not use it now
    Inaccessible,
    /// Never use it again
    PersistentLoss,
    /// Wait a moment
    Change,
}

impl StateArgument {
    fn word(self) -> String {
        self.to_possible_value().expect("no state is skipped").get_name().to_owned()
    }
}

/// Shows the states, or sets that of one path: `copy` says which of several.
pub(super) async fn run(
    client: &mut Client,
    text: &str,
    state: Option<StateArgument>,
    copy: Option<&str>,
) -> Result<Report, CliError> {
    let volume = resolve::volume(client, text).await?;
    let path = path(&volume.uuid);
    if let Some(state) = state {
        let mut body = json!({ "anaState": state.word() });
        if let Some(copy) = copy {
            body["replicaID"] = resolve::copy(&volume, copy)?.uuid.into();
        }
        client.call(Method::POST, &path, Some(body)).await?;
    }
    let json: Value = client.get(&path).await?;
    let now: PathState = client.parse(json.clone())?;
    let line = |path: &VolumePath| {
        let state = path.ana_state.as_deref().unwrap_or(UNKNOWN);
        format!("the path of {} through node {} is {state}\n", volume.alias, path.persistent_id)
    };
    Ok(Report::new(now.paths.iter().map(line).collect::<String>(), json))
}

const UNKNOWN: &str = "not known: the node does not answer";

/// What is worth a line about the volume's paths: all but that they are as usual.
pub(super) async fn remark(client: &mut Client, uuid: &str) -> Result<Option<String>, CliError> {
    match client.get::<PathState>(&path(uuid)).await {
        Ok(PathState { paths }) => Ok(worth_a_line(&paths)),
        // Its node is away; the volume is shown all the same.
        Err(CliError::Refused { code, message }) if code == "not_available" => {
            Ok(Some(format!("not known: {message}")))
        }
        Err(error) => Err(error),
    }
}

fn worth_a_line(paths: &[VolumePath]) -> Option<String> {
    let unusual = paths.iter().filter(|path| path.ana_state.as_deref() != Some("optimized"));
    let remark = |path: &VolumePath| {
        let state = path.ana_state.as_deref().unwrap_or(UNKNOWN);
        match paths.len() {
            1 => state.to_owned(),
            _ => format!("{state}, through {}", path.persistent_id),
        }
    };
    let remarks: Vec<String> = unusual.map(remark).collect();
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

fn path(uuid: &str) -> String {
    format!("/basalt/v1/volumes/{uuid}/path-state")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unusual_is_worth_a_line() {
        let path = |node: &str, state: Option<&str>| VolumePath {
            persistent_id: node.to_owned(),
            ana_state: state.map(str::to_owned),
        };
        let usual = path("a", Some("optimized"));
        assert_eq!(worth_a_line(&[usual.clone(), usual.clone()]), None);
        assert_eq!(worth_a_line(&[path("a", Some("change"))]).as_deref(), Some("change"));
        let one = [usual.clone(), path("b", Some("inaccessible"))];
        assert_eq!(worth_a_line(&one).as_deref(), Some("inaccessible, through b"));
        let away = worth_a_line(&[usual, path("b", None)]).expect("a line");
        assert!(away.starts_with("not known") && away.ends_with("through b"), "{away}");
    }
}
