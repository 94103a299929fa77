//! Writes metadata pages to free places; neighbours go to the drive together.

use super::{
    drive::DriveShared,
    error::EngineError,
    format::{CATALOGUE, Child, PAGE_BYTES, PageId, page_crc},
    sync::lock,
};
use crate::rt::{Buf, Durability};

/// Bytes written at once, at most.
const STAGE_BYTES: usize = 64 << 10;

/// Collects pages whose places follow each other.
#[derive(Debug)]
pub(super) struct PageWriter<'a> {
    drive: &'a DriveShared,
    /// Of the checkpoint.
    sequence: u32,
    stage: Option<Buf>,
    /// Where the staged bytes go, and how many there are.
    start_bytes: u64,
    staged_bytes: usize,
    /// Pages of the catalogue so far.
    catalogue: Vec<u64>,
}

impl<'a> PageWriter<'a> {
    pub(super) async fn new(drive: &'a DriveShared, sequence: u32) -> Self {
        Self {
            drive,
            sequence,
            stage: Some(Buf::alloc(STAGE_BYTES).await),
            start_bytes: 0,
            staged_bytes: 0,
            catalogue: Vec::new(),
        }
    }

    /// Writes a page (a short one is filled up with zeros) to a free place; on the drive after
    /// [`finish`](Self::finish).
    pub(super) async fn write(&mut self, id: PageId, bytes: &[u8]) -> Result<Child, EngineError> {
        let address = lock(&self.drive.metadata).take_page().ok_or(EngineError::CapacityExceeded)?;
        if id.layer == CATALOGUE {
            self.catalogue.push(address);
        }
        let follows = address == self.start_bytes + self.staged_bytes as u64;
        if !follows || self.staged_bytes == STAGE_BYTES {
            self.flush_stage().await?;
            self.start_bytes = address;
        }
        let stage = self.stage.as_mut().expect("only missing while it is written");
        let page = &mut stage[self.staged_bytes..self.staged_bytes + PAGE_BYTES];
        page[..bytes.len()].copy_from_slice(bytes);
        page[bytes.len()..].fill(0);
        self.staged_bytes += PAGE_BYTES;
        let crc = page_crc(id, self.sequence, page);
        Ok(Child::Page { address_bytes: address, crc, sequence: self.sequence })
    }

    /// Writes what is left (no flush); answers the addresses of the catalogue's pages.
    pub(super) async fn finish(mut self) -> Result<Vec<u64>, EngineError> {
        self.flush_stage().await?;
        Ok(self.catalogue)
    }

    async fn flush_stage(&mut self) -> Result<(), EngineError> {
        if self.staged_bytes == 0 {
            return Ok(());
        }
        let mut stage = self.stage.take().expect("only missing while it is written");
        let part = stage.split_to(self.staged_bytes);
        let (part, result) = self.drive.disk.write(part, self.start_bytes, Durability::Cached).await;
        self.stage = Some(Buf::unsplit(part, stage));
        self.staged_bytes = 0;
        result.map_err(EngineError::Disk)
    }
}
