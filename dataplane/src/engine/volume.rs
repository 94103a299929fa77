//! A volume: what hosts read and write.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use uuid::Uuid;

use super::{
    catalogue::{VOLUME_DELETING, VOLUME_LIVE, VolumeRecord},
    claims::Claims,
    drive::DriveShared,
    error::EngineError,
    format::EXTENT_BYTES,
    layer::Layer,
    space::Account,
    sync::lock,
};
use crate::{
    node::{DriveState, VolumeState},
    rt::Buf,
};

/// An open volume. Cheap to clone; its operations run on whichever core calls them.
///
/// An operation must be polled to its end: dropped half-way it gives up its claims while the drive may still be
/// writing.
#[derive(Debug, Clone)]
pub struct Volume {
    pub(super) drive: Arc<DriveShared>,
    pub(super) volume: Arc<VolumeShared>,
}

#[derive(Debug)]
pub(super) struct VolumeShared {
    pub(super) uuid: Uuid,
    pub(super) block_bytes: u32,
    size_bytes: AtomicU64,
    /// Head first, then its parents, the youngest first.
    pub(super) layers: Box<[Arc<Layer>]>,
    pub(super) account: Account,
    pub(super) claims: Claims,
    /// What the catalogue and the journal say; ahead of `size_bytes` while an expansion is made durable.
    pub(super) record: Mutex<VolumeRecord>,
    deleting: AtomicBool,
    /// The walk that gives its extents back has ended, and its last record was this sequence.
    pub(super) emptied_at: Mutex<Option<u64>>,
}

impl VolumeShared {
    pub(super) fn new(record: VolumeRecord, layers: Box<[Arc<Layer>]>) -> Self {
        let owned = layers[0].recorded_extents.load(Ordering::Relaxed);
        Self {
            uuid: record.uuid(),
            block_bytes: record.block_bytes.get(),
            size_bytes: AtomicU64::new(record.size_bytes.get()),
            account: Account::new(owned, record.reserved_extents.get()),
            layers,
            claims: Claims::new(),
            deleting: AtomicBool::new(record.state.get() != VOLUME_LIVE),
            record: Mutex::new(record),
            emptied_at: Mutex::new(None),
        }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    pub(super) fn grow_to(&self, size_bytes: u64) {
        self.size_bytes.fetch_max(size_bytes, Ordering::AcqRel);
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.deleting.load(Ordering::Acquire)
    }

    /// From now on no operation begins.
    pub(super) fn set_deleting(&self) {
        self.deleting.store(true, Ordering::Release);
        lock(&self.record).state.set(VOLUME_DELETING);
    }
}

impl Volume {
    pub fn uuid(&self) -> Uuid {
        self.volume.uuid
    }

    /// 512 or 4096.
    pub fn block_bytes(&self) -> u32 {
        self.volume.block_bytes
    }

    /// May grow at any time, never shrinks.
    pub fn size_bytes(&self) -> u64 {
        self.volume.size_bytes()
    }

    /// Space that is guaranteed to it.
    pub fn reserved_bytes(&self) -> u64 {
        self.volume.account.reserved() * EXTENT_BYTES
    }

    /// Extents that its head owns, in bytes (E13). Exact when no write is under way.
    pub fn used_bytes(&self) -> u64 {
        self.volume.account.owned() * EXTENT_BYTES
    }

    pub fn state(&self) -> VolumeState {
        if self.volume.is_deleting() {
            return VolumeState::Deleting;
        }
        if let DriveState::Failed(reason) = self.drive.state() {
            return VolumeState::Offline(reason);
        }
        let damage = self.volume.layers.iter().find_map(|layer| layer.damage());
        match (damage, self.drive.state()) {
            (Some(damage), _) => VolumeState::ReadOnly(damage.to_string()),
            (None, DriveState::ReadOnly(reason)) => VolumeState::ReadOnly(reason),
            (None, _) => VolumeState::Online,
        }
    }

    /// Whether a power cut never tears an aligned 4 KiB write (E8): then 512-byte volumes may promise it too.
    pub fn atomic_4k(&self) -> bool {
        self.drive.atomic_4k
    }

    /// Whether hosts must flush. Not with write-through (E2).
    pub fn has_volatile_cache(&self) -> bool {
        !self.drive.write_through
    }

    /// Fills `buf` from the volume. Offset and length are multiples of the block size.
    pub async fn read(&self, offset_bytes: u64, buf: Buf) -> (Buf, Result<(), EngineError>) {
        if let Err(error) = self.check(offset_bytes, buf.len() as u64) {
            return (buf, Err(error));
        }
        if buf.is_empty() {
            return (buf, Ok(()));
        }
        self.read_range(offset_bytes, buf).await
    }

    /// Writes `buf`. Done: the process may die without losing it; with `fua`, the machine may lose power, too (E2).
    pub async fn write(&self, offset_bytes: u64, buf: Buf, fua: bool) -> (Buf, Result<(), EngineError>) {
        if let Err(error) = self.check_write(offset_bytes, buf.len() as u64) {
            return (buf, Err(error));
        }
        if buf.is_empty() {
            return (buf, Ok(()));
        }
        self.write_range(offset_bytes, buf, fua || self.drive.write_through).await
    }

    /// Makes a range read as zeros. Space is given back whether or not `deallocate` asks for it: what is promised
    /// to the volume stays promised.
    pub async fn write_zeroes(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        _deallocate: bool,
        fua: bool,
    ) -> Result<(), EngineError> {
        self.check_write(offset_bytes, len_bytes)?;
        self.zero_range(offset_bytes, len_bytes).await?;
        if fua || self.drive.write_through { self.drive.flush().await } else { Ok(()) }
    }

    /// Gives up the content of a range; it reads as zeros where whole 4 KiB blocks lie in it and is unchanged
    /// elsewhere.
    pub async fn deallocate(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        self.check_write(offset_bytes, len_bytes)?;
        self.deallocate_range(offset_bytes, len_bytes).await?;
        if self.drive.write_through { self.drive.flush().await } else { Ok(()) }
    }

    /// Makes every write that was answered before durable.
    pub async fn flush(&self) -> Result<(), EngineError> {
        if self.volume.is_deleting() {
            return Err(EngineError::Offline);
        }
        self.drive.flush().await
    }

    pub(super) fn head(&self) -> &Arc<Layer> {
        &self.volume.layers[0]
    }

    fn check(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        let unit = u64::from(self.volume.block_bytes);
        if !offset_bytes.is_multiple_of(unit) || !len_bytes.is_multiple_of(unit) {
            return Err(EngineError::Invalid("the range does not lie on the volume's blocks".into()));
        }
        if offset_bytes.checked_add(len_bytes).is_none_or(|end| end > self.size_bytes()) {
            return Err(EngineError::OutOfRange);
        }
        if self.volume.is_deleting() { Err(EngineError::Offline) } else { Ok(()) }
    }

    fn check_write(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        self.check(offset_bytes, len_bytes)?;
        if self.volume.layers.iter().any(|layer| layer.is_damaged()) {
            return Err(EngineError::ReadOnly);
        }
        self.drive.check_writable()
    }
}
