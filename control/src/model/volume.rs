//! Volumes as they shall be.

use std::collections::BTreeSet;

use dataplane::node::{BlockSize, RateLimits};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{GIB, replica::Replica};
use crate::Replication;

/// The stored form of a volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumeRecord {
    pub(crate) uuid: Uuid,
    /// Unique among the tenant's volumes (D29).
    pub(crate) alias: String,
    pub(crate) tenant_id: String,
    pub(crate) size: Size,
    pub(crate) provisioning: Provisioning,
    /// As requested; 0 means the default (D51).
    pub(crate) reserve_percent: u64,
    pub(crate) protocol: Protocol,
    pub(crate) class: StorageClass,
    /// In creation order. The only copy of a simple volume has the volume's own UUID, each of several one of its own
    /// (D22). While a copy is being added it is the last one.
    pub(crate) replicas: Vec<Replica>,
    /// The snapshot that it shows (provisioner §4.3); `None` for a clone, and once that snapshot was deleted by
    /// force (D64).
    pub(crate) snapshot: Option<Uuid>,
    /// Made as a read-only snapshot volume.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// Ids of the hosts it is published to. Kept here as well as in the targets, so that publishing and
    /// deleting a volume cannot pass each other unseen.
    pub(crate) published_to: BTreeSet<String>,
    pub(crate) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) capacity_gib: u64,
    /// What a write can never fail for: the whole capacity of a thick volume.
    pub(crate) reserved_bytes: u64,
}

impl Size {
    pub(crate) fn capacity_bytes(self) -> u64 {
        self.capacity_gib * GIB
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Provisioning {
    Thick,
    Thin,
    /// A snapshot volume or a clone: thin, but begins with what another volume held.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Nvmeof,
    /// Used on its own backend only, by the host whose id that backend bears; has no target (D37).
    Local,
}

/// The request's `storageClass`, defaults filled in. Rates are per GiB; 0 is none or unlimited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StorageClass {
    pub(crate) name: Option<String>,
    /// Those that it was made with (D24).
    pub(crate) num_replicas: u64,
    pub(crate) same_rack_allowed: bool,
    pub(crate) racks: Vec<String>,
    pub(crate) zones: Vec<String>,
    pub(crate) regions: Vec<String>,
    pub(crate) max_iops_per_gib: u64,
    pub(crate) max_bytes_per_second_per_gib: u64,
    pub(crate) desired_iops_per_gib: u64,
    pub(crate) desired_bytes_per_second_per_gib: u64,
    pub(crate) block_bytes: u32,
    pub(crate) max_replica_down_minutes: u64,
    pub(crate) host_id: Option<String>,
    pub(crate) allow_span: bool,
    pub(crate) share_ssd: bool,
    /// Who keeps several copies equal (D59); always given where there are several.
    #[serde(default)]
    pub(crate) replication: Option<Replication>,
}

impl StorageClass {
    pub(crate) fn block_size(&self) -> BlockSize {
        match self.block_bytes {
            512 => BlockSize::B512,
            _ => BlockSize::B4096,
        }
    }
}

/// Where a volume is between what was promised and what the node has. The record is written before the node is
/// told, so after a crash the phase says how to finish or undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The node may or may not have it; nobody was told that it exists. Undone after a crash.
    Creating,
    Ready,
    /// The node may have either size; the caller was told of none. Finished after a crash, or given up if the
    /// node refuses.
    Expanding {
        to: Size,
    },
    /// The node may still have it. Finished after a crash.
    Deleting,
    /// A node may have this copy; nobody was told of it. Undone after a crash.
    AddingReplica(Uuid),
    /// A node may still have this copy. Finished after a crash.
    RemovingReplica(Uuid),
}

/// What volumes take from what their backend promises (§5.2), and from their tenant (D19). A volume counts as
/// soon as it is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) bytes: u64,
    pub(crate) iops: u64,
    pub(crate) bytes_per_second: u64,
}

