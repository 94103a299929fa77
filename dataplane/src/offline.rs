//! Drives that no server has open, looked into from outside. Every call blocks; nothing is written, not one byte. The
//! drive is locked meanwhile, so that no server opens it, and one that a server has open is refused.

use std::{future::Future, io, path::Path, sync::mpsc};

use uuid::Uuid;

use crate::{
    engine::{self, CheckReport, Drive, Dump, EngineError, MapRange, OpenError},
    rt::{
        CoreId, Runtime,
        disk::{self, Disk},
    },
};

/// Why a drive could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The text names the path.
    #[error(transparent)]
    Medium(#[from] disk::OpenError),
    #[error("it cannot be opened: {0}")]
    Open(#[from] OpenError),
    #[error("it cannot be read: {0}")]
    Read(#[from] EngineError),
    #[error("it has no volume or snapshot {0}")]
    NoVolume(Uuid),
    #[error("this machine has no io_uring for it: {0}")]
    Runtime(#[from] io::Error),
}

/// Walks all maps of a drive, as it would be after a start.
pub fn check(path: &Path) -> Result<CheckReport, OfflineError> {
    let disk = Disk::open_read_only(path)?;
    on_a_core(move || async move { Ok(engine::check(&Drive::look_into(disk).await?).await?) })
}

/// What superblocks, journal and catalogue of a drive say; with `volume`, also where that one's blocks are.
pub fn dump(path: &Path, volume: Option<Uuid>) -> Result<(Dump, Vec<MapRange>), OfflineError> {
    let disk = Disk::open_read_only(path)?;
    on_a_core(move || async move {
        let dump = engine::dump(&disk).await?;
        let Some(volume) = volume else { return Ok((dump, Vec::new())) };
        let map = Drive::look_into(disk).await?.map(volume).await?;
        Ok((dump, map.ok_or(OfflineError::NoVolume(volume))?))
    })
}

fn on_a_core<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, OfflineError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, OfflineError>> + 'static,
{
    let runtime = Runtime::start(1)?;
    let (answer, wait) = mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        // The caller waits below.
        let _ = answer.send(work().await);
    });
    wait.recv().unwrap_or_else(|_| Err(io::Error::other("the core stopped").into()))
}
