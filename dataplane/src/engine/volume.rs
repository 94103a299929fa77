//! A volume: what hosts read and write.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use uuid::Uuid;

use super::{
    catalogue::{Standing, VolumeKind, VolumeRecord},
    chain::Chain,
    claims::Claims,
    drive::DriveShared,
    error::EngineError,
    format::EXTENT_BYTES,
    layer::Layer,
    part::Name,
    sync::{Signal, lock},
};
use crate::{
    node::{DriveState, VolumeState},
    rt::Buf,
};

/// How full a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveSpace {
    pub capacity_bytes: u64,
    /// Promised to nobody.
    pub unreserved_bytes: u64,
    /// In extents that hold data, whoever they are promised to.
    pub used_bytes: u64,
}

impl DriveSpace {
    /// What holds no data.
    pub fn free_percent(&self) -> u8 {
        let free = u128::from(self.capacity_bytes.saturating_sub(self.used_bytes));
        u8::try_from(free * 100 / u128::from(self.capacity_bytes.max(1))).expect("at most the whole")
    }
}

/// An open volume. Cheap to clone; its operations run on whichever core calls them.
///
/// An operation must be polled to its end: dropped half-way it gives up its claims while the drive may still be
/// writing.
#[derive(Debug, Clone)]
pub struct Volume {
    pub(super) drive: Arc<DriveShared>,
    pub(super) volume: Arc<VolumeShared>,
}

/// A volume, a read-only view, or a snapshot: a name for a chain of layers.
#[derive(Debug)]
pub(super) struct VolumeShared {
    pub(super) name: Name,
    pub(super) block_bytes: u32,
    pub(super) kind: VolumeKind,
    size_bytes: AtomicU64,
    chain: ArcSwap<Chain>,
    /// Changes that a snapshot held back may go on.
    released: Signal,
    /// Of a writable one.
    claims: Option<Claims>,
    /// What the catalogue and the journal say; ahead of `size_bytes` while an expansion is made durable.
    pub(super) record: Mutex<VolumeRecord>,
    pub(super) attachment: Mutex<Arc<[u8]>>,
    /// A [`Standing`]: never `Moved` before its copy may be used.
    standing: AtomicU32,
}

impl VolumeShared {
    pub(super) fn new(record: VolumeRecord, kind: VolumeKind, chain: Chain) -> Self {
        Self {
            name: record.name(),
            block_bytes: record.block_bytes.get(),
            kind,
            size_bytes: AtomicU64::new(record.size_bytes.get()),
            chain: ArcSwap::from_pointee(chain),
            released: Signal::default(),
            claims: (kind == VolumeKind::Writable).then(Claims::new),
            standing: AtomicU32::new(record.standing().unwrap_or(Standing::Gone) as u32),
            record: Mutex::new(record),
            attachment: Mutex::new(Arc::default()),
        }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    pub(super) fn grow_to(&self, size_bytes: u64) {
        self.size_bytes.fetch_max(size_bytes, Ordering::AcqRel);
    }

    /// The layers as they are now. Looked at within an operation, and not kept over a wait: a few such looks per
    /// core are free, more of them count references.
    pub(super) fn chain(&self) -> Guard<Arc<Chain>> {
        self.chain.load()
    }

    /// Only on the home core.
    pub(super) fn set_chain(&self, chain: Chain) {
        let goes_on = !chain.is_held();
        self.chain.store(Arc::new(chain));
        if goes_on {
            self.released.raise();
        }
    }

    /// Waits until no snapshot holds changes back. Never within an operation: the snapshot waits for those.
    pub(super) async fn released(&self) {
        self.released.wait_until(|| (!self.chain().is_held()).then_some(())).await;
    }

    /// Whether hosts' writes go into that layer.
    pub(super) fn writes_to(&self, layer: &Layer) -> bool {
        self.kind == VolumeKind::Writable && self.chain().head().id == layer.id
    }

    pub(super) fn head(&self) -> Arc<Layer> {
        self.chain().head().clone()
    }

    pub(super) fn claims(&self) -> &Claims {
        self.claims.as_ref().expect("only writable volumes are changed")
    }

    pub(super) fn standing(&self) -> Standing {
        Standing::of(self.standing.load(Ordering::Acquire)).expect("only standings are stored")
    }

    /// Whether it was deleted, or is on another drive.
    pub(super) fn is_gone(&self) -> bool {
        self.check_here().is_err()
    }

    /// Whether operations may go on.
    ///
    /// # Errors
    /// `Moved` or `Offline`, as it went.
    pub(super) fn check_here(&self) -> Result<(), EngineError> {
        match self.standing() {
            Standing::Here | Standing::Copying | Standing::Prepared => Ok(()),
            Standing::Moved => Err(EngineError::Moved),
            Standing::Gone => Err(EngineError::Offline),
        }
    }

    /// Whether hosts and the control plane know it.
    pub(super) fn is_known(&self) -> bool {
        self.standing() == Standing::Here
    }

    /// Once it is gone or moved no operation begins.
    pub(super) fn set_standing(&self, standing: Standing) {
        let mut record = lock(&self.record);
        let before = self.standing();
        assert!(before.may_become(standing), "no way leads from {before:?} to {standing:?}");
        record.set_standing(standing);
        self.standing.store(standing as u32, Ordering::Release);
    }

    pub(super) fn state(&self, drive: &DriveShared) -> VolumeState {
        if self.is_gone() {
            return VolumeState::Deleting;
        }
        let drive = drive.state();
        if let DriveState::Failed(reason) = drive {
            return VolumeState::Offline(reason);
        }
        let damage = self.chain().layers().iter().find_map(|layer| layer.damage().cloned());
        match (damage, drive) {
            (Some(damage), _) => VolumeState::ReadOnly(damage.to_string()),
            (None, DriveState::ReadOnly(reason)) => VolumeState::ReadOnly(reason),
            (None, _) => VolumeState::Online,
        }
    }
}

impl Volume {
    pub fn uuid(&self) -> Uuid {
        self.volume.name.uuid
    }

