//! Changes of memberships that replicas ask the store for. The control plane looks what is asked, asks the store, and
//! tells the answer; nothing is lost if it is away, because a question stands until it was answered.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use replication::{Epoch, Membership};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::rt::Signal;

/// Replace the store's membership of epoch `expected` by `target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetChange {
    pub volume: Uuid,
    pub expected: Epoch,
    pub target: Membership,
}

/// All that is asked for now: at most one change of each volume.
#[derive(Debug, Default)]
pub(crate) struct SetChanges {
    asked: Mutex<Asked>,
    changed: Signal,
}

#[derive(Debug, Default)]
struct Asked {
    /// Grows with every question.
    number: u64,
    changes: BTreeMap<Uuid, SetChange>,
}

impl SetChanges {
    pub(super) fn ask(&self, change: SetChange) {
        let mut asked = self.asked();
        asked.number += 1;
        asked.changes.insert(change.volume, change);
        drop(asked);
        self.changed.raise();
    }

    /// It was answered; a newer question stays.
    pub(super) fn answered(&self, volume: Uuid, target: &Membership) {
        let mut asked = self.asked();
        if asked.changes.get(&volume).is_some_and(|change| change.target == *target) {
            asked.changes.remove(&volume);
        }
    }

    pub(super) fn forget(&self, volume: Uuid) {
        self.asked().changes.remove(&volume);
    }

    /// Waits until something was asked after number `seen`; all that is asked then, and its number.
    pub(crate) async fn after(&self, seen: u64) -> (u64, Vec<SetChange>) {
        let newer = || {
            let asked = self.asked();
            (asked.number > seen).then(|| (asked.number, asked.changes.values().cloned().collect()))
        };
        self.changed.wait_until(newer).await
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
