//! `basalt conformance`: any NVMe/TCP target, judged check by check.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use conformance::{Credentials, Options, Outcome, Row, Secret};
use nvmeof::Nqn;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    error::CliError,
    file,
    report::{Report, table},
};

#[derive(Debug, Args)]
pub(crate) struct ConformanceArguments {
    /// The target's address and port
    #[arg(long, value_name = "ADDR:PORT", required_unless_present = "list")]
    addr: Option<String>,
    /// The subsystem
    #[arg(long, value_parser = parse_nqn, required_unless_present = "list")]
    nqn: Option<Nqn>,
    /// Who we are; the target has to let this host in [default: one made of the host identifier]
    #[arg(long, value_name = "NQN", value_parser = parse_nqn)]
    host_nqn: Option<Nqn>,
    /// Our host identifier [default: a random one]
    #[arg(long, value_name = "UUID")]
    host_id: Option<Uuid>,
    /// Our secret, DHHC-1:..., where the target asks for one; others on this machine see it, better is --dhchap-secret-file
    #[arg(long, value_name = "SECRET", conflicts_with = "dhchap_secret_file")]
    dhchap_secret: Option<String>,
    /// A file with our secret
    #[arg(long, value_name = "FILE")]
    dhchap_secret_file: Option<PathBuf>,
    /// The controller's secret, which the target then has to prove
    #[arg(long, value_name = "SECRET", conflicts_with = "dhchap_ctrl_secret_file")]
    dhchap_ctrl_secret: Option<String>,
    /// A file with the controller's secret
    #[arg(long, value_name = "FILE")]
    dhchap_ctrl_secret_file: Option<PathBuf>,
    /// Another host that the target lets in, for reservations; it has the same secrets
    #[arg(long, value_name = "NQN", value_parser = parse_nqn)]
    second_host_nqn: Option<Nqn>,
    /// The namespace to use [default: the first]
    #[arg(long)]
    nsid: Option<u32>,
    /// Only checks whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Also checks that write to the last 256 KiB of the namespace and put back what was there
    #[arg(long)]
    write: bool,
    /// How long the target may take for one answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Print a Markdown table
    #[arg(long, conflicts_with_all = ["list"])]
    markdown: bool,
    /// List all checks and their sections, and run none
    #[arg(long)]
    list: bool,
}

fn parse_nqn(text: &str) -> Result<Nqn, String> {
    Nqn::new(text).map_err(|error| error.to_string())
}

/// Runs the checks; the report has problems if one did not pass.
pub(super) fn run(arguments: ConformanceArguments) -> Result<Report, CliError> {
    if arguments.list {
        return Ok(list());
    }
    let markdown = arguments.markdown;
    let report = conformance::run(&options(arguments)?).map_err(CliError::Conformance)?;
    let json = json!({
        "passed": report.passed(),
        "failed": report.failed(),
        "skipped": report.skipped(),
        "checks": report.rows.iter().map(row_json).collect::<Vec<_>>(),
    });
    let text = if markdown {
        report.markdown()
    } else {
        format!("{}\n{}\n", rows_text(&report.rows), report.summary())
    };
    Ok(Report::new(text, json).with_problems(report.failed() > 0))
}

fn options(arguments: ConformanceArguments) -> Result<Options, CliError> {
    let (Some(addr), Some(subsystem)) = (arguments.addr, arguments.nqn) else {
        unreachable!("required unless --list is present");
    };
    let host_id = arguments.host_id.unwrap_or_else(Uuid::new_v4);
    let host = match arguments.host_nqn {
        Some(host) => host,
        None => Nqn::new(format!("nqn.2014-08.org.nvmexpress:uuid:{host_id}"))
            .map_err(|error| CliError::Usage(error.to_string()))?,
    };
    Ok(Options {
        credentials: credentials(
            secret("--dhchap-secret", arguments.dhchap_secret, arguments.dhchap_secret_file)?,
            secret("--dhchap-ctrl-secret", arguments.dhchap_ctrl_secret, arguments.dhchap_ctrl_secret_file)?,
        )?,
        // Another identifier that does not change from run to run.
        second_host: arguments.second_host_nqn.map(|nqn| (nqn, Uuid::from_u128(!host_id.as_u128()))),
        nsid: arguments.nsid,
        only: arguments.only,
        write: arguments.write,
        patience: Duration::from_secs(arguments.timeout),
        ..Options::new(resolve(&addr)?, subsystem, host, host_id)
    })
}

/// A secret from the command line or a file.
fn secret(
    name: &'static str,
    text: Option<String>,
    file: Option<PathBuf>,
) -> Result<Option<Secret>, CliError> {
    let text = match (text, file) {
        (Some(text), _) => text,
        (None, Some(file)) => file::read(&file)?,
        (None, None) => return Ok(None),
    };
    // The text itself is not for the screen.
    Secret::parse(text.trim()).map(Some).map_err(|error| CliError::Usage(format!("{name}: {error}")))
}

fn credentials(host: Option<Secret>, controller: Option<Secret>) -> Result<Option<Credentials>, CliError> {
    match (host, controller) {
        (None, Some(_)) => Err(CliError::Usage("--dhchap-ctrl-secret needs --dhchap-secret too".to_owned())),
        (host, controller) => Ok(host.map(|host| Credentials { host, controller })),
    }
}

fn resolve(addr: &str) -> Result<SocketAddr, CliError> {
    let wrong = |reason: &str| CliError::Usage(format!("--addr {addr}: {reason}"));
    let mut found = addr.to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
    found.next().ok_or_else(|| wrong("no such address"))
}

fn list() -> Report {
    let names = conformance::names();
    let json = names.iter().map(|(name, section)| json!({ "name": name, "section": section })).collect();
    let rows = names.into_iter().map(|(name, section)| [name, section.to_owned()]);
    Report::new(table(["NAME", "SECTION"], rows), json)
}

/// One line for each check, and a second one with what was seen where it did not pass.
fn rows_text(rows: &[Row]) -> String {
    let lines = table(
        ["NAME", "RESULT", "SECTION"],
        rows.iter().map(|row| [row.name.clone(), row.outcome.word().to_owned(), row.section.to_owned()]),
    );
    let mut lines = lines.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    for (line, row) in lines.zip(rows) {
        text += line;
        text.push('\n');
        if row.outcome != Outcome::Pass {
            text += &format!("    {}\n", row.outcome.remark());
        }
    }
    text
}

fn row_json(row: &Row) -> Value {
    let mut value = json!({
        "theme": row.theme,
        "name": row.name,
        "section": row.section,
        "result": row.outcome.word().to_lowercase(),
    });
    match &row.outcome {
        Outcome::Pass => {}
        Outcome::Fail { expected, seen } => {
            value["expected"] = expected.as_str().into();
            value["seen"] = seen.as_str().into();
        }
        Outcome::Skip { why } | Outcome::Broken { why } => value["why"] = why.as_str().into(),
    }
    value
}
