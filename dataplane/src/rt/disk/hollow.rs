//! A sparse file that keeps no data, only metadata: terabytes of volumes can be measured on a machine that could
//! never hold them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{DiskError, Durability, file::FileDisk};
use crate::rt::Buf;

/// A file up to `kept_bytes`; from there on writes vanish and reads find zeros.
#[derive(Debug)]
pub(super) struct HollowDisk {
    file: FileDisk,
    kept_bytes: AtomicU64,
}

impl HollowDisk {
    pub(super) fn new(file: FileDisk) -> Self {
        let kept_bytes = AtomicU64::new(file.size_bytes());
        Self { file, kept_bytes }
    }

    pub(super) fn file(&self) -> &FileDisk {
        &self.file
    }

    pub(super) fn keep_only(&self, kept_bytes: u64) {
        self.kept_bytes.store(kept_bytes, Ordering::Relaxed);
    }

    fn is_kept(&self, offset: u64) -> bool {
        offset < self.kept_bytes.load(Ordering::Relaxed)
    }

    pub(super) async fn read(&self, mut buf: Buf, offset: u64) -> (Buf, Result<(), DiskError>) {
        if self.is_kept(offset) {
            return self.file.read(buf, offset).await;
        }
        buf.fill(0);
        (buf, Ok(()))
    }

    pub(super) async fn write(
        &self,
        buf: Buf,
        offset: u64,
        durability: Durability,
    ) -> (Buf, Result<(), DiskError>) {
        if self.is_kept(offset) { self.file.write(buf, offset, durability).await } else { (buf, Ok(())) }
    }
}