impl Reserved {
    /// Of what a backend promises.
    pub(crate) fn on<'a>(backend: &str, volumes: impl Iterator<Item = &'a VolumeRecord>) -> Self {
        let here = |volume: &VolumeRecord| volume.replicas.iter().filter(|r| r.backend == backend).count();
        volumes
            .map(|v| Self::of_copies(&v.class, v.coming_size(), here(v) as u64))
            .fold(Self::default(), Self::plus)
    }

    /// All copies of one volume, but for those that are lost with their backend.
    pub(crate) fn of(volume: &VolumeRecord) -> Self {
        let copies = volume.replicas.iter().filter(|r| !r.is_lost()).count();
        Self::of_copies(&volume.class, volume.coming_size(), copies as u64)
    }

    pub(crate) fn of_copies(class: &StorageClass, size: Size, copies: u64) -> Self {
        let rate = |per_gib: u64| per_gib.saturating_mul(size.capacity_gib).saturating_mul(copies);
        Self {
            bytes: size.reserved_bytes.saturating_mul(copies),
            iops: rate(class.desired_iops_per_gib),
            bytes_per_second: rate(class.desired_bytes_per_second_per_gib),
        }
    }

    /// Space alone, as a snapshot takes.
    pub(crate) fn bytes(bytes: u64) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            iops: self.iops.saturating_add(other.iops),
            bytes_per_second: self.bytes_per_second.saturating_add(other.bytes_per_second),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            iops: self.iops.saturating_sub(other.iops),
            bytes_per_second: self.bytes_per_second.saturating_sub(other.bytes_per_second),
        }
    }
}

impl VolumeRecord {
    /// Moves to the next phase; which moves exist is `Phase::may_become`.
    pub(crate) fn enter(&mut self, next: Phase) {
        assert!(self.phase.may_become(next), "volume {}: {:?} -> {next:?}", self.uuid, self.phase);
        self.phase = next;
    }

    /// Whether the API shows it: what is not yet created does not exist.
    pub(crate) fn exists(&self) -> bool {
        self.phase != Phase::Creating
    }

    /// Being replicated is fixed when it is made, whatever becomes of its copies (D24).
    pub(crate) fn is_replicated(&self) -> bool {
        self.class.num_replicas > 1
    }

    /// The copies that the API shows: not one that is still being added.
    pub(crate) fn shown_replicas(&self) -> impl Iterator<Item = &Replica> {
        let is_added = |replica: &&Replica| self.phase != Phase::AddingReplica(replica.uuid);
        self.replicas.iter().filter(is_added)
    }

    /// The copy that is being added or removed.
    pub(crate) fn pending_replica(&self) -> Option<&Replica> {
        match self.phase {
            Phase::AddingReplica(pending) | Phase::RemovingReplica(pending) => self.replica(pending),
            Phase::Creating | Phase::Ready | Phase::Expanding { .. } | Phase::Deleting => None,
        }
    }

    pub(crate) fn replica(&self, uuid: Uuid) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.uuid == uuid)
    }

    /// While it is being expanded, the size that it will have.
    fn coming_size(&self) -> Size {
        match self.phase {
            Phase::Expanding { to } => to,
            _ => self.size,
        }
    }

    /// Whether one of its copies is there.
    pub(crate) fn is_on(&self, backend: &str) -> bool {
        self.replicas.iter().any(|replica| replica.backend == backend)
    }

    /// What the node may give it, as the storage class says for its size.
    pub(crate) fn limits(&self) -> RateLimits {
        RateLimits {
            max_iops: self.scaled(self.class.max_iops_per_gib),
            max_bytes_per_second: self.scaled(self.class.max_bytes_per_second_per_gib),
        }
    }

    /// Absolute rates: per GiB times GiB.
    pub(crate) fn scaled(&self, per_gib: u64) -> u64 {
        per_gib.saturating_mul(self.size.capacity_gib)
    }
}

