//! The part of a replica that obeys: one session at a time, checked when a command is executed (M4).

use std::{collections::BTreeMap, time::Duration};

use crate::{
    config::Cheat,
    durable::Change,
    event::{Payload, Work, WorkId},
    membership::{Membership, NodeId, Session},
    message::{Command, CommandId, Message, Outcome},
    range::{BlockRange, Region, Superset},
    replica::{Replica, Then},
    tracker::FlushNumber,
};

/// A primary that wants to be obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) from: NodeId,
    pub(crate) session: Session,
    pub(crate) membership: Membership,
}

/// Who asked for a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) from: NodeId,
    pub(crate) session: Session,
    pub(crate) id: CommandId,
}

#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// Whose commands are executed.
    pub(crate) session: Option<(NodeId, Session)>,
    /// The newest that asked and was not answered yet.
    pub(crate) fence: Option<Fence>,
    /// Who may read until when, by our word.
    pub(crate) granted: Option<(NodeId, Duration)>,
    /// This session's flushes.
    pub(crate) flushes: BTreeMap<CommandId, FlushNumber>,
    /// Those that are under way.
    pub(crate) flushing: BTreeMap<CommandId, FlushNumber>,
}

impl Replica {
    /// Whether somebody but `node` may be reading by our word.
    pub(crate) fn grants_to_another(&self, node: NodeId) -> bool {
        self.follower.granted.is_some_and(|(holder, until)| holder != node && self.now < until)
            && !self.config.cheats(Cheat::NoGrants)
    }

    pub(crate) fn fence_asked(&mut self, fence: Fence) {
        let ours = &self.issued.membership;
        if fence.membership.epoch < ours.epoch {
            let newer = ours.clone();
            self.send(fence.from, Message::Refused { newer, of: None }, None);
            return;
        }
        let key = |fence: &Fence| (fence.membership.epoch, fence.session);
        let obeyed = self.follower.session.filter(|(from, _)| *from == fence.from);
        let old = self.follower.fence.as_ref().is_some_and(|asked| key(asked) >= key(&fence))
            || obeyed.is_some_and(|(_, session)| session >= fence.session);
        if !old {
            self.follower.fence = Some(fence);
        }
    }

    /// Obeys the newest fence, once nobody else reads by our word and nothing older is under way.
    pub(crate) fn try_fence(&mut self) {
        let Some(fence) = self.follower.fence.clone() else { return };
        if self.adopting || self.grants_to_another(fence.from) {
            return;
        }
        if fence.membership.epoch < self.issued.membership.epoch {
            self.follower.fence = None;
            let newer = self.issued.membership.clone();
            self.send(fence.from, Message::Refused { newer, of: None }, None);
            return;
        }
        self.step_down();
        self.follower.session = None;
        if self.executing > 0 && !self.config.cheats(Cheat::NoDrain) {
            return;
        }
        self.adopting = true;
        self.persist(Change::Adopt(fence.membership.clone()), Then::Fenced(fence));
    }

    pub(crate) fn fence_adopted(&mut self, fence: Fence) {
        self.adopting = false;
        if self.follower.fence.as_ref() != Some(&fence) {
            return;
        }
        self.follower.fence = None;
        self.follower.flushes.clear();
        self.follower.session = Some((fence.from, fence.session));
        let message = Message::Fenced { session: fence.session, replica: self.standing() };
        self.send(fence.from, message, None);
    }

    fn obeys(&self, asked: &Asked) -> bool {
        self.follower.session == Some((asked.from, asked.session)) || self.config.cheats(Cheat::NoFence)
    }

    fn refuse(&mut self, asked: &Asked) {
        let newer = self.issued.membership.clone();
        self.send(asked.from, Message::Refused { newer, of: Some(asked.id) }, None);
    }

