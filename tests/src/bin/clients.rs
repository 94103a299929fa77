//! Runs the real API clients (`tests/clients/run`) against a server of our own.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use basalt_tests::{
    lab::Lab,
    report::Report,
    server::{Server, ServerSpec},
};

fn main() -> ExitCode {
    let mut report = Report::begin();
    report.scenario("real_clients", run_clients);
    if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The script gets the server's URL and the directory of its credentials; its exit status is the verdict.
fn run_clients() -> Result<()> {
    let lab = Lab::open()?;
    let directory = lab.directory("clients")?;
    // Every volume of theirs has its reserve.
    let spec = ServerSpec { drive_size: "8G", ..ServerSpec::new(&lab.binary, &directory)? };
    let mut server = Server::start(spec)?;
    let status = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/run"))
        .arg(format!("https://{}", server.spec.api))
        .arg(server.spec.credentials())
        .status()
        .context("starting tests/clients/run")?;
    ensure!(status.success(), "tests/clients/run ended with {status}");
    server.stop()
}
