//! The administration API as a script would call it: curl, its own token, forms.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{command::output_of, server::Server};

/// The API of a server that was started with `--admin-first-run false`.
#[derive(Debug)]
pub struct Admin {
    url: String,
    ca: PathBuf,
}

impl Admin {
    /// Sets the token of a server that has none yet.
    pub fn set_up(server: &Server) -> Result<Self> {
        let url = format!("https://{}/api/v1/admin", server.spec.api);
        let admin = Self { url, ca: server.spec.credentials().join("ca.pem") };
        admin.call("setup", &["--form", &format!("newtoken={TOKEN}")])?;
        Ok(admin)
    }

    /// The service is to start again; returns at once.
    pub fn reboot(&self) -> Result<()> {
        self.call("reboot", &[]).map(drop)
    }

    /// Installs a release package, which the next start uses.
    pub fn update(&self, package: &Path) -> Result<()> {
        self.call("update", &["--form", &format!("update=@{}", package.display())])?;
        let deadline = Instant::now() + UPDATE_LIMIT;
        loop {
            let job = self.call("update", &[])?;
            if job["status"] == "success" {
                return Ok(());
            }
            ensure!(job["status"] == "running" && Instant::now() < deadline, "the update: {job}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The active release, and whether another one still serves.
    pub fn release(&self) -> Result<(String, bool)> {
        let version = self.call("version", &[])?;
        let version = version["version"].as_str().with_context(|| format!("no version in {version}"))?;
        let build = self.call("build", &[])?;
        Ok((version.to_owned(), !build["running_version"].is_null()))
    }

    fn call(&self, endpoint: &str, arguments: &[&str]) -> Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60", "--cacert"])
            .arg(&self.ca)
            .args(arguments)
            .arg(format!("{}/{endpoint}?token={TOKEN}", self.url));
        let printed = output_of(&mut curl)?;
        serde_json::from_str(&printed).with_context(|| format!("{endpoint} answered {printed}"))
    }
}

const TOKEN: &str = "administration";

/// For a package of some hundred megabytes on a machine that may be very busy; reaching it is a failure.
const UPDATE_LIMIT: Duration = Duration::from_secs(300);