    pub(crate) fn command(&mut self, asked: Asked, command: Command) {
        if !self.obeys(&asked) {
            self.refuse(&asked);
            return;
        }
        match command {
            Command::Write(range) => {
                self.tracker.write_begins(range, &self.config.grain);
                if self.mark(range, Then::Asked(asked)).is_some() {
                    self.execute(asked, range);
                }
            }
            Command::Flush => {
                let number = self.tracker.flush_begins();
                self.follower.flushing.insert(asked.id, number);
                self.start_work(Work::Flush, Then::Asked(asked));
            }
            Command::Fetch(range) => {
                let grain = &self.config.grain;
                if self.settled.has_room(range, grain) {
                    self.fetch(asked, range);
                } else {
                    let extents = grain.extents(range).end.0;
                    self.persist(Change::Expand(extents), Then::Fetch(asked, range));
                }
            }
            Command::Certify { missing } => {
                let boot = self.config.boot;
                self.persist(Change::Certify { boot, missing }, Then::Asked(asked));
            }
            Command::Adopt(membership) => {
                if membership.epoch < self.issued.membership.epoch {
                    self.refuse(&asked);
                    return;
                }
                self.persist(Change::Adopt(membership), Then::Asked(asked));
            }
        }
    }

    pub(crate) fn fetch(&mut self, asked: Asked, range: BlockRange) {
        self.start_work(Work::Read(range), Then::Asked(asked));
    }

    /// The moment at which a write cannot be stopped any more.
    fn execute(&mut self, asked: Asked, range: BlockRange) {
        if !self.obeys(&asked) {
            self.tracker.write_ended(range, &self.config.grain);
            self.refuse(&asked);
            return;
        }
        let Asked { from, session, id } = asked;
        let payload = Payload::Received { from, session, id };
        self.start_work(Work::Write { range, payload }, Then::Asked(asked));
    }

    pub(crate) fn asked_done(&mut self, asked: Asked, work: &Work, id: WorkId, outcome: Outcome) {
        let mut payload = None;
        match work {
            Work::Persist(Change::Mark(range)) => return self.execute(asked, *range),
            Work::Write { range, .. } => self.tracker.write_ended(*range, &self.config.grain),
            Work::Flush => {
                let number = self.follower.flushing.remove(&asked.id);
                if let Some(number) = number.filter(|_| self.config.cheats(Cheat::DropEarly)) {
                    self.drop_covered(number, &Superset::default());
                }
                if let Some(number) = number.filter(|_| self.obeys(&asked)) {
                    self.follower.flushes.insert(asked.id, number);
                }
            }
            Work::Read(_) => payload = (outcome == Outcome::Ok).then_some(Payload::Work(id)),
            Work::Persist(_) => {}
        }
        let message = Message::Done { session: asked.session, id: asked.id, outcome };
        self.send(asked.from, message, payload);
    }

    pub(crate) fn grant_asked(&mut self, from: NodeId, session: Session, asked: Duration) {
        // Once somebody newer waits, the older primary's time runs out.
        if self.follower.session != Some((from, session)) || self.follower.fence.is_some() {
            return;
        }
        self.follower.granted = Some((from, self.now + self.config.grant_for_replica()));
        self.send(from, Message::Grant { session, asked }, None);
    }

    pub(crate) fn grant_returned(&mut self, from: NodeId, session: Session) {
        if self.follower.session == Some((from, session)) {
            self.follower.granted = None;
        }
    }

    pub(crate) fn flushed_everywhere(
        &mut self,
        from: NodeId,
        session: Session,
        flush: CommandId,
        except: &Superset<Region>,
    ) {
        if self.follower.session != Some((from, session)) {
            return;
        }
        let Some(number) = self.follower.flushes.remove(&flush) else { return };
        self.follower.flushes.retain(|_, other| *other > number);
        self.drop_covered(number, except);
    }

    /// Takes what a flush covered on all replicas in sync out of the record.
    pub(crate) fn drop_covered(&mut self, number: FlushNumber, except: &Superset<Region>) {
        let covered = self.tracker.covered(number, &self.issued.record, except, &self.config.grain);
        if !covered.is_empty() {
            self.persist(Change::Drop(covered), Then::Nothing);
        }
    }
}
