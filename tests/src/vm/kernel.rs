//! Debian's kernels, unpacked without root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::apt::{Apt, fetched};
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

    /// Whether its NVMe/TCP initiator can connect over TLS: since 6.7.
    pub fn can_tls(self) -> bool {
        self == Self::V6_12
    }

    /// The unpacked kernel under `cache`; downloads it the first time.
    pub fn fetch(self, cache: &Path) -> Result<KernelFiles> {
        let directory = cache.join(format!("kernel-{}", self.name()));
        fetched(&directory, || self.download(&directory))
            .with_context(|| format!("fetching Linux {}", self.name()))?;
        unpacked(&directory)
    }

    fn download(self, directory: &Path) -> Result<()> {
        let apt = Apt::for_suite(self.suite(), directory)?;
        let depends = output_of(apt.command("apt-cache").args(["depends", "linux-image-amd64"]))?;
        let image = depends
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: "))
            .context("linux-image-amd64 depends on no image")?
            .to_owned();
        apt.unpack(&[&image], &directory.join("unpacked"))?;
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
