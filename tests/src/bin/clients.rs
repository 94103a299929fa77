//! Real API clients, a real authorization server, a browser, a search for secrets and a fuzzer of the API document
//! (`tests/clients`), each against a server of our own.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use basalt_tests::{
    command::output_of,
    lab::Lab,
    report::Report,
    server::{Server, ServerSpec},
    storage_node::StorageNode,
};

fn main() -> Result<ExitCode> {
    let lab = Lab::open()?;
    let mut report = Report::begin();
    report.scenario("real_clients", || real_clients(&lab));
    report.scenario("cinder_with_two_copies", || cinder_with_two_copies(&lab));
    report.scenario("real_authorization_server", || real_authorization_server(&lab));
    report.scenario("secrets_stay_inside", || secrets_stay_inside(&lab));
    report.scenario("a_thousand_volumes", || a_thousand_volumes(&lab));
    report.scenario("administration", || administration(&lab));
    report.scenario("browser", || browser(&lab));
    report.scenario("api_document", || api_document(&lab));
    Ok(if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn real_clients(lab: &Lab) -> Result<()> {
    let directory = lab.directory("clients")?;
    // Every volume of theirs has its reserve. The rest is as docs/cinder.md tells operators to start it.
    let arguments = mirrored_by_hosts();
    let spec = ServerSpec { drive_size: "8G", arguments, ..ServerSpec::new(&lab.binary, &directory)? };
    judged_by("run", Server::start(spec)?, &[])
}

/// The script starts its servers itself: they are configured in several ways.
fn administration(lab: &Lab) -> Result<()> {
    let status = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/admin"))
        .arg(&lab.binary)
        .arg(lab.binary.with_file_name("xtask"))
        .status()
        .context("starting tests/clients/admin")?;
    ensure!(status.success(), "tests/clients/admin ended with {status}");
    Ok(())
}

fn mirrored_by_hosts() -> Vec<OsString> {
    ["--default-replication", "host"].map(OsString::from).into()
}

fn cinder_with_two_copies(lab: &Lab) -> Result<()> {
    let directory = lab.directory("mirrored")?;
    let (server, _nodes) = three_nodes(lab, &directory, "4G", mirrored_by_hosts())?;
    judged_by("run", server, &["2".into()])
}

fn a_thousand_volumes(lab: &Lab) -> Result<()> {
    // Small volumes of a small reserve, of which all have room.
    let arguments = ["--reserve-floor-gib", "0"].map(OsString::from).into();
    let (server, _nodes) = three_nodes(lab, &lab.directory("crowd")?, "16G", arguments)?;
    judged_by("crowd.py", server, &[])
}

/// Two of them are processes of their own.
fn three_nodes(
    lab: &Lab,
    directory: &Path,
    drive_size: &'static str,
    arguments: Vec<OsString>,
) -> Result<(Server, [StorageNode; 2])> {
    let spec = ServerSpec { drive_size, arguments, ..ServerSpec::new(&lab.binary, directory)? };
    let server = Server::start(spec)?;
    let join = |name: &str| StorageNode::join(&server, &directory.join(name), drive_size);
    let nodes = [join("second")?, join("third")?];
    server.await_backends(3)?;
    Ok((server, nodes))
}

fn real_authorization_server(lab: &Lab) -> Result<()> {
    let directory = lab.directory("issuer")?;
    let certificate = directory.join("issuer.pem");
    let key = directory.join("issuer.key");
    make_certificate(&certificate, &key)?;
    let arguments = vec!["--trust-ca".into(), certificate.clone().into()];
    let spec = ServerSpec { arguments, ..ServerSpec::new(&lab.binary, &directory)? };
    judged_by("oidc/run", Server::start(spec)?, &[certificate, key])
}

/// Nor does the fullest log tell them.
fn secrets_stay_inside(lab: &Lab) -> Result<()> {
    let arguments = ["--log", "trace"].map(OsString::from).into();
    let spec = ServerSpec { arguments, ..ServerSpec::new(&lab.binary, &lab.directory("secrets")?)? };
    let searched = [spec.data(), spec.log()];
    judged_by("secrets.py", Server::start(spec)?, &searched)
}

/// The pictures that it takes stay in `vm/scratch/browser` of cargo's target directory.
fn browser(lab: &Lab) -> Result<()> {
    let directory = lab.directory("browser")?;
    judged_by("browser/run", Server::start(ServerSpec::new(&lab.binary, &directory)?)?, &[directory])
}

/// For as long as `BASALT_FUZZ_SECONDS` says.
fn api_document(lab: &Lab) -> Result<()> {
    let spec = ServerSpec::new(&lab.binary, &lab.directory("fuzz")?)?;
    let seconds = env::var_os("BASALT_FUZZ_SECONDS").map(PathBuf::from);
    judged_by("fuzz", Server::start(spec)?, seconds.as_slice())
}

/// The script gets the server's URL, the directory of its credentials and what follows; its exit status is the verdict.
fn judged_by(script: &str, mut server: Server, arguments: &[PathBuf]) -> Result<()> {
    let status = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script))
        .arg(format!("https://{}", server.spec.api))
        .arg(server.spec.credentials())
        .args(arguments)
        .status()
        .with_context(|| format!("starting tests/clients/{script}"))?;
    ensure!(status.success(), "tests/clients/{script} ended with {status}");
    server.stop()
}

/// Of a server at 127.0.0.1, signed with its own key.
fn make_certificate(certificate: &Path, key: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-subj", "/CN=issuer", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(certificate)
        .arg("-keyout")
        .arg(key);
    output_of(&mut openssl).map(drop)
}
