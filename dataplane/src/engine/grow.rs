//! A drive takes in what its medium has gained, while it serves.
//!
//! Journal and metadata share stay as they were formatted; the pool gets a new end. A checkpoint writes that end
//! into the superblock, after a flush that makes the medium's own size durable, and only then is anything handed out
//! behind the old end. So after a crash the drive has its old size or its new one, and nothing lies behind its end.

use super::{
    drive::{Drive, DriveShared},
    error::EngineError,
    format::MAX_BYTES,
    sync::lock,
};

impl Drive {
    /// Makes the drive `size_bytes` large, or as large as its medium has become. A file is extended. Durable when it
    /// answers the drive's size; asking for the size that it has already changes nothing.
    pub async fn grow(&self, size_bytes: Option<u64>) -> Result<u64, EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let _turn = drive.structure.take().await;
        let old = drive.geometry();
        if let Some(wanted) = size_bytes {
            drive.check_growth(wanted)?;
        }
        let found = drive.disk.grow(size_bytes).await?;
        let size_bytes = size_bytes.unwrap_or(found);
        drive.check_growth(size_bytes)?;
        if found < size_bytes {
            return Err(EngineError::Invalid(format!(
                "the medium has {found} bytes and cannot be made larger from here: {size_bytes} were asked for"
            )));
        }
        let grown = old.grown(size_bytes);
        if grown.end == old.end {
            return Ok(old.size_bytes);
        }
        *lock(&drive.growing) = Some(grown);
        drive.checkpoints.run().await;
        *lock(&drive.growing) = None;
        // It ran, unless the drive failed: then it has the old size.
        drive.check_writable()?;
        {
            let mut free = lock(&drive.free);
            free.extend_to(grown.end);
            // Otherwise the line up to which the file has space stays where it is until more is promised (E13).
            if !drive.backing.is_needed() {
                free.limit(grown.end);
            }
        }
        drive.ledger.grow(u64::from(grown.end - old.end));
        Ok(size_bytes)
    }

    /// Of the medium that the drive divides up, journal and metadata included.
    pub fn size_bytes(&self) -> u64 {
        self.shared.geometry().size_bytes
    }
}

impl DriveShared {
    fn check_growth(&self, size_bytes: u64) -> Result<(), EngineError> {
        let present = self.geometry().size_bytes;
        if size_bytes < present {
            return Err(EngineError::Invalid(format!(
                "a drive does not shrink: it has {present} bytes, {size_bytes} are fewer"
            )));
        }
        if size_bytes > MAX_BYTES {
            return Err(EngineError::Invalid(format!(
                "{size_bytes} bytes are too many, a drive has at most {MAX_BYTES}"
            )));
        }
        Ok(())
    }
}
