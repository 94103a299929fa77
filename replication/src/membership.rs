//! Who holds a volume, and who leads.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A node that holds, or may come to hold, a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u16);

/// Counts the changes of a volume's membership. Each epoch has one primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A primary's connection to a replica: which start of its process, and which connection since. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Session {
    pub incarnation: u64,
    pub number: u64,
}

/// The record of a volume in the store, changed by compare-and-set only, and kept by its replicas too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedMembership")]
pub struct Membership {
    pub epoch: Epoch,
    pub primary: NodeId,
    /// Replicas that hold every acknowledged write; the primary is one of them.
    pub in_sync: BTreeSet<NodeId>,
}

/// As it arrived.
#[derive(Deserialize)]
struct UncheckedMembership {
    epoch: Epoch,
    primary: NodeId,
    in_sync: BTreeSet<NodeId>,
}

/// A membership whose primary is none of its members.
#[derive(Debug, Error)]
#[error("the primary {} is not in sync", primary.0)]
struct NotAMember {
    primary: NodeId,
}

impl TryFrom<UncheckedMembership> for Membership {
    type Error = NotAMember;

    fn try_from(unchecked: UncheckedMembership) -> Result<Self, NotAMember> {
        let UncheckedMembership { epoch, primary, in_sync } = unchecked;
        if in_sync.contains(&primary) {
            Ok(Self { epoch, primary, in_sync })
        } else {
            Err(NotAMember { primary })
        }
    }
}

impl Membership {
    /// The first of a new volume.
    pub fn first(primary: NodeId, in_sync: impl IntoIterator<Item = NodeId>) -> Self {
        let in_sync: BTreeSet<_> = in_sync.into_iter().collect();
        assert!(in_sync.contains(&primary), "the primary is in sync with itself");
        Self { epoch: Epoch(1), primary, in_sync }
    }

    /// The next one, without `node`, which does not lead.
    #[must_use]
    pub fn without(&self, node: NodeId) -> Self {
        assert_ne!(node, self.primary, "a primary hands over before it leaves");
        let in_sync = self.in_sync.iter().copied().filter(|member| *member != node).collect();
        Self { epoch: self.epoch.next(), primary: self.primary, in_sync }
    }

    /// The next one, with `node`.
    #[must_use]
    pub fn with(&self, node: NodeId) -> Self {
        let mut next = Self { epoch: self.epoch.next(), ..self.clone() };
        next.in_sync.insert(node);
        next
    }

    /// The next one, led by `node`, which is in sync.
    #[must_use]
    pub fn led_by(&self, node: NodeId) -> Self {
        assert!(self.in_sync.contains(&node), "only a replica in sync can lead");
        Self { epoch: self.epoch.next(), primary: node, ..self.clone() }
    }

    /// The replicas in sync but for the primary.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.in_sync.iter().copied().filter(|member| *member != self.primary)
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_sync: Vec<_> = self.in_sync.iter().map(|node| node.0).collect();
        write!(f, "{}:{} of {in_sync:?}", self.epoch.0, self.primary.0)
    }
}
