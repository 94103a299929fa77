//! `basalt auth-server …`

use std::path::PathBuf;

use clap::Subcommand;
use hyper::Method;
use serde_json::Value;

use super::{client::Client, error::CliError, file, report::Report};

#[derive(Debug, Subcommand)]
pub(crate) enum AuthServerCommand {
    /// Which authorization server's tokens count; its clients' secrets only with --json
    Show,
    /// Let the tokens of an authorization server count, after trying it
    Set {
        /// Its settings in JSON, as POST /auth_server takes them: a file, since secrets are in it
        file: PathBuf,
    },
    /// Let them count no more
    Clear,
}

pub(crate) async fn run(client: &mut Client, command: AuthServerCommand) -> Result<Report, CliError> {
    match command {
        AuthServerCommand::Show => {
            let json: Value = client.get("/auth_server").await?;
            Ok(Report::new(lines(&json), json))
        }
        AuthServerCommand::Set { file } => {
            let settings: Value = serde_json::from_str(&file::read(&file)?)
                .map_err(|error| CliError::Usage(format!("{} is not JSON: {error}", file.display())))?;
            let json = client.call(Method::POST, "/auth_server", Some(settings)).await?;
            Ok(Report::new("tokens of the authorization server count from now on", json))
        }
        AuthServerCommand::Clear => {
            let json = client.call(Method::DELETE, "/auth_server", None).await?;
            Ok(Report::new("tokens of the authorization server count no more", json))
        }
    }
}

fn lines(settings: &Value) -> String {
    let value = |name: &str| settings[name].as_str();
    let Some(token_url) = value("authorizationServerTokenURL") else {
        return "no authorization server: certificates and this server's own tokens count".to_owned();
    };
    let keys = value("authorizationServerJwkSetURL").unwrap_or("one public key");
    let mut text = format!("{token_url}\n  keys         {keys}\n");
    for (name, resource, client) in [
        ("provisioner", "provisionerResourceID", "provisionerClientID"),
        ("nodes", "backendsResourceID", "backendsClientID"),
    ] {
        let (resource, client) = (value(resource).unwrap_or("-"), value(client).unwrap_or("-"));
        text += &format!("  {name:<12} resource {resource}, client {client}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_without_their_secrets() {
        assert!(lines(&json!({})).starts_with("no authorization server"));
        let settings = json!({"provisionerResourceID": "prov", "provisionerClientID": "p",
            "provisionerClientSecret": "hidden", "backendsResourceID": "back", "backendsClientID": "b",
            "backendsClientSecret": "hidden", "authorizationServerTokenURL": "https://idp/token",
            "authorizationServerJwkSetURL": "https://idp/jwks"});
        let expected = "https://idp/token\n  keys         https://idp/jwks\n  \
            provisioner  resource prov, client p\n  nodes        resource back, client b\n";
        assert_eq!(lines(&settings), expected);
    }
}
