//! What people and metrics see of a replica.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    leader::{LinkState, Phase},
    membership::{Membership, NodeId},
    replica::Replica,
};

/// A replica as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The newest that it took part in, durably.
    pub membership: Membership,
    pub role: Role,
    /// Nothing that it acknowledged since it was last equal to a primary can be lost.
    pub intact: bool,
    /// It holds the volume's data, but for what it lacks since it left the set.
    pub complete: bool,
    /// Regions that would be copied after a failure.
    pub record_regions: u64,
}

/// Whom a replica follows, or that it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// No primary has asked it to obey since its process started, or since it led.
    Idle,
    /// It obeys a primary.
    Following {
        primary: NodeId,
    },
    /// It is named in the store, and waits until nobody else may read by its word.
    Named,
    Leading(Leadership),
}

/// A replica that leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    pub phase: Phase,
    /// Hosts are answered: false during a takeover.
    pub serving: bool,
    /// The store was asked for it, and has not said how that ended.
    pub asked_for: Option<Membership>,
    /// Extents that this copy lost with its machine's power and still has to fetch.
    pub left_to_fetch_extents: u64,
    /// All other members, and whoever was heard of or is missing something.
    pub peers: BTreeMap<NodeId, PeerStatus>,
}

/// Another replica, as its primary sees it. Times are those of the primary's clock, since its machine's boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// In sync, or about to be.
    pub member: bool,
    pub state: LinkState,
    /// When it came to this state; none if there was no connection yet.
    pub since: Option<Duration>,
    /// What may differ and is still to be copied; none as long as that is not known.
    pub left_to_copy_extents: Option<u64>,
    /// What it lacks since it left the set, as it is remembered until it joins again.
    pub missing_extents: u64,
    /// Why it left the set. Not known to a primary under which it did not leave.
    pub taken_out: Option<TakenOut>,
}

/// Why a replica left the set, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOut {
    pub because: TakenOutFor,
    /// On the primary's clock, since its machine's boot.
    pub at: Duration,
}

/// Why a replica left the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TakenOutFor {
    /// It was not connected, or did not get on, for as long as a primary waits.
    Silence,
    /// Its drive failed.
    DriveFailure,
    /// An operator said that it is off for good.
    Force,
}

impl Replica {
    /// This replica as it is now. Costs as much as there are peers, whatever they lack.
    pub fn status(&self) -> Status {
        let role = match (&self.leader, self.follower.session) {
            (Some(leader), _) => Role::Leading(leader.status(self)),
            (None, _) if self.is_named() => Role::Named,
            (None, Some((primary, _))) => Role::Following { primary },
            (None, None) => Role::Idle,
        };
        Status {
            membership: self.settled.membership.clone(),
            role,
            intact: self.is_intact(),
            complete: self.settled.complete,
            record_regions: self.settled.record.grains(),
        }
    }
}
