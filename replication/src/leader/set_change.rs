//! Changing the set: through the store, one change at a time, and none is ever given up once it was asked for.

use super::{Leader, LeaderWork, Phase, Purpose, link::LinkState};
use crate::{
    durable::Change,
    event::{Action, HostAnswer, Stored},
    membership::{Membership, NodeId},
    message::Command,
    replica::{Replica, Then},
};

/// A change that the store was asked for. It may come true at any time until the store says otherwise.
#[derive(Debug)]
pub(super) struct SetChange {
    pub(super) target: Membership,
    /// Nobody knows whether it was stored: the next look at the store tells.
    unknown: bool,
    /// It is stored, and on its way to this drive.
    stored: bool,
}

impl Leader {
    pub(crate) fn hand_over(&mut self, to: NodeId) {
        if self.announced && self.membership.in_sync.contains(&to) && to != self.membership.primary {
            self.hand_over = Some(to);
        }
    }

    /// This node's drive failed: another replica leads without it, if there is one (M5).
    pub(super) fn own_drive_failed(&mut self, replica: &mut Replica) {
        if self.membership.in_sync.len() == 1 {
            return;
        }
        self.failed = true;
        let (unanswered, over) = self.ops.give_up();
        for op in unanswered {
            replica.act(Action::Answer { op, answer: HostAnswer::Path });
        }
        for op in over {
            replica.act(Action::Release { op, blocks: None });
        }
    }

    /// Whether the store's membership is this leadership's own, or one that it asked for.
    pub(crate) fn knows(&self, membership: &Membership) -> bool {
        *membership == self.membership
            || self.change.as_ref().is_some_and(|change| change.target == *membership)
    }

    /// Asks for the next change, if one is due.
    pub(super) fn change_set(&mut self, replica: &mut Replica) {
        if self.hand_over.is_some_and(|to| !self.membership.in_sync.contains(&to)) {
            self.hand_over = None;
        }
        // The last copy serves as well as it can.
        self.failed &= self.membership.in_sync.len() > 1;
        if self.change.is_some() {
            return;
        }
        let forced = replica.forced(&self.membership).filter(|_| self.phase != Phase::Certifying);
        let due = match self.source() {
            _ if forced.is_some() => forced,
            // This drive does not even take what it lacks: who has it shall lead.
            Some(source) if self.failed => Some(self.membership.led_by(source)),
            // Only a copy that has everything may say that another one is not needed.
            _ if replica.is_intact() && self.phase != Phase::Certifying => self.due_change(replica),
            _ => None,
        };
        if let Some(target) = due {
            replica.act(Action::CompareAndSet { expected: self.membership.epoch, target: target.clone() });
            self.change = Some(SetChange { target, unknown: false, stored: false });
        }
    }

    fn due_change(&self, replica: &Replica) -> Option<Membership> {
        let overdue = |link: &super::Link| {
            link.state <= LinkState::Fencing && replica.now >= link.overdue_at(&replica.config)
        };
        if let Some((lost, _)) = self.belonging().find(|(_, link)| overdue(link)) {
            return Some(self.membership.without(lost));
        }
        if self.phase != Phase::Leading {
            return None;
        }
        let equal = |peer: &NodeId| self.links.get(peer).is_some_and(|link| link.state == LinkState::Equal);
        if self.failed {
            let heir = self.membership.peers().find(equal).filter(|_| self.is_ready(replica))?;
            let mut target = self.membership.led_by(heir);
            target.in_sync.remove(&replica.config.me);
            return Some(target);
        }
        if let Some(to) = self.hand_over {
            let idle = self.ops.is_empty() && self.is_ready(replica) && equal(&to);
            return idle.then(|| self.membership.led_by(to));
        }
        let joins = |(peer, link): (&NodeId, &super::Link)| {
            !self.membership.in_sync.contains(peer)
                && link.state == LinkState::Equal
                && link.granted_until.is_some_and(|until| replica.now < until)
                && !self.ops.lags(*peer)
        };
        let joining = self.links.iter().find(|(peer, link)| joins((peer, link)));
        joining.map(|(peer, _)| self.membership.with(*peer))
    }

    pub(crate) fn stored(&mut self, replica: &mut Replica, target: &Membership, stored: Stored) {
        let Some(change) = self.change.as_mut().filter(|change| change.target == *target && !change.stored)
        else {
            return;
        };
        match stored {
            Stored::Unknown => change.unknown = true,
            Stored::Ok => self.store_has(replica),
            Stored::Conflict(current) if current == *target => self.store_has(replica),
            // Somebody else was faster: who leads now is for the store to say.
            Stored::Conflict(_) => self.resign(),
        }
    }

    /// The store was looked at, and has something that we know.
    pub(crate) fn learned(&mut self, replica: &mut Replica, membership: &Membership) {
        let Some(change) = self.change.as_mut().filter(|change| !change.stored) else { return };
        if change.target == *membership {
            self.store_has(replica);
        } else if change.unknown {
            change.unknown = false;
            let (expected, target) = (membership.epoch, change.target.clone());
            replica.act(Action::CompareAndSet { expected, target });
        }
    }

    fn store_has(&mut self, replica: &mut Replica) {
        let change = self.change.as_mut().expect("only asked changes are stored");
        if change.target.primary != replica.config.me {
            self.resign();
            return;
        }
        change.stored = true;
        let target = change.target.clone();
        replica.persist(Change::Adopt(target.clone()), Then::Lead(LeaderWork::Changed(target)));
    }

    /// The new set is durable here; the others are told before anybody is answered under it.
    pub(super) fn changed(&mut self, replica: &mut Replica, target: Membership) {
        if self.change.as_ref().is_none_or(|change| change.target != target) {
            return;
        }
        self.change = None;
        self.note_taken_out(replica, &target);
        replica.hear_of(&target);
        self.membership = target;
        let gone = self.links.iter().filter(|(peer, _)| !self.membership.in_sync.contains(peer));
        for peer in gone.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.forget(replica, peer);
        }
    }

    pub(super) fn tell_of_set(&mut self, replica: &mut Replica) {
        let epoch = self.membership.epoch;
        let behind = |(peer, link): (&NodeId, &super::Link)| {
            self.membership.in_sync.contains(peer)
                && link.state >= LinkState::Fenced
                && link.epoch < epoch
                && link.telling < epoch
        };
        let behind = self.links.iter().filter(|(peer, link)| behind((peer, link))).map(|(peer, _)| *peer);
        for peer in behind.collect::<Vec<_>>() {
            self.links.get_mut(&peer).expect("listed").telling = epoch;
            let command = Command::Adopt(self.membership.clone());
            self.command(replica, peer, Purpose::Adopt(epoch), command, None);
        }
    }
}
