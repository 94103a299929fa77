//! `basalt volume path`.

use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};

use super::{client::Client, error::CliError, model::PathState, report::Report, resolve};

/// How hosts see a volume through this node.
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

/// Shows the state, or sets it.
pub(super) async fn run(
    client: &mut Client,
    text: &str,
    state: Option<StateArgument>,
) -> Result<Report, CliError> {
    let volume = resolve::volume(client, text).await?;
    let path = path(&volume.uuid);
    if let Some(state) = state {
        client.call(Method::POST, &path, Some(json!({ "anaState": state.word() }))).await?;
    }
    let json: Value = client.get(&path).await?;
    let now: PathState = client.parse(json.clone())?;
    Ok(Report::new(format!("the path of {} through this node is {}", volume.alias, now.ana_state), json))
}

/// What is worth a line about the volume's path: all but that it is as usual.
pub(super) async fn remark(client: &mut Client, uuid: &str) -> Result<Option<String>, CliError> {
    match client.get::<PathState>(&path(uuid)).await {
        Ok(now) => Ok(Some(now.ana_state).filter(|state| state != "optimized")),
        // Its node is away; the volume is shown all the same.
        Err(CliError::Refused { code, message }) if code == "not_available" => {
            Ok(Some(format!("not known: {message}")))
        }
        Err(error) => Err(error),
    }
}

fn path(uuid: &str) -> String {
    format!("/basalt/v1/volumes/{uuid}/path-state")
}
