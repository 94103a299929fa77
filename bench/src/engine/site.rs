//! A drive on a file, open on one core of the real runtime.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
};

use anyhow::{Context, Result, anyhow};
use dataplane::{
    engine::{Drive, DriveOptions, FormatOptions, Volume},
    rt::{Buf, CoreId, Disk, Runtime, disk::OpenOptions},
};
use uuid::Uuid;

use super::load::{Access, Load};

pub(crate) const BLOCK_BYTES: u64 = 4096;
pub(crate) const EXTENT_BYTES: u64 = 65_536;

/// The file is removed with this.
pub(crate) struct Site {
    // Cores end before the file goes.
    runtime: Runtime,
    pub(crate) drive: Drive,
    _file: Removed,
}

/// A file that is removed on drop.
#[derive(Debug)]
pub(crate) struct Removed(pub(crate) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("bench: {} is left behind: {error}", self.0.display());
        }
    }
}

pub(crate) fn drive_options() -> DriveOptions {
    DriveOptions { write_through: Some(false), torn: None, map_memory_bytes: 64 << 20, fault: None }
}

impl Site {
    /// A new drive of that size on a sparse file.
    pub(crate) fn new(directory: &Path, size_bytes: u64) -> Result<Self> {
        let path = directory.join("bench.drive");
        let options = OpenOptions { create_bytes: Some(size_bytes), ..OpenOptions::default() };
        let disk = Disk::open(&path, options)?;
        let file = Removed(path);
        let runtime = start()?;
        let drive = on_core(&runtime, move || async move {
            Drive::format(&disk, FormatOptions::default()).await?;
            anyhow::Ok(Drive::open(disk, drive_options()).await?)
        })?;
        Ok(Self { runtime, drive: drive?, _file: file })
    }

    /// Runs a future on the drive's core and waits for it.
    pub(crate) fn run<T, F>(&self, make: impl FnOnce(Drive) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + 'static,
    {
        let drive = self.drive.clone();
        on_core(&self.runtime, move || make(drive))?
    }

    /// A volume of that size; all of it written, if it shall be `full`.
    pub(crate) fn volume(&self, size_bytes: u64, full: bool) -> Result<Volume> {
        let volume = self.run(move |drive| async move {
            Ok(drive.create_volume(Uuid::new_v4(), size_bytes, BLOCK_BYTES as u32, 0).await?)
        })?;
        if full {
            let filled = volume.clone();
            self.run(move |_| async move { fill(&filled).await })?;
        }
        Ok(volume)
    }

    /// Operations per second of a load.
    pub(crate) fn iops(&self, volume: &Volume, access: Access, qd: u16, seconds: u16) -> Result<f64> {
        let load = Load { volume: volume.clone(), access, qd, seconds };
        self.run(move |_| async move { load.iops().await })
    }
}

pub(crate) fn start() -> Result<Runtime> {
    Runtime::start(1).context("starting a core")
}

/// Runs a future on the core and waits for its answer on this thread.
pub(crate) fn on_core<T, F>(runtime: &Runtime, make: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (tell, told) = mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        // This thread waits below.
        let _ = tell.send(make().await);
    });
    told.recv().map_err(|_| anyhow!("the core ended"))
}

async fn fill(volume: &Volume) -> Result<()> {
    const STEP_BYTES: u64 = 1 << 20;
    let mut buf = Buf::zeroed(STEP_BYTES as usize).await;
    buf.fill(0x5A);
    for offset in (0..volume.size_bytes()).step_by(STEP_BYTES as usize) {
        let result;
        (buf, result) = volume.write(offset, buf, false).await;
        result?;
    }
    volume.flush().await?;
    Ok(())
}
