//! An operator's word: other members are off for good, so this copy leads without them.
//!
//! It is what remains when all members lost power and not all come back: nobody but the operator can know that what was
//! answered and not flushed is not to be had from those that are silent. The set still changes through the store, and
//! grants still run out first, so a wrong word costs what this copy lost, and never makes two histories.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{
    event::Action,
    membership::{Membership, NodeId},
    replica::Replica,
};

/// Why a replica cannot lead by an operator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CannotForce {
    #[error("this replica was never filled")]
    Incomplete,
    #[error("this replica is not in sync: what was written since it left is not on it")]
    NotInSync,
    #[error("none of the replicas is another one in sync")]
    NobodyInSync,
    #[error("the store has not told yet who is in sync")]
    StoreUnknown,
}

impl Replica {
    /// Whether this replica can lead without these, as far as it knows the store.
    pub fn can_force(&self, dead: &BTreeSet<NodeId>) -> Result<(), CannotForce> {
        let membership = self.heard.as_ref().ok_or(CannotForce::StoreUnknown)?;
        self.without_dead(membership, dead).map(drop)
    }

    pub(crate) fn force(&mut self, dead: BTreeSet<NodeId>) {
        if self.can_force(&dead).is_ok() {
            self.dead.extend(dead);
        }
    }

    /// The set that an operator's word makes of this one, if there is such a word.
    pub(crate) fn forced(&self, membership: &Membership) -> Option<Membership> {
        self.without_dead(membership, &self.dead).ok()
    }

    fn without_dead(
        &self,
        membership: &Membership,
        dead: &BTreeSet<NodeId>,
    ) -> Result<Membership, CannotForce> {
        let me = self.config.me;
        if !self.settled.complete {
            return Err(CannotForce::Incomplete);
        }
        if !membership.in_sync.contains(&me) {
            return Err(CannotForce::NotInSync);
        }
        let mut target = membership.led_by(me);
        target.in_sync.retain(|member| *member == me || !dead.contains(member));
        if target.in_sync == membership.in_sync {
            return Err(CannotForce::NobodyInSync);
        }
        Ok(target)
    }

    /// The store told of a membership: who left it need not be forced out any more. A leader first takes note of why.
    pub(crate) fn hear_of(&mut self, membership: &Membership) {
        if self.heard.as_ref().is_some_and(|heard| heard.epoch > membership.epoch) {
            return;
        }
        if self.leader.is_none() {
            self.dead.retain(|node| membership.in_sync.contains(node));
        }
        self.heard = Some(membership.clone());
    }

    /// Asks the store for a set without the dead, if we do not lead. A leader does so itself, after what it has asked for.
    pub(crate) fn try_force(&mut self) {
        if self.leader.is_some() || self.is_named() || self.reclaimed.is_some() || self.adopting {
            return;
        }
        let heard = self.heard.as_ref().filter(|heard| heard.epoch >= self.issued.membership.epoch);
        let Some((expected, target)) = heard.and_then(|heard| Some((heard.epoch, self.forced(heard)?)))
        else {
            return;
        };
        self.act(Action::CompareAndSet { expected, target: target.clone() });
        self.reclaimed = Some(target);
    }
}
