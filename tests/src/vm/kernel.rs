//! Debian's kernels, fetched by apt without touching the machine's own apt state, unpacked without root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command::output_of;

/// The kernels that we meet hosts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Debian 12.
    V6_1,
    /// Debian 13.
    V6_12,
}

/// An unpacked kernel package.
#[derive(Debug, Clone)]
pub struct KernelFiles {
    /// The bootable image.
    pub image: PathBuf,
    /// The directory that holds `lib/modules/RELEASE`, with its `modules.dep`.
    pub module_root: PathBuf,
    /// What `uname -r` will say.
    pub release: String,
}

impl Kernel {
    pub const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    pub fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    /// The Debian suite whose `linux-image-amd64` is this kernel.
    fn suite(self) -> &'static str {
        match self {
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
        }
    }

    /// The unpacked kernel under `cache`; downloads it the first time.
    pub fn fetch(self, cache: &Path) -> Result<KernelFiles> {
        let directory = cache.join(format!("kernel-{}", self.name()));
        let complete = directory.join("complete");
        if !complete.exists() {
            if directory.exists() {
                fs::remove_dir_all(&directory).context("removing a half-unpacked kernel")?;
            }
            self.download(&directory).with_context(|| format!("fetching Linux {}", self.name()))?;
            fs::write(&complete, "")?;
        }
        unpacked(&directory)
    }

    fn download(self, directory: &Path) -> Result<()> {
        let apt = Apt::for_suite(self.suite(), directory)?;
        output_of(apt.command("apt-get").arg("update"))?;
        let depends = output_of(apt.command("apt-cache").args(["depends", "linux-image-amd64"]))?;
        let image = depends
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: "))
            .context("linux-image-amd64 depends on no image")?
            .to_owned();
        output_of(apt.command("apt-get").args(["download", &image]).current_dir(directory))?;
        let package = only_entry(directory, |name| name.ends_with(".deb"))?;
        output_of(Command::new("dpkg").arg("-x").arg(&package).arg(directory.join("unpacked")))?;
        fs::remove_file(package)?;
        let files = unpacked(directory)?;
        output_of(Command::new("depmod").arg("-b").arg(&files.module_root).arg(&files.release))?;
        Ok(())
    }
}

fn unpacked(directory: &Path) -> Result<KernelFiles> {
    let root = directory.join("unpacked");
    let image = only_entry(&root.join("boot"), |name| name.starts_with("vmlinuz-"))?;
    // Debian 13 moved the modules under /usr.
    let merged = root.join("usr");
    let module_root = if merged.join("lib/modules").exists() { merged } else { root };
    let modules = only_entry(&module_root.join("lib/modules"), |_| true)?;
    let release =
        modules.file_name().context("a module directory has a name")?.to_string_lossy().into_owned();
    Ok(KernelFiles { image, module_root, release })
}

fn only_entry(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let listing = fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry?;
        if wanted(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        _ => bail!("{} should hold exactly one such entry, found {found:?}", directory.display()),
    }
}

/// apt with the machine's Debian mirrors but another suite, its lists and downloads in a directory of ours.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn for_suite(suite: &str, directory: &Path) -> Result<Self> {
        let lists = directory.join("apt/lists");
        let archives = directory.join("apt/cache/archives");
        fs::create_dir_all(lists.join("partial"))?;
        fs::create_dir_all(archives.join("partial"))?;
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
        Ok(Self { options: options.to_vec() })
    }

    fn command(&self, program: &str) -> Command {
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
