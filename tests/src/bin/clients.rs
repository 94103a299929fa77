//! Runs the real API clients (`tests/clients/run`) against a server of our own.

use std::{
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use basalt_tests::{
    lab::Lab,
    report::Report,
    server::{Server, ServerSpec},
    storage_node::StorageNode,
};

fn main() -> ExitCode {
    let mut report = Report::begin();
    report.scenario("real_clients", run_clients);
    report.scenario("cinder_with_two_copies", run_mirrored_cinder);
    if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The script gets the server's URL and the directory of its credentials; its exit status is the verdict.
fn run_clients() -> Result<()> {
    let lab = Lab::open()?;
    let directory = lab.directory("clients")?;
    // Every volume of theirs has its reserve.
    let spec = ServerSpec { drive_size: "8G", ..ServerSpec::new(&lab.binary, &directory)? };
    let mut server = Server::start(spec)?;
    run_script(&server, &[])?;
    server.stop()
}

/// Three storage nodes, of which two are processes of their own; Cinder's hosts mirror the copies.
fn run_mirrored_cinder() -> Result<()> {
    let lab = Lab::open()?;
    let directory = lab.directory("mirrored")?;
    let options = &["--default-replication", "host"];
    let mut server = Server::start(ServerSpec { options, ..ServerSpec::new(&lab.binary, &directory)? })?;
    let join = |name: &str| StorageNode::join(&server, &directory.join(name), "4G");
    let _nodes = [join("second")?, join("third")?];
    let deadline = Instant::now() + JOIN_LIMIT;
    while server.api().available_backends()? < 3 {
        ensure!(Instant::now() < deadline, "the nodes do not join; see node.log in {}", directory.display());
        thread::sleep(Duration::from_millis(100));
    }
    run_script(&server, &["2"])?;
    server.stop()
}

/// For three starts on a machine that may be very busy.
const JOIN_LIMIT: Duration = Duration::from_secs(120);

fn run_script(server: &Server, arguments: &[&str]) -> Result<()> {
    let status = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/run"))
        .arg(format!("https://{}", server.spec.api))
        .arg(server.spec.credentials())
        .args(arguments)
        .status()
        .context("starting tests/clients/run")?;
    ensure!(status.success(), "tests/clients/run ended with {status}");
    Ok(())
}
