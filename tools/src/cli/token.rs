//! `basalt token …`

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::Client,
    error::CliError,
    model::IssuedToken,
    report::{Report, table},
    resolve,
    timestamp::utc,
};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Issue a token for a person or a program, and print it this once
    Create {
        /// What it lets its holder do
        #[arg(long)]
        role: TokenRole,
        /// How long it is good for, from 1h to 30d [default: 1h; for metrics: for ever]
        #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
        expires: Option<u64>,
        /// What it is for
        #[arg(long)]
        name: Option<String>,
    },
    /// List the tokens that were issued
    List,
    /// Refuse a token from now on
    Revoke {
        /// Id, name, or the beginning of an id
        #[arg(id = "revoked", value_name = "TOKEN")]
        token: String,
    },
    /// Make a new administrator's token; the one of before is of no use from then on
    Rotate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TokenRole {
    /// Sees and changes everything
    Admin,
    /// Sees everything, changes nothing
    Observer,
    /// Reads /metrics, nothing else
    Metrics,
}

#[derive(Debug, Deserialize)]
struct Made {
    token: String,
}

pub(crate) async fn run(client: &mut Client, command: TokenCommand) -> Result<Report, CliError> {
    match command {
        TokenCommand::Create { role, expires, name } => create(client, role, expires, name).await,
        TokenCommand::List => list(client).await,
        TokenCommand::Revoke { token } => revoke(client, &token).await,
        TokenCommand::Rotate => made(client, "/basalt/v1/tokens:rotate", None).await,
    }
}

async fn create(
    client: &mut Client,
    role: TokenRole,
    expires: Option<u64>,
    name: Option<String>,
) -> Result<Report, CliError> {
    let role = match role {
        TokenRole::Admin => "admin",
        TokenRole::Observer => "observer",
        TokenRole::Metrics => "metrics",
    };
    let body = json!({ "role": role, "lifetimeSeconds": expires, "name": name });
    made(client, "/basalt/v1/tokens", Some(body)).await
}

/// The token alone on its line, for TOKEN=$(basalt token …).
async fn made(client: &mut Client, path: &str, body: Option<Value>) -> Result<Report, CliError> {
    let json = client.call(Method::POST, path, body).await?;
    let Made { token } = client.parse(json.clone())?;
    Ok(Report::new(token, json))
}

async fn list(client: &mut Client) -> Result<Report, CliError> {
    let json: Value = client.get("/basalt/v1/tokens").await?;
    let tokens: Vec<IssuedToken> = client.parse(json.clone())?;
    if tokens.is_empty() {
        return Ok(Report::new("no tokens were issued", json));
    }
    let rows = tokens.into_iter().map(|token| {
        let expires = token.expires_ms.map_or_else(|| "never".to_owned(), utc);
        [token.id, token.role, token.name.unwrap_or_default(), utc(token.created_ms), expires]
    });
    Ok(Report::new(table(["ID", "ROLE", "NAME", "ISSUED (UTC)", "EXPIRES"], rows), json))
}

async fn revoke(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let id = resolve::issued_token(client, text).await?.id;
    let json = client.call(Method::DELETE, &format!("/basalt/v1/tokens/{id}"), None).await?;
    Ok(Report::new(format!("revoked token {id}"), json))
}

/// Seconds, of `12h` or `30d`; the server judges the range.
pub(super) fn parse_lifetime(text: &str) -> Result<u64, String> {
    let wrong = || "a time is a whole number and h or d, such as 12h or 30d".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(u64::from(number) * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes() {
        assert_eq!(parse_lifetime("1h"), Ok(3600));
        assert_eq!(parse_lifetime("30d"), Ok(2_592_000));
        for wrong in ["", "h", "1", "-1h", "1.5h", "1m", "1 h", "99999999999d", "1ü"] {
            assert!(parse_lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
