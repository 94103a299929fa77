//! A leadership as people and metrics see it.

use super::{Leader, LinkState};
use crate::{
    membership::{Membership, NodeId},
    replica::Replica,
    status::{Leadership, PeerStatus, TakenOut, TakenOutFor},
};

impl Leader {
    pub(crate) fn status(&self, replica: &Replica) -> Leadership {
        let missing = &replica.issued.missing;
        let peers = self.links.keys().chain(missing.keys()).chain(self.taken_out.keys());
        Leadership {
            phase: self.phase,
            serving: self.announced,
            asked_for: self.change.as_ref().map(|change| change.target.clone()),
            left_to_fetch_extents: self.to_fetch.grains(),
            peers: peers.map(|peer| (*peer, self.peer_status(replica, *peer))).collect(),
        }
    }

    fn peer_status(&self, replica: &Replica, peer: NodeId) -> PeerStatus {
        let link = self.links.get(&peer);
        PeerStatus {
            member: self.belongs(peer),
            state: link.map_or(LinkState::Down, |link| link.state),
            since: link.map(|link| link.since),
            left_to_copy_extents: link.and_then(|link| link.todo.as_ref()).map(|todo| todo.grains()),
            missing_extents: replica.issued.missing.get(&peer).map_or(0, |missing| missing.grains()),
            taken_out: self.taken_out.get(&peer).copied(),
        }
    }

    /// The set changes to `target`: who leaves it, and why?
    pub(super) fn note_taken_out(&mut self, replica: &Replica, target: &Membership) {
        self.taken_out.retain(|peer, _| !target.in_sync.contains(peer));
        for peer in self.membership.in_sync.difference(&target.in_sync) {
            let bad = self.links.get(peer).is_some_and(|link| link.bad);
            let because = match bad {
                _ if replica.dead.contains(peer) => TakenOutFor::Force,
                true => TakenOutFor::DriveFailure,
                false => TakenOutFor::Silence,
            };
            self.taken_out.insert(*peer, TakenOut { because, at: replica.now });
        }
    }
}
