//! What goes wrong, and whom it stops: one operation, one layer's volumes, all changes of the drive, or all of it.
//!
//! | what | stops |
//! |---|---|
//! | a read or write of data fails (EIO) | that operation |
//! | the file system under a sparse file is full | that write: Capacity Exceeded |
//! | a map page, or a journal section, is not what was written | changes of the volumes that show its layer |
//! | journal, flush or checkpoint fails; the drive ends early; somebody else writes to it | all changes of the drive |
//! | the drive has gone | all of the drive |

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::{
    drive::DriveShared,
    error::{Corruption, EngineError},
    format::LayerId,
    layer::Layer,
    sync::lock,
};
use crate::{node::DriveState, rt::DiskError};

/// How far a drive can be used. It only gets worse.
#[derive(Debug)]
pub(super) struct Health {
    state: Mutex<DriveState>,
    /// The same for the fast path: changes are taken.
    writable: AtomicBool,
    /// Nothing can be read any more either.
    offline: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: Mutex::new(DriveState::Online),
            writable: AtomicBool::new(true),
            offline: AtomicBool::new(false),
        }
    }
}

impl Health {
    /// No changes from now on, though nothing is wrong.
    pub(super) fn protect(&self, reason: &str) {
        *lock(&self.state) = DriveState::ReadOnly(reason.into());
        self.writable.store(false, Ordering::Release);
    }
}

impl DriveShared {
    pub(super) fn state(&self) -> DriveState {
        lock(&self.health.state).clone()
    }

    /// Whether nothing can be served any more.
    pub(super) fn is_offline(&self) -> bool {
        self.health.offline.load(Ordering::Relaxed)
    }

    pub(super) fn check_writable(&self) -> Result<(), EngineError> {
        if self.health.writable.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(if self.is_offline() { EngineError::Offline } else { EngineError::ReadOnly })
    }

    /// A host's operation failed so: draws the conclusion for the drive, and answers what the host is told.
    pub(super) fn judge(&self, error: EngineError) -> EngineError {
        match error {
            EngineError::Disk(DiskError::NoSpace) => EngineError::CapacityExceeded,
            EngineError::Disk(DiskError::Vanished) => {
                self.fail_by("it", &error);
                EngineError::Offline
            }
            EngineError::Disk(DiskError::Short) => {
                self.fail_by("an operation", &error);
                error
            }
            other => other,
        }
    }

    /// Work that the drive's soundness rests on failed. No changes from now on; if it has gone, nothing at all.
    pub(super) fn fail_by(&self, what: &str, error: &EngineError) {
        let reason = format!("{what}: {error}");
        if *error == EngineError::Disk(DiskError::Vanished) {
            *lock(&self.health.state) = DriveState::Failed(reason.clone());
            if !self.health.offline.swap(true, Ordering::AcqRel) {
                tracing::error!(drive = %self.uuid, reason, "the drive has gone");
            }
        }
        self.fail(&reason);
    }

    /// The drive takes no writes any more; reads go on. The first reason stays.
    pub(super) fn fail(&self, reason: &str) {
        let mut state = lock(&self.health.state);
        if *state == DriveState::Online {
            tracing::error!(drive = %self.uuid, reason, "the drive takes no writes any more");
            *state = DriveState::ReadOnly(reason.into());
        }
        drop(state);
        self.health.writable.store(false, Ordering::Release);
        self.journal.fail();
    }

    /// A layer is not what was written: its volumes take no writes any more, the others go on (E9).
    pub(super) fn damage(&self, layer: &Layer, corruption: Corruption) {
        layer.set_damage(corruption);
        self.damaged.store(true, Ordering::Release);
    }

    /// As [`damage`](Self::damage), if that is what the error says of the layer.
    pub(super) fn damage_by(&self, layer: LayerId, error: &EngineError) {
        let layer = lock(&self.layers).get(&layer).cloned();
        if let (Some(layer), EngineError::Corruption(corruption)) = (layer, error) {
            self.damage(&layer, corruption.clone());
        }
    }

    /// Whether it is worth asking which layers are damaged.
    pub(super) fn has_damage(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }
}
