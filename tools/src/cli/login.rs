//! `basalt login`

use clap::Args;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::{client::Client, error::CliError, password, report::Report};

#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// Whose password is asked for, or read from standard input
    user: String,
}

#[derive(Debug, Deserialize)]
struct Session {
    bearer_token: String,
}

/// The bearer alone on its line, for `export BASALT_TOKEN=$(basalt login alice)`.
pub(crate) async fn run(client: &mut Client, arguments: LoginArguments) -> Result<Report, CliError> {
    let password = password::read(&arguments.user)?;
    let body = json!({ "username": arguments.user, "password": *password });
    let json = client.call(Method::POST, "/v1/session/login", Some(body)).await?;
    let Session { bearer_token } = client.parse(json.clone())?;
    Ok(Report::new(bearer_token, json))
}
