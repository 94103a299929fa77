//! The part of a replica that leads.
//!
//! A takeover fences every other member, makes the recently written equal (M2), and only then serves. From then on a
//! host is answered when every counted peer has done what was asked (`ops`), a peer that came back is made equal
//! (`copies`), and the set is changed through the store (`set_change`). Reads need every counted peer's grant
//! (`grants`, M3).

mod copies;
mod grants;
mod link;
mod ops;
mod set_change;
mod status;
mod takeover;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::link::LinkState;
use self::{link::Link, ops::Ops, set_change::SetChange};
use crate::{
    config::Cheat,
    event::{Action, HostAnswer, HostRequest, OpId, WorkId},
    membership::{Epoch, Membership, NodeId, Session},
    message::{Command, CommandId, Message, Outcome, Standing},
    range::{BlockRange, Extent, Superset},
    replica::{Replica, Then},
    status::TakenOut,
};

/// Where a leadership stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not every member obeys yet.
    Fencing,
    /// This copy lost what it had not flushed: it takes the recently written from an intact member (M1).
    Catching(NodeId),
    /// It becomes intact.
    Certifying,
    Leading,
}

/// A membership that this replica leads.
#[derive(Debug)]
pub(crate) struct Leader {
    membership: Membership,
    phase: Phase,
    links: BTreeMap<NodeId, Link>,
    /// Commands that wait for their answer.
    outstanding: BTreeMap<CommandId, (NodeId, Purpose)>,
    last_command: u64,
    last_session: u64,
    change: Option<SetChange>,
    hand_over: Option<NodeId>,
    /// Why replicas left the set under this leadership, and when; until they join again.
    taken_out: BTreeMap<NodeId, TakenOut>,
    ops: Ops,
    /// What a copy that lost power still has to fetch, and what it fetches.
    to_fetch: Superset<Extent>,
    fetching: BTreeSet<Extent>,
    /// Hosts were told that this path leads.
    announced: bool,
    /// This node's drive failed.
    failed: bool,
    resigned: bool,
}

/// What a command was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Op(OpId),
    Copy(Extent),
    Fetch(Extent),
    /// Of a replica that is about to join.
    JoinFlush,
    Certify,
    Adopt(Epoch),
}

/// What a piece of this node's own work was for.
#[derive(Debug, Clone)]
pub(crate) enum LeaderWork {
    Marked(OpId, BlockRange),
    Written(OpId, BlockRange),
    Flushed(OpId),
    Read(OpId),
    CopyRead(NodeId, Session, Extent),
    FetchMarked(NodeId, Session, CommandId, Extent),
    FetchWritten(Extent),
    Certified,
    Changed(Membership),
}

impl LeaderWork {
    /// The range of a write whose end nobody else will note if the leadership has ended.
    pub(crate) fn written(&self) -> Option<BlockRange> {
        match self {
            Self::Marked(_, range) | Self::Written(_, range) => Some(*range),
            _ => None,
        }
    }
}

impl Leader {
    pub(crate) fn new(membership: Membership) -> Self {
        Self {
            membership,
            phase: Phase::Fencing,
            links: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            last_command: 0,
            last_session: 0,
            change: None,
            hand_over: None,
            taken_out: BTreeMap::new(),
            ops: Ops::default(),
            to_fetch: Superset::default(),
            fetching: BTreeSet::new(),
            announced: false,
            failed: false,
            resigned: false,
        }
    }

    pub(crate) fn begin(&mut self, replica: &mut Replica) {
        for peer in self.membership.peers().collect::<Vec<_>>() {
            self.links.insert(peer, Link::new(replica.now));
        }
        for peer in self.links.keys().copied().collect::<Vec<_>>() {
            self.connect(replica, peer);
        }
        self.progress(replica);
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.membership.epoch
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.announced
    }

    /// Whether an operation will be answered with these blocks.
    pub(crate) fn holds(&self, blocks: WorkId) -> bool {
        self.ops.holds(blocks)
    }

    pub(crate) fn has_resigned(&self) -> bool {
        self.resigned
    }

    pub(crate) fn resign(&mut self) {
        self.resigned = true;
    }

    /// Whether a peer is in sync, or may be as soon as the store answers.
    fn belongs(&self, peer: NodeId) -> bool {
        self.membership.in_sync.contains(&peer)
            || self.change.as_ref().is_some_and(|change| change.target.in_sync.contains(&peer))
    }

    /// Whether nothing is done without a peer: it belongs to the set, or is on the last steps to it. From its flush on,
    /// everything that is flushed elsewhere must be flushed there, too, or it would join without it.
    fn counts(&self, peer: NodeId) -> bool {
        self.belongs(peer) || self.links.get(&peer).is_some_and(|link| link.state >= LinkState::Flushing)
    }

    fn belonging(&self) -> impl Iterator<Item = (NodeId, &Link)> {
        self.links.iter().filter(|(peer, _)| self.belongs(**peer)).map(|(peer, link)| (*peer, link))
    }

    /// Whether hosts may be answered: every peer that belongs to the set is equal and knows the set.
    fn is_ready(&self, replica: &Replica) -> bool {
        let equal = |(peer, link): (NodeId, &Link)| {
            let knows = !self.membership.in_sync.contains(&peer) || link.epoch == self.membership.epoch;
            link.state == LinkState::Equal && knows
                || link.state <= LinkState::Fencing
                    && self.announced
                    && replica.config.cheats(Cheat::AnswerBeforeRecord)
        };
        self.phase == Phase::Leading && self.belonging().all(equal)
    }