impl Phase {
    fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Creating, Self::Ready)
            | (
                Self::Ready,
                Self::Expanding { .. } | Self::Deleting | Self::AddingReplica(_) | Self::RemovingReplica(_),
            )
            | (Self::Expanding { .. } | Self::AddingReplica(_) | Self::RemovingReplica(_), Self::Ready)
            // Given up, because the node could not.
            | (Self::Deleting, Self::Ready) => true,
            (
                Self::Creating
                | Self::Ready
                | Self::Expanding { .. }
                | Self::Deleting
                | Self::AddingReplica(_)
                | Self::RemovingReplica(_),
                _,
            ) => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A ready thick volume of `gib` GiB on one backend.
    pub(crate) fn volume(uuid: u128, gib: u64) -> VolumeRecord {
        let uuid = Uuid::from_u128(uuid);
        VolumeRecord {
            uuid,
            alias: format!("v{}", uuid.as_u128()),
            tenant_id: "0".to_owned(),
            size: Size { capacity_gib: gib, reserved_bytes: gib * GIB },
            provisioning: Provisioning::Thick,
            reserve_percent: 0,
            protocol: Protocol::Nvmeof,
            class: class(),
            replicas: vec![Replica::new(uuid, "02:00:00:00:00:01", 0)],
            snapshot: None,
            read_only: false,
            published_to: BTreeSet::new(),
            phase: Phase::Ready,
        }
    }

    pub(crate) fn class() -> StorageClass {
        StorageClass {
            name: None,
            num_replicas: 1,
            same_rack_allowed: false,
            racks: Vec::new(),
            zones: Vec::new(),
            regions: Vec::new(),
            max_iops_per_gib: 0,
            max_bytes_per_second_per_gib: 0,
            desired_iops_per_gib: 0,
            desired_bytes_per_second_per_gib: 0,
            block_bytes: 4096,
            max_replica_down_minutes: 0,
            host_id: None,
            allow_span: true,
            share_ssd: true,
            replication: None,
        }
    }

    #[test]
    fn phases_by_phases() {
        let to = Size { capacity_gib: 2, reserved_bytes: 0 };
        let (adding, removing) = (Phase::AddingReplica(Uuid::nil()), Phase::RemovingReplica(Uuid::nil()));
        let all = [Phase::Creating, Phase::Ready, Phase::Expanding { to }, Phase::Deleting, adding, removing];
        //            Creating Ready Expanding Deleting Adding Removing
        let table = [
            [false, true, false, false, false, false], // Creating
            [false, false, true, true, true, true],    // Ready
            [false, true, false, false, false, false], // Expanding
            [false, true, false, false, false, false], // Deleting
            [false, true, false, false, false, false], // Adding
            [false, true, false, false, false, false], // Removing
        ];
        for (from, row) in all.iter().zip(table) {
            for (next, allowed) in all.iter().zip(row) {
                assert_eq!(from.may_become(*next), allowed, "{from:?} -> {next:?}");
            }
        }
    }

    #[test]
    fn a_copy_that_is_being_added_is_not_shown() {
        let mut record = volume(1, 2);
        record.replicas.push(Replica::new(Uuid::from_u128(2), "02:00:00:00:00:02", 0));
        let shown = |record: &VolumeRecord| record.shown_replicas().count();
        assert_eq!(shown(&record), 2);
        record.enter(Phase::AddingReplica(Uuid::from_u128(2)));
        assert_eq!(shown(&record), 1);
    }

    #[test]
    fn every_copy_counts_and_an_expansion_counts_at_once() {
        let mut record = volume(1, 2);
        (record.class.desired_iops_per_gib, record.class.desired_bytes_per_second_per_gib) = (3, 5);
        assert_eq!(Reserved::of(&record), Reserved { bytes: 2 * GIB, iops: 6, bytes_per_second: 10 });
        record.replicas.push(Replica::new(Uuid::from_u128(2), "02:00:00:00:00:02", 0));
        assert_eq!(Reserved::of(&record), Reserved { bytes: 4 * GIB, iops: 12, bytes_per_second: 20 });
        record.enter(Phase::Expanding { to: Size { capacity_gib: 3, reserved_bytes: 3 * GIB } });
        assert_eq!(Reserved::of(&record), Reserved { bytes: 6 * GIB, iops: 18, bytes_per_second: 30 });
        let half = Reserved { bytes: 3 * GIB, iops: 9, bytes_per_second: 15 };
        assert_eq!(Reserved::on("02:00:00:00:00:02", [&record].into_iter()), half, "each backend gives one");
        assert_eq!(Reserved::on("02:00:00:00:00:03", [&record].into_iter()), Reserved::default());
        record.replicas[0].lose(1);
        assert_eq!(Reserved::of(&record), half, "what is lost takes nothing");
    }

    #[test]
    fn records_survive_their_stored_form() {
        let mut record = volume(7, 3);
        record.enter(Phase::Expanding { to: Size { capacity_gib: 9, reserved_bytes: 1 } });
        let stored = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<VolumeRecord>(&stored).unwrap(), record);
    }
}
