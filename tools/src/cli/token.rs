//! `basalt token rotate`.

use clap::Subcommand;
use hyper::Method;
use serde::Deserialize;

use super::{client::Client, error::CliError, report::Report};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a new access token; the one of before is of no use from then on
    Rotate,
}

#[derive(Debug, Deserialize)]
struct Rotated {
    token: String,
}

pub(crate) async fn run(client: &mut Client, command: TokenCommand) -> Result<Report, CliError> {
    let TokenCommand::Rotate = command;
    let json = client.call(Method::POST, "/basalt/v1/tokens:rotate", None).await?;
    let Rotated { token } = client.parse(json.clone())?;
    // Alone on its line, for TOKEN=$(basalt token rotate); the server has replaced its file, too.
    Ok(Report::new(token, json))
}
