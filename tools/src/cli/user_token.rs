//! `basalt user token …`: access tokens (session.md §7).

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    report::{Report, table},
    resolve,
    timestamp::utc,
    token::parse_lifetime,
};

#[derive(Debug, Subcommand)]
pub(crate) enum UserTokenCommand {
    /// Make a token that speaks for a user, and print it this once
    Create {
        /// Name or id
        user: String,
        /// How long it is good for, such as 12h or 30d [default: for ever]
        #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
        expires: Option<u64>,
    },
    /// List such tokens
    List,
    /// Refuse a token from now on
    Delete {
        /// As `list` shows it
        id: String,
    },
}

#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<Value>,
    paging: Paging,
}

#[derive(Debug, Deserialize)]
struct Paging {
    next: String,
}

#[derive(Debug, Deserialize)]
struct AccessToken {
    id: String,
    user: Owner,
    creation_time: String,
    expiration_time: Option<String>,
    enabled: bool,
}

#[derive(Debug, Deserialize)]
struct Owner {
    auth_id: String,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Made {
    bearer_token: String,
}

pub(crate) async fn run(client: &mut Client, command: UserTokenCommand) -> Result<Report, CliError> {
    match command {
        UserTokenCommand::Create { user, expires } => {
            let user = resolve::user(client, &user).await?;
            let body = json!({ "user": { "auth_id": user.id }, "expiration_time": expires.map(in_seconds) });
            let json = client.call(Method::POST, "/v1/auth/access-tokens/", Some(body)).await?;
            let Made { bearer_token } = client.parse(json.clone())?;
            Ok(Report::new(bearer_token, json))
        }
        UserTokenCommand::List => list(client).await,
        UserTokenCommand::Delete { id } => {
            client.call(Method::DELETE, &format!("/v1/auth/access-tokens/{}", encode(&id)), None).await?;
            Ok(Report::new(format!("deleted token {id}"), json!({ "deleted": id })))
        }
    }
}

/// RFC 3339, in UTC.
fn in_seconds(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    utc((now + seconds) * 1000).replace(' ', "T") + "Z"
}

async fn list(client: &mut Client) -> Result<Report, CliError> {
    let mut entries = Vec::new();
    let mut next = "/v1/auth/access-tokens/".to_owned();
    while !next.is_empty() {
        let page: Page = client.get(&next).await?;
        entries.extend(page.entries);
        next = page.paging.next;
    }
    let json = Value::from(entries);
    let tokens: Vec<AccessToken> = client.parse(json.clone())?;
    if tokens.is_empty() {
        return Ok(Report::new("no user has such tokens", json));
    }
    let rows = tokens.into_iter().map(|token| {
        let expires = token.expiration_time.unwrap_or_else(|| "never".to_owned());
        let enabled = if token.enabled { "yes" } else { "no" };
        let user = token.user.name.unwrap_or(token.user.auth_id);
        [token.id, user, token.creation_time, expires, enabled.to_owned()]
    });
    Ok(Report::new(table(["ID", "USER", "MADE", "EXPIRES", "ENABLED"], rows), json))
}
