//! Making a backup.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Saved, is_saved};
use crate::{
    ControlError,
    admin::hex,
    app::{App, SharedApp, now_ms},
    files, limits,
    store::StoreError,
};

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) bytes: u64,
    /// Before it was written.
    pub(crate) free_bytes: u64,
    pub(crate) sha256: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the record {0} is no text")]
    NotText(String),
    #[error("the backup has {0} bytes, and only {1} are free for it")]
    NoRoom(u64, u64),
    #[error("the backup has {0} bytes: more than {max} cannot be restored", max = limits::BACKUP_BYTES)]
    TooLarge(u64),
    #[error(transparent)]
    File(#[from] ControlError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server is shutting down, or failed in this")]
    GivenUp,
}

/// Where the API's own backup lies.
pub(crate) fn api_backup(backups: &Path) -> PathBuf {
    backups.join("backup.tar")
}

/// Everything that is saved, as it is between two changes.
pub(super) async fn save(app: &App) -> Result<Saved, BackupError> {
    let entries = {
        // A volume that is being made is undone by whoever finds its record.
        let _no_changes = app.pause_changes().await.ok_or(BackupError::GivenUp)?;
        app.state.export().await?
    };
    let sequence = entries.iter().map(|entry| entry.revision.0).max().unwrap_or(0);
    let mut saved =
        Saved { system: app.node_id.clone(), created_seconds: now_ms() / 1000, sequence, records: [].into() };
    for entry in entries.into_iter().filter(|entry| is_saved(&entry.key)) {
        let value = String::from_utf8(entry.value).map_err(|_| BackupError::NotText(entry.key.clone()))?;
        saved.records.insert(entry.key, value);
    }
    Ok(saved)
}

/// Writes a backup to `path`, whole or not at all.
pub(crate) async fn make(app: &SharedApp, path: PathBuf) -> Result<Made, BackupError> {
    let saved = save(app).await?;
    let write = tokio::task::spawn_blocking(move || write(&saved, &path));
    write.await.map_err(|_| BackupError::GivenUp)?
}

pub(super) fn write(saved: &Saved, path: &Path) -> Result<Made, BackupError> {
    let tar = saved.to_tar()?;
    let bytes = tar.len() as u64;
    if bytes > limits::BACKUP_BYTES {
        return Err(BackupError::TooLarge(bytes));
    }
    let dir = path.parent().unwrap_or(path);
    let free = rustix::fs::statvfs(dir).map_err(io::Error::from)?;
    let free = free.f_bavail * free.f_frsize;
    if bytes > free {
        return Err(BackupError::NoRoom(bytes, free));
    }
    files::write_private(path, &tar)?;
    Ok(Made { bytes, free_bytes: free, sha256: hex(&Sha256::digest(fs::read(path)?)) })
}
