//! Which drives of a backend take a copy.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use dataplane::{
    limits::VOLUME_PARTS,
    node::{DriveInfo, DriveState, VolumeInfo},
};
use uuid::Uuid;

use super::{Candidate, Wanted};
use crate::model::volume::{StorageClass, VolumeRecord};

/// A drive as placement sees it.
#[derive(Debug, Clone)]
pub(crate) struct CandidateDrive {
    pub(crate) uuid: Uuid,
    pub(crate) unreserved_bytes: u64,
    /// Storage class names of the volumes on it.
    pub(crate) class_names: Vec<String>,
}

/// The drives of a backend for a copy, as [`super::Place`] names them; none if they have too little room.
pub(super) fn for_copy(wanted: Wanted<'_>, candidate: &Candidate) -> Vec<Uuid> {
    let mut drives = wanted.class.eligible(&candidate.drives);
    drives.sort_by_key(|d| (Reverse(d.unreserved_bytes), d.uuid));
    match drives.first() {
        Some(best) if best.unreserved_bytes >= wanted.reserved_bytes => vec![best.uuid],
        Some(_) if room(wanted.class, &drives) >= wanted.reserved_bytes => {
            drives.iter().map(|d| d.uuid).collect()
        }
        _ => Vec::new(),
    }
}

/// The most that a copy of this class could reserve on the backend.
pub(super) fn largest(class: &StorageClass, candidate: &Candidate) -> u64 {
    let mut drives = class.eligible(&candidate.drives);
    drives.sort_by_key(|d| Reverse(d.unreserved_bytes));
    room(class, &drives)
}

/// As `largest`, of drives with the roomiest first.
fn room(class: &StorageClass, drives: &[&CandidateDrive]) -> u64 {
    let alone = drives.first().map_or(0, |d| d.unreserved_bytes);
    let together: u64 = drives.iter().take(VOLUME_PARTS).map(|d| d.divisible_bytes()).sum();
    if class.allow_span { alone.max(together) } else { alone }
}

impl StorageClass {
    /// The drives that may hold a volume of this class, however much room they have.
    pub(super) fn eligible<'a>(&self, drives: &'a [CandidateDrive]) -> Vec<&'a CandidateDrive> {
        let own = |d: &&CandidateDrive| {
            self.share_ssd || self.name.as_ref().is_none_or(|name| !d.class_names.contains(name))
        };
        drives.iter().filter(own).collect()
    }

    /// The drives over which a volume may span when it grows.
    pub(crate) fn may_span(&self, drives: &[CandidateDrive]) -> Vec<Uuid> {
        if self.allow_span { self.eligible(drives).iter().map(|d| d.uuid).collect() } else { Vec::new() }
    }
}

impl CandidateDrive {
    /// Parts end on whole MiB.
    fn divisible_bytes(&self) -> u64 {
        self.unreserved_bytes >> 20 << 20
    }

    /// The drives that take new volumes, with what lies on them; `except` is not counted.
    pub(crate) fn list<'a>(
        drives: &[DriveInfo],
        on_node: &HashMap<Uuid, VolumeInfo>,
        volumes: impl Iterator<Item = &'a VolumeRecord>,
        except: Option<Uuid>,
    ) -> Vec<Self> {
        let mut class_names: HashMap<Uuid, HashSet<&str>> = HashMap::new();
        for volume in volumes.filter(|volume| Some(volume.uuid) != except) {
            let Some(name) = &volume.class.name else { continue };
            for on in volume.replicas.iter().filter_map(|replica| on_node.get(&replica.uuid)) {
                for part in &on.parts {
                    class_names.entry(part.drive).or_default().insert(name);
                }
            }
        }
        let names = |drive| class_names.get(&drive).into_iter().flatten().map(|name| (*name).to_owned());
        let online = drives.iter().filter(|d| d.state == DriveState::Online);
        let list = online.map(|d| Self {
            uuid: d.uuid,
            unreserved_bytes: d.unreserved_bytes,
            class_names: names(d.uuid).collect(),
        });
        list.collect()
    }
}
