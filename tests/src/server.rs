//! A `basalt serve` process that a scenario starts, kills and starts again.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{api::Api, vm::HOST_ADDRESS};

/// How a server is started; the same again after every kill.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    pub binary: PathBuf,
    /// Holds the data directory, the drive and the log.
    pub directory: PathBuf,
    /// In the form that `--drive` takes.
    pub drive_size: &'static str,
    /// Options behind the drive's path and size, such as `,lossy`.
    pub drive_options: &'static str,
    /// What the server shall do wrong, for the tests of the tests.
    pub fault: Option<Fault>,
    pub api: SocketAddr,
    pub nvme: SocketAddr,
    /// Further portals.
    pub more_nvme: Vec<SocketAddr>,
    /// Further arguments of `basalt serve`.
    pub arguments: Vec<OsString>,
}

/// A defect that the server has on request (`BASALT_TEST_FAULT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The drive's flush does nothing (`lossy` drives only).
    NoFlush,
    /// Mapping records are written half a second after the writes were acknowledged.
    LateRecords,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::NoFlush => "no-flush",
            Self::LateRecords => "late-records",
        }
    }
}

impl ServerSpec {
    /// One 4 GiB drive in `directory`, on ports that are free now.
    pub fn new(binary: &Path, directory: &Path) -> Result<Self> {
        let [api, nvme] = free_ports()?;
        Ok(Self {
            binary: binary.to_owned(),
            directory: directory.to_owned(),
            drive_size: "4G",
            drive_options: "",
            fault: None,
            api,
            nvme,
            more_nvme: Vec::new(),
            arguments: Vec::new(),
        })
    }

    /// Where the server puts its credentials at its first start.
    pub fn credentials(&self) -> PathBuf {
        self.data().join("credentials")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn drive(&self) -> PathBuf {
        self.directory.join("drive")
    }

    /// All that it prints.
    pub fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }
}

/// A running server; dropping it kills it and removes its drive, so that scenarios do not pile up gigabytes. Its log
/// stays.
#[derive(Debug)]
pub struct Server {
    pub spec: ServerSpec,
    child: Child,
}

impl Server {
    /// Starts the server and returns once it says that it is ready.
    pub fn start(spec: ServerSpec) -> Result<Self> {
        let child = spawn(&spec)?;
        let mut server = Self { spec, child };
        server.await_ready()?;
        Ok(server)
    }

    /// The process dies as it stands (SIGKILL); the machine and its drive go on.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the server")?;
        self.child.wait().context("waiting for the killed server")?;
        Ok(())
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], on the same ports, with the same drive.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_some(), "the server still runs");
        self.child = spawn(&self.spec)?;
        self.await_ready()
    }

    /// Asks it to end (SIGTERM) and waits until it has, with success.
    pub fn stop(&mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        crate::command::output_of(Command::new("kill").args(["-TERM", &pid]))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}; its log ends:\n{}", self.log_tail());
        Ok(())
    }

    pub fn api(&self) -> Api {
        Api::new(self.spec.api, &self.spec.credentials())
    }

    pub fn portal(&self) -> SocketAddr {
        self.spec.nvme
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns once so many storage nodes answer, the server's own included.
    pub fn await_backends(&self, nodes: usize) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while self.api().available_backends()? < nodes {
            let directory = self.spec.directory.display();
            ensure!(Instant::now() < deadline, "the nodes do not join; see their node.log in {directory}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Returns once the server has said so many times that it is ready: a restart of its own is one more.
    pub fn await_starts(&mut self, starts: usize) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while fs::read_to_string(self.spec.log())?.matches(" is ready").count() < starts {
            let status = self.child.try_wait()?;
            ensure!(status.is_none(), "the server ended with {status:?}; its log ends:\n{}", self.log_tail());
            ensure!(Instant::now() < deadline, "no start {starts}; the log ends:\n{}", self.log_tail());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn await_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}; its log ends:\n{}", self.log_tail());
            }
            if self.api().is_ready() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the server is not ready; its log ends:\n{}", self.log_tail());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.spec.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        // It may never have come to making one.
        let _removed = fs::remove_file(self.spec.drive());
    }
}

fn spawn(spec: &ServerSpec) -> Result<Child> {
    let log = File::options().create(true).append(true).open(spec.log())?;
    let mut command = Command::new(&spec.binary);
    command
        .arg("serve")
        .arg("--data-dir")
        .arg(spec.data())
        .arg("--drive")
        .arg(format!("{},size={}{}", spec.drive().display(), spec.drive_size, spec.drive_options))
        .args(["--api", &spec.api.to_string()])
        .args(["--cores", "2"])
        .stdin(Stdio::null())
        .stderr(log.try_clone()?)
        .stdout(log);
    for portal in [&spec.nvme].into_iter().chain(&spec.more_nvme) {
        command.args(["--nvme", &format!("{portal},advertise={HOST_ADDRESS}")]);
    }
    command.args(&spec.arguments);
    if let Some(fault) = spec.fault {
        command.env("BASALT_TEST_FAULT", fault.name());
    }
    command.spawn().with_context(|| format!("starting {}", spec.binary.display()))
}

/// Two loopback ports that nobody listens on.
fn free_ports() -> Result<[SocketAddr; 2]> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok([first.local_addr()?, second.local_addr()?])
}

/// One more.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// For a start on a machine that may be very busy.
const READY_LIMIT: Duration = Duration::from_secs(120);
