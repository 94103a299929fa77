//! A `basalt serve --role node` process: the storage of a provisioner that runs elsewhere.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    command::output_of,
    server::{Server, free_port},
    vm::HOST_ADDRESS,
};

/// A running node; dropping it kills it and removes its drive.
#[derive(Debug)]
pub struct StorageNode {
    start: Start,
    child: Child,
}

/// How it is started; the same again after every kill.
#[derive(Debug)]
struct Start {
    binary: PathBuf,
    /// Holds the data directory, the drive and the log.
    directory: PathBuf,
    drive_size: String,
    nvme: SocketAddr,
    node_api: SocketAddr,
}

impl StorageNode {
    /// Invites the node, and starts it in a directory of its own, on ports that are free. It joins soon after.
    pub fn join(server: &Server, directory: &Path, drive_size: &str) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let data_dir = server.spec.directory.join("data");
        let mut invite = Command::new(&server.spec.binary);
        let invite = output_of(invite.arg("--data-dir").arg(data_dir).args(["node", "invite"]))?;
        let start = Start {
            binary: server.spec.binary.clone(),
            directory: directory.to_owned(),
            drive_size: drive_size.to_owned(),
            nvme: free_port()?,
            node_api: free_port()?,
        };
        let provisioner = format!("https://{}", server.spec.api);
        let child = start.spawn(&["--provisioner", &provisioner, "--invite", invite.trim()])?;
        Ok(Self { start, child })
    }

    pub fn portal(&self) -> SocketAddr {
        self.start.nvme
    }

    /// The process dies as it stands (SIGKILL); the machine and its drive go on.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the storage node")?;
        self.child.wait().context("waiting for the killed storage node")?;
        Ok(())
    }

    /// Starts it again after [`Self::kill`]. It knows its provisioner and comes back to it soon after.
    pub fn restart(&mut self) -> Result<()> {
        self.child = self.start.spawn(&[])?;
        Ok(())
    }
}

impl Start {
    fn drive(&self) -> PathBuf {
        self.directory.join("drive")
    }

    fn spawn(&self, membership: &[&str]) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.directory.join("node.log"))?;
        Command::new(&self.binary)
            .args(["serve", "--role", "node", "--cores", "1"])
            .args(["--nvme", &format!("{},advertise={HOST_ADDRESS}", self.nvme)])
            .args(["--node-api", &self.node_api.to_string()])
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .arg("--drive")
            .arg(format!("{},size={}", self.drive().display(), self.drive_size))
            .args(membership)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .context("starting a storage node")
    }
}

impl Drop for StorageNode {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        // It may never have come to making one.
        let _removed = fs::remove_file(self.start.drive());
    }
}