    /// Does all that can be done now. What ends lets other things begin.
    pub(crate) fn progress(&mut self, replica: &mut Replica) {
        loop {
            self.take_over(replica);
            if self.phase == Phase::Leading {
                self.meet_strangers(replica);
                self.judge_fenced(replica);
                self.pump_copies(replica);
            }
            self.tell_of_set(replica);
            self.ask_for_grants(replica);
            self.change_set(replica);
            if !self.announced && self.is_ready(replica) && !self.resigned {
                self.announced = true;
                replica.act(Action::Lead(true));
            }
            if !self.pump_ops(replica) {
                return;
            }
        }
    }

    pub(crate) fn next_deadline(&self, replica: &Replica) -> Option<Duration> {
        let patience = self.belonging().filter(|(_, link)| link.state <= LinkState::Fencing);
        let patience = patience.map(|(_, link)| link.overdue_at(&replica.config)).min();
        let renewal = self.belonging().filter_map(|(_, link)| link.grant_renewal(&replica.config)).min();
        let copies = self.links.values().filter(|link| link.state == LinkState::Copying);
        let deadlines = [patience, renewal].into_iter().flatten().chain(copies.map(|link| link.resume_at));
        // What is overdue waits for something else than time.
        deadlines.filter(|deadline| *deadline > replica.now).min()
    }

    fn command(
        &mut self,
        replica: &mut Replica,
        to: NodeId,
        purpose: Purpose,
        command: Command,
        payload: Option<crate::event::Payload>,
    ) -> CommandId {
        self.last_command += 1;
        let id = CommandId(self.last_command);
        let session = self.links[&to].session.expect("only fenced peers are commanded");
        self.outstanding.insert(id, (to, purpose));
        replica.send(to, Message::Command { session, id, command }, payload);
        id
    }

    pub(crate) fn command_done(
        &mut self,
        replica: &mut Replica,
        from: NodeId,
        (session, id): (Session, CommandId),
        outcome: Outcome,
    ) {
        let current = self.links.get(&from).and_then(|link| link.session) == Some(session);
        if !current || self.outstanding.get(&id).is_none_or(|(to, _)| *to != from) {
            return;
        }
        let Some((_, purpose)) = self.outstanding.remove(&id) else { return };
        if outcome == Outcome::Failed {
            self.peer_failed(replica, from);
            return;
        }
        match purpose {
            Purpose::Op(op) => self.ops.peer_done(op, from, id),
            Purpose::Copy(extent) => self.copied(replica, from, extent),
            Purpose::Fetch(extent) => self.fetched(replica, (from, session, id), extent),
            Purpose::JoinFlush => self.certify(replica, from),
            Purpose::Certify => self.certified(replica, from),
            Purpose::Adopt(epoch) => {
                let link = self.links.get_mut(&from).expect("it answered");
                link.epoch = link.epoch.max(epoch);
            }
        }
    }

    pub(crate) fn work_done(
        &mut self,
        replica: &mut Replica,
        kind: LeaderWork,
        id: WorkId,
        outcome: Outcome,
    ) {
        if outcome == Outcome::Failed {
            self.own_drive_failed(replica);
        }
        match kind {
            LeaderWork::Marked(op, range) => self.marked(replica, op, range),
            LeaderWork::Written(op, range) => self.written(replica, op, range, outcome),
            LeaderWork::Flushed(op) => self.flushed(replica, op, outcome),
            LeaderWork::Read(op) => self.read(op, id, outcome),
            LeaderWork::CopyRead(peer, session, extent) if outcome == Outcome::Ok => {
                self.copy_read(replica, (peer, session), extent, id);
            }
            LeaderWork::CopyRead(peer, session, extent) => self.copy_unread(replica, (peer, session), extent),
            LeaderWork::FetchMarked(from, session, command, extent) => {
                self.write_fetched(replica, (from, session, command), extent);
            }
            LeaderWork::FetchWritten(extent) => self.fetch_written(extent, outcome),
            LeaderWork::Certified => self.own_certified(),
            LeaderWork::Changed(target) => self.changed(replica, target),
        }
    }

    /// The leadership is over: hosts try elsewhere.
    pub(crate) fn end(&mut self, replica: &mut Replica) {
        for op in self.ops.unanswered() {
            replica.act(Action::Answer { op, answer: HostAnswer::Path });
        }
        for (op, blocks) in self.ops.all() {
            replica.act(Action::Release { op, blocks });
        }
        for range in self.ops.unended_writes() {
            replica.tracker.write_ended(range, &replica.config.grain);
        }
        self.return_grants(replica);
        if self.announced {
            replica.act(Action::Lead(false));
        }
    }

    pub(crate) fn host(&mut self, replica: &mut Replica, op: OpId, request: HostRequest) {
        if !self.announced || self.hand_over.is_some() || self.failed {
            replica.act(Action::Answer { op, answer: HostAnswer::Path });
            replica.act(Action::Release { op, blocks: None });
            return;
        }
        self.ops.enter(op, request);
    }

    pub(crate) fn fenced(
        &mut self,
        replica: &mut Replica,
        from: NodeId,
        session: Session,
        standing: Standing,
    ) {
        let Some(link) = self.links.get_mut(&from) else { return };
        if link.session != Some(session) || link.state != LinkState::Fencing {
            return;
        }
        link.enter(LinkState::Fenced, replica.now);
        link.epoch = link.fence_epoch;
        // What it holds beyond our end was written there, and must be seen.
        replica.expand(standing.extents);
        link.standing = Some(standing);
    }

    fn start(replica: &mut Replica, work: crate::event::Work, kind: LeaderWork) -> WorkId {
        replica.start_work(work, Then::Lead(kind))
    }
}
