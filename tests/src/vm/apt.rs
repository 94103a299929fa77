//! Packages of a Debian suite, fetched by apt without touching the machine's own apt state, unpacked without root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command::output_of;

/// Runs `download` unless it has succeeded in `directory` before; what a failed one left there is removed first.
pub(super) fn fetched(directory: &Path, download: impl FnOnce() -> Result<()>) -> Result<()> {
    let complete = directory.join("complete");
    if complete.exists() {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory).context("removing a half-finished download")?;
    }
    download()?;
    Ok(fs::write(&complete, "")?)
}

/// apt with the machine's Debian mirrors but another suite, its lists and downloads in a directory of ours.
pub(super) struct Apt {
    options: Vec<String>,
    downloads: PathBuf,
}

impl Apt {
    /// Fetches the lists of `suite` into `directory`.
    pub(super) fn for_suite(suite: &str, directory: &Path) -> Result<Self> {
        let lists = directory.join("apt/lists");
        let archives = directory.join("apt/cache/archives");
        fs::create_dir_all(lists.join("partial"))?;
        fs::create_dir_all(archives.join("partial"))?;
        let downloads = directory.join("apt/downloads");
        fs::create_dir_all(&downloads)?;
        let (name, sources) = debian_sources()?;
        let sources_path = directory.join("apt").join(name);
        fs::write(&sources_path, renamed(&sources, suite))?;
        let options = [
            format!("Dir::Etc::sourcelist={}", sources_path.display()),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={}", lists.display()),
            format!("Dir::Cache={}", directory.join("apt/cache").display()),
            "Acquire::Retries=3".to_owned(),
            // The download lies in our own directory, where apt's unprivileged user may not write.
            "APT::Sandbox::User=root".to_owned(),
        ];
        let apt = Self { options: options.to_vec(), downloads };
        output_of(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// Downloads these packages, without what they depend on, and unpacks them all into `root`.
    pub(super) fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        output_of(self.command("apt-get").arg("download").args(packages).current_dir(&self.downloads))?;
        for entry in fs::read_dir(&self.downloads)? {
            let package = entry?.path();
            output_of(Command::new("dpkg").arg("-x").arg(&package).arg(root))?;
            fs::remove_file(package)?;
        }
        Ok(())
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// The machine's own list of Debian mirrors, and the file name that tells apt its format.
fn debian_sources() -> Result<(&'static str, String)> {
    let places = [
        ("/etc/apt/sources.list.d/debian.sources", "debian.sources"),
        ("/etc/apt/sources.list", "debian.list"),
    ];
    for (path, name) in places {
        if let Ok(text) = fs::read_to_string(path)
            && SUITES.iter().any(|suite| text.contains(suite))
        {
            return Ok((name, text));
        }
    }
    bail!("no Debian mirror in {:?}: the guest's kernels come from Debian", places.map(|(path, _)| path))
}

/// `sources` with every suite that we know replaced by `suite`; `-updates` and `-security` follow.
fn renamed(sources: &str, suite: &str) -> String {
    SUITES.iter().fold(sources.to_owned(), |text, known| text.replace(known, suite))
}

/// Suites that share one layout of mirrors and security archive.
const SUITES: [&str; 3] = ["bookworm", "trixie", "forky"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_source_keeps_its_mirrors_and_suffixes() {
        let sources =
            "URIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates bookworm-security\n";
        let expected = "URIs: http://deb.debian.org/debian\nSuites: trixie trixie-updates trixie-security\n";
        assert_eq!(renamed(sources, "trixie"), expected);
        assert_eq!(renamed(expected, "bookworm"), sources);
    }
}
