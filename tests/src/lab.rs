//! The place where scenarios work: cached kernels, a fresh directory for each scenario, and the binary under test.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::vm::{Guest, GuestSpec, Kernel, KernelFiles, TlsPrograms, initramfs};

/// Paths that all scenarios share.
#[derive(Debug)]
pub struct Lab {
    /// The `basalt` binary that stands beside ours.
    pub binary: PathBuf,
    cache: PathBuf,
    scratch: PathBuf,
    /// Keeps a second run out for as long as this one lives.
    _lock: File,
}

/// A kernel and the file system to boot it with.
#[derive(Debug)]
pub struct Bootable {
    pub kernel: Kernel,
    files: KernelFiles,
    initramfs: PathBuf,
}

impl Lab {
    /// Opens the lab in `vm/` of cargo's target directory, for one run at a time; what scenarios left there is
    /// removed.
    pub fn open() -> Result<Self> {
        let program = env::current_exe().context("finding our own path")?;
        let profile = program.parent().context("a program lies in a directory")?;
        let target = profile.parent().context("a profile lies in the target directory")?;
        let cache = target.join("vm");
        fs::create_dir_all(&cache)?;
        let lock = File::create(cache.join("lock"))?;
        lock.try_lock().with_context(|| format!("another run works in {}", cache.display()))?;
        let scratch = cache.join("scratch");
        if scratch.exists() {
            fs::remove_dir_all(&scratch).context("clearing the scratch directory")?;
        }
        fs::create_dir_all(&scratch)?;
        Ok(Self { binary: profile.join("basalt"), cache, scratch, _lock: lock })
    }

    /// Fetches `kernel` unless it is cached, and builds its file system from the tools of today.
    pub fn prepare(&self, kernel: Kernel) -> Result<Bootable> {
        let files = kernel.fetch(&self.cache)?;
        let directory = self.cache.join(format!("initramfs-{}", kernel.name()));
        fs::create_dir_all(&directory)?;
        let tls = kernel.can_tls().then(|| TlsPrograms::fetch(&self.cache)).transpose()?;
        let initramfs = initramfs::build(&files, tls.as_ref(), &directory)?;
        Ok(Bootable { kernel, files, initramfs })
    }

    /// Boots a machine whose shared directory is `share`.
    pub fn boot(&self, bootable: &Bootable, share: &Path) -> Result<Guest> {
        fs::create_dir_all(share)?;
        Guest::boot(&GuestSpec { kernel: &bootable.files, initramfs: &bootable.initramfs, share })
    }

    /// An empty directory for one scenario; kept for a look afterwards.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.scratch.join(name);
        fs::create_dir_all(&directory)?;
        Ok(directory)
    }
}
