//! A `basalt serve --role node` process: the storage of a provisioner that runs elsewhere.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{command::output_of, server::Server};

/// A running node; dropping it kills it and removes its drive.
#[derive(Debug)]
pub struct StorageNode {
    child: Child,
    drive: PathBuf,
}

impl StorageNode {
    /// Invites the node, and starts it in a directory of its own, on ports that are free. It joins soon after.
    pub fn join(server: &Server, directory: &Path, drive_size: &str) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let data_dir = server.spec.directory.join("data");
        let mut invite = Command::new(&server.spec.binary);
        let invite = output_of(invite.arg("--data-dir").arg(data_dir).args(["node", "invite"]))?;
        let drive = directory.join("drive");
        let log = File::options().create(true).append(true).open(directory.join("node.log"))?;
        let child = Command::new(&server.spec.binary)
            .args(["serve", "--role", "node", "--cores", "1"])
            .args(["--nvme", "127.0.0.1:0", "--node-api", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(directory.join("data"))
            .arg("--drive")
            .arg(format!("{},size={drive_size}", drive.display()))
            .arg("--provisioner")
            .arg(format!("https://{}", server.spec.api))
            .args(["--invite", invite.trim()])
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .context("starting a storage node")?;
        Ok(Self { child, drive })
    }
}

impl Drop for StorageNode {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        // It may never have come to making one.
        let _removed = fs::remove_file(&self.drive);
    }
}
