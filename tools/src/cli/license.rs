//! `basalt license …`

use std::path::PathBuf;

use clap::Subcommand;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{client::Client, error::CliError, file, report::Report};

#[derive(Debug, Subcommand)]
pub(crate) enum LicenseCommand {
    /// Which license there is, and what it allows
    Show,
    /// Install a license
    Install {
        /// Holds the signed license
        file: PathBuf,
    },
}

/// The contract's License object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct License {
    #[serde(rename = "type")]
    license_type: String,
    expiration_date: Option<String>,
    max_backends: Option<u64>,
}

pub(crate) async fn run(client: &mut Client, command: LicenseCommand) -> Result<Report, CliError> {
    match command {
        LicenseCommand::Show => {}
        LicenseCommand::Install { file } => {
            let license = file::read(&file)?;
            client.call(Method::POST, "/license", Some(json!({ "license": license.trim() }))).await?;
        }
    }
    let json: Value = client.get("/license").await?;
    let license: License = client.parse(json.clone())?;
    Ok(Report::new(lines(&license), json))
}

fn lines(license: &License) -> String {
    let expires = license.expiration_date.as_deref().unwrap_or("never");
    let nodes =
        license.max_backends.map_or_else(|| "any number".to_owned(), |most| format!("at most {most}"));
    format!("{}\n  expires        {expires}\n  storage nodes  {nodes}\n", license.license_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_license_allows() {
        let lines = |json: Value| lines(&serde_json::from_value(json).unwrap());
        assert_eq!(
            lines(json!({"type": "POC"})),
            "POC\n  expires        never\n  storage nodes  any number\n"
        );
        let limited =
            json!({"type": "PRODUCTION", "expirationDate": "2100-03-01T00:00:00.000+0000", "maxBackends": 3});
        let expected =
            "PRODUCTION\n  expires        2100-03-01T00:00:00.000+0000\n  storage nodes  at most 3\n";
        assert_eq!(lines(limited), expected);
    }
}