    /// Which part of the volume this is.
    pub fn part(&self) -> u8 {
        self.volume.name.index
    }

    /// How many parts the volume has; what the first part says counts.
    pub fn parts(&self) -> u8 {
        lock(&self.volume.record).parts()
    }

    /// 512 or 4096.
    pub fn block_bytes(&self) -> u32 {
        self.volume.block_bytes
    }

    /// May grow at any time, never shrinks.
    pub fn size_bytes(&self) -> u64 {
        self.volume.size_bytes()
    }

    /// False for a read-only snapshot volume, whatever state it is in.
    pub fn is_writable(&self) -> bool {
        self.volume.kind == VolumeKind::Writable
    }

    /// Space that is guaranteed to it.
    pub fn reserved_bytes(&self) -> u64 {
        if self.is_writable() { self.volume.head().account.reserved() * EXTENT_BYTES } else { 0 }
    }

    /// Extents that its head owns, in bytes (E13). Exact when no write is under way.
    pub fn used_bytes(&self) -> u64 {
        if self.is_writable() { self.volume.head().account.owned() * EXTENT_BYTES } else { 0 }
    }

    /// Extents of the frozen layers that it shows, in bytes: shared with snapshots and clones.
    pub fn shared_bytes(&self) -> u64 {
        let chain = self.volume.chain();
        let frozen = if self.is_writable() { chain.frozen() } else { chain.layers() };
        frozen.iter().map(|layer| layer.account.owned()).sum::<u64>() * EXTENT_BYTES
    }

    pub fn state(&self) -> VolumeState {
        self.volume.state(&self.drive)
    }

    /// Whether a power cut never tears an aligned 4 KiB write (E8): then 512-byte volumes may promise it too.
    pub fn atomic_4k(&self) -> bool {
        self.drive.atomic_4k
    }

    /// Whether hosts must flush. Not with write-through (E2).
    pub fn has_volatile_cache(&self) -> bool {
        !self.drive.write_through
    }

    /// The machine's boot since which its drive has lost nothing that was written.
    pub fn boot_id(&self) -> [u8; 16] {
        self.drive.disk.boot_id()
    }

    /// The drive that it is on.
    pub fn drive_uuid(&self) -> Uuid {
        self.drive.uuid
    }

    /// How full its drive is.
    pub fn drive_space(&self) -> DriveSpace {
        DriveSpace {
            capacity_bytes: self.drive.ledger.capacity_bytes(),
            unreserved_bytes: self.drive.ledger.unreserved_bytes(),
            used_bytes: self.drive.used_bytes(),
        }
    }

    /// Fills `buf` from the volume. Offset and length are multiples of the block size.
    pub async fn read(&self, offset_bytes: u64, buf: Buf) -> (Buf, Result<(), EngineError>) {
        if let Err(error) = self.check(offset_bytes, buf.len() as u64) {
            return (buf, Err(error));
        }
        if buf.is_empty() {
            return (buf, Ok(()));
        }
        let (buf, result) = self.read_range(offset_bytes, buf).await;
        (buf, result.map_err(|error| self.drive.judge(error)))
    }

    /// Writes `buf`. Done: the process may die without losing it; with `fua`, the machine may lose power, too (E2).
    pub async fn write(&self, offset_bytes: u64, buf: Buf, fua: bool) -> (Buf, Result<(), EngineError>) {
        if let Err(error) = self.check_write(offset_bytes, buf.len() as u64) {
            return (buf, Err(error));
        }
        if buf.is_empty() {
            return (buf, Ok(()));
        }
        let (buf, result) = self.write_range(offset_bytes, buf, fua || self.drive.write_through).await;
        (buf, result.map_err(|error| self.drive.judge(error)))
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
        self.zero_range(offset_bytes, len_bytes).await.map_err(|error| self.drive.judge(error))?;
        if fua || self.drive.write_through { self.drive.flush().await } else { Ok(()) }
    }

    /// Gives up the content of a range; it reads as zeros where whole 4 KiB blocks lie in it and is unchanged
    /// elsewhere.
    pub async fn deallocate(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        self.check_write(offset_bytes, len_bytes)?;
        self.deallocate_range(offset_bytes, len_bytes).await.map_err(|error| self.drive.judge(error))?;
        if self.drive.write_through { self.drive.flush().await } else { Ok(()) }
    }

    /// Makes every write that was answered before durable.
    pub async fn flush(&self) -> Result<(), EngineError> {
        self.volume.check_here()?;
        self.drive.flush().await
    }

    fn check(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        let unit = u64::from(self.volume.block_bytes);
        if !offset_bytes.is_multiple_of(unit) || !len_bytes.is_multiple_of(unit) {
            return Err(EngineError::Invalid("the range does not lie on the volume's blocks".into()));
        }
        if offset_bytes.checked_add(len_bytes).is_none_or(|end| end > self.size_bytes()) {
            return Err(EngineError::OutOfRange);
        }
        self.volume.check_here()?;
        if self.drive.is_offline() { Err(EngineError::Offline) } else { Ok(()) }
    }

    pub(super) fn check_write(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        self.check(offset_bytes, len_bytes)?;
        let is_damaged = || self.volume.chain().layers().iter().any(|layer| layer.is_damaged());
        if !self.is_writable() || self.drive.has_damage() && is_damaged() {
            return Err(EngineError::ReadOnly);
        }
        self.drive.check_writable()
    }
}
