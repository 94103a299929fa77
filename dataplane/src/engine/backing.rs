//! Reserves on sparse files (E13): what is promised must exist in the file system underneath.
//!
//! While no volume has a reserve, extents come from the whole pool and freed ones are punched out of the file. From
//! the first reserve on, extents are handed out only below a line up to which the file has been allocated, the line
//! lies above all that is promised, and nothing is punched any more. A thin volume's growth moves the line first;
//! where the file system is full, that write fails and no promise breaks.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{
    drive::DriveShared, error::EngineError, format::EXTENT_BYTES, map::Extent, relocate, sync::lock,
};
use crate::rt::DiskError;

#[derive(Debug)]
pub(super) struct Backing {
    /// There is a reserve.
    needed: AtomicBool,
    /// The file is allocated below this extent.
    line: AtomicU32,
}

/// The line moves 16 MiB at a time, or more if more is promised.
const STEP_EXTENTS: u32 = 256;

impl Backing {
    pub(super) fn new(volumes_first: u32) -> Self {
        Self { needed: AtomicBool::new(false), line: AtomicU32::new(volumes_first) }
    }

    /// Whether freed extents must stay allocated.
    pub(super) fn is_needed(&self) -> bool {
        self.needed.load(Ordering::Acquire)
    }
}

impl DriveShared {
    /// A volume has a reserve from now on.
    pub(super) async fn start_backing(&self) -> Result<(), EngineError> {
        if !self.backing.needed.swap(true, Ordering::AcqRel) {
            let mut free = lock(&self.free);
            free.limit(self.backing.line.load(Ordering::Acquire));
            // Cores may have taken extents above the line.
            for runs in &self.runs {
                for run in lock(runs).drain(..) {
                    (run.first..run.first + run.count).for_each(|extent| free.release(Extent(extent)));
                }
            }
        }
        self.back_promises().await
    }

    /// Extents that can be promised with what the file has, metadata apart.
    pub(super) fn backed_extents(&self) -> u64 {
        if !self.backing.is_needed() {
            return u64::MAX;
        }
        let line = self.backing.line.load(Ordering::Acquire);
        let backed = u64::from(line - self.geometry().volumes_first());
        // At the end of the drive there is nothing left to allocate.
        if line == self.geometry().end { u64::MAX } else { backed.saturating_sub(self.in_motion_extents()) }
    }

    fn in_motion_extents(&self) -> u64 {
        relocate::in_motion_extents(self.torn_safe)
    }

    /// Moves the line above what is promised.
    pub(super) async fn back_promises(&self) -> Result<(), EngineError> {
        self.back(0).await
    }

    /// Moves the line so far that so many extents more can be promised.
    pub(super) async fn back_more(&self, extents: u64) -> Result<(), EngineError> {
        let unreserved = self.ledger.unreserved_bytes();
        self.back(extents).await.map_err(|error| match error {
            EngineError::CapacityExceeded => {
                EngineError::NoFreeSpace { needed_bytes: extents * EXTENT_BYTES, available_bytes: unreserved }
            }
            other => other,
        })
    }

    async fn back(&self, more_extents: u64) -> Result<(), EngineError> {
        if !self.backing.is_needed() {
            return Ok(());
        }
        let geometry = self.geometry();
        let promised = self.ledger.promised() + more_extents + self.in_motion_extents();
        let target = u64::from(geometry.volumes_first()) + promised;
        let target = target.min(u64::from(geometry.end)) as u32;
        loop {
            let line = self.backing.line.load(Ordering::Acquire);
            if line >= target {
                return Ok(());
            }
            let next = (line + STEP_EXTENTS).max(target).min(geometry.end);
            let len = u64::from(next - line) * EXTENT_BYTES;
            match self.disk.allocate(Extent(line).offset_bytes(), len).await {
                Ok(()) => {}
                Err(DiskError::NoSpace) => return Err(EngineError::CapacityExceeded),
                Err(error) => return Err(error.into()),
            }
            let line = self.backing.line.fetch_max(next, Ordering::AcqRel).max(next);
            lock(&self.free).limit(line);
        }
    }
}
