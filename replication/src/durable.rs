//! What a replica keeps on its drive beside the data: small, changed in order, and whole after any crash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    membership::{Membership, NodeId},
    range::{BlockRange, Extent, Grain, Region, RunSet, Superset},
};

/// One boot of the node's machine. What a process wrote survives the process, not the boot, unless it was flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot(pub u64);

/// A replica's durable fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// The newest membership that this replica took part in. Commands of an older epoch are refused.
    pub membership: Membership,
    /// How large the volume is, as far as this replica knows: it grows when it is told to, and when it is written to
    /// beyond. Beyond are zeros. The drive must have so much room before the change that says so ends.
    pub extents: u64,
    /// It holds a volume's data; what it may lack follows from the others' `missing`. A new replica does not.
    pub complete: bool,
    /// The boot in which it was last equal to a primary: if the machine is still up since, nothing was lost.
    pub certified: Option<Boot>,
    /// Regions written since the last flush that completed on all replicas in sync (M2).
    pub record: Superset<Region>,
    /// What each replica that left the set lacks. Kept by those that are in it.
    pub missing: BTreeMap<NodeId, Superset<Extent>>,
}

/// One change of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Takes part in a newer membership. Who left it lacks what may not have reached it; who came back lacks nothing.
    Adopt(Membership),
    /// The volume has at least so many extents.
    Expand(u64),
    /// About to write into a range.
    Mark(BlockRange),
    /// These regions are on all replicas in sync, flushed: exactly these, because a region that is dropped and was not
    /// flushed everywhere would never be made equal again.
    Drop(RunSet<Region>),
    /// Equal to the primary, in this boot. `missing` is what the primary knew.
    Certify { boot: Boot, missing: BTreeMap<NodeId, Superset<Extent>> },
}

impl Durable {
    /// Of a replica that is made with its volume, empty like all others.
    pub fn new(membership: Membership, boot: Boot, extents: u64) -> Self {
        Self {
            membership,
            extents,
            complete: true,
            certified: Some(boot),
            record: Superset::default(),
            missing: BTreeMap::new(),
        }
    }

    /// Of a replica that is made later and has yet to be filled.
    pub fn blank(membership: Membership, extents: u64) -> Self {
        Self { complete: false, certified: None, ..Self::new(membership, Boot(0), extents) }
    }

    /// Makes a change, on `me`'s replica.
    pub fn apply(&mut self, change: &Change, me: NodeId, grain: &Grain) {
        match change {
            Change::Adopt(membership) => self.adopt(membership, me, grain),
            Change::Expand(extents) => self.extents = self.extents.max(*extents),
            Change::Mark(range) => {
                self.extents = self.extents.max(grain.extents(*range).end.0);
                self.record.insert(&grain.regions(*range), grain.runs_max);
                for missing in self.missing.values_mut() {
                    missing.insert(&grain.extents(*range), grain.runs_max);
                }
            }
            Change::Drop(regions) => self.record.subtract(regions, grain.runs_max),
            Change::Certify { boot, missing } => {
                self.certified = Some(*boot);
                self.complete = true;
                // What was written here before this change came is in the record, but not yet marked for the others.
                let recent = grain.extents_of(&self.record);
                self.missing = missing.clone();
                for missing in self.missing.values_mut() {
                    missing.extend(&recent, grain.runs_max);
                }
            }
        }
    }

    fn adopt(&mut self, membership: &Membership, me: NodeId, grain: &Grain) {
        assert!(membership.epoch >= self.membership.epoch, "epochs never go back");
        if membership.in_sync.contains(&me) {
            for left in self.membership.in_sync.difference(&membership.in_sync) {
                self.missing.insert(*left, grain.extents_of(&self.record));
            }
            self.missing.retain(|node, _| !membership.in_sync.contains(node));
        } else {
            // What it knew of others grows stale while it is away.
            self.missing.clear();
            self.certified = None;
        }
        self.membership = membership.clone();
    }

    /// Whether a range lies within the volume, as far as this replica knows.
    pub fn has_room(&self, range: BlockRange, grain: &Grain) -> bool {
        grain.extents(range).end.0 <= self.extents
    }

    /// Whether a write into `range` needs no mark.
    pub fn covers(&self, range: BlockRange, grain: &Grain) -> bool {
        self.has_room(range, grain)
            && self.record.covers(&grain.regions(range))
            && self.missing.values().all(|missing| missing.covers(&grain.extents(range)))
    }
}
