//! Snapshots as they shall be.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    replica::Replica,
    volume::{Size, StorageClass, VolumeRecord},
};

/// The stored form of a snapshot: a volume's content at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotRecord {
    pub(crate) uuid: Uuid,
    /// Need not be unique (D29).
    pub(crate) alias: String,
    pub(crate) tenant_id: String,
    /// The volume that it was taken from; that cannot be deleted before it.
    pub(crate) volume: Uuid,
    /// The copy that it was taken from, as it was then, and where both lie.
    pub(crate) replica: Replica,
    /// The capacity is the volume's of then; the reserve counts against the tenant (D19).
    pub(crate) size: Size,
    /// As requested, 0 means the default (D51).
    pub(crate) reserve_percent: u64,
    /// The volume's, for the snapshot volumes.
    pub(crate) class: StorageClass,
    /// Milliseconds since the epoch.
    pub(crate) taken_ms: u64,
    pub(crate) phase: SnapshotPhase,
}

/// Where a snapshot is between what was promised and what the node has, as a volume's `Phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SnapshotPhase {
    /// The node may or may not have it; nobody was told that it exists. Undone after a crash.
    Creating,
    Ready,
    /// The node may still have it. Finished after a crash.
    Deleting,
}

/// What is asked for by whoever takes a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) volume: Uuid,
    pub(crate) snapshot: Uuid,
    pub(crate) alias: String,
    /// 0 means the default (D51).
    pub(crate) reserve_percent: u64,
}

impl SnapshotRecord {
    /// The record of a snapshot in the making, of the volume's only copy.
    pub(crate) fn of(
        volume: &VolumeRecord,
        replica: &Replica,
        wanted: &Wanted,
        reserved_bytes: u64,
        taken_ms: u64,
    ) -> Self {
        Self {
            uuid: wanted.snapshot,
            alias: wanted.alias.clone(),
            tenant_id: volume.tenant_id.clone(),
            volume: volume.uuid,
            replica: replica.clone(),
            size: Size { capacity_gib: volume.size.capacity_gib, reserved_bytes },
            reserve_percent: wanted.reserve_percent,
            class: volume.class.clone(),
            taken_ms,
            phase: SnapshotPhase::Creating,
        }
    }

    /// Moves to the next phase; which moves exist is `SnapshotPhase::may_become`.
    pub(crate) fn enter(&mut self, next: SnapshotPhase) {
        assert!(self.phase.may_become(next), "snapshot {}: {:?} -> {next:?}", self.uuid, self.phase);
        self.phase = next;
    }

    /// Whether the API shows it: what is not yet taken does not exist.
    pub(crate) fn exists(&self) -> bool {
        self.phase != SnapshotPhase::Creating
    }
}

impl SnapshotPhase {
    fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Creating, Self::Ready)
            | (Self::Ready, Self::Deleting)
            // Given up, because the node could not.
            | (Self::Deleting, Self::Ready) => true,
            (Self::Creating | Self::Ready | Self::Deleting, _) => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::volume::tests::volume;

    /// A ready snapshot of volume 1 of 1 GiB.
    pub(crate) fn snapshot(uuid: u128) -> SnapshotRecord {
        let wanted = Wanted {
            volume: Uuid::from_u128(1),
            snapshot: Uuid::from_u128(uuid),
            alias: format!("s{uuid}"),
            reserve_percent: 0,
        };
        let of = volume(1, 1);
        let record = SnapshotRecord::of(&of, &of.replicas[0], &wanted, 4096, 1_000_000);
        SnapshotRecord { phase: SnapshotPhase::Ready, ..record }
    }

    #[test]
    fn phases_by_phases() {
        let all = [SnapshotPhase::Creating, SnapshotPhase::Ready, SnapshotPhase::Deleting];
        //            Creating Ready Deleting
        let table = [
            [false, true, false], // Creating
            [false, false, true], // Ready
            [false, true, false], // Deleting
        ];
        for (from, row) in all.iter().zip(table) {
            for (next, allowed) in all.iter().zip(row) {
                assert_eq!(from.may_become(*next), allowed, "{from:?} -> {next:?}");
            }
        }
    }

    #[test]
    fn records_survive_their_stored_form() {
        let record = snapshot(7);
        let stored = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<SnapshotRecord>(&stored).unwrap(), record);
    }
}
