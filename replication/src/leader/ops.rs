//! Hosts' operations: claimed, executed here and at every peer, answered when every counted peer has done its part.

mod claims;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::claims::Claims;
use super::{Leader, LeaderWork, Purpose, link::LinkState};
use crate::{
    config::Cheat,
    event::{Action, HostAnswer, HostRequest, OpId, Payload, Work, WorkId},
    membership::NodeId,
    message::{Command, CommandId, Message, Outcome},
    range::{BlockRange, Superset},
    replica::{Replica, Then},
    tracker::FlushNumber,
};

/// A host's operation.
#[derive(Debug)]
struct Op {
    request: HostRequest,
    stage: Stage,
    /// What was sent to whom, and whether it is done.
    parts: BTreeMap<NodeId, (CommandId, bool)>,
    local_done: bool,
    /// A flush's number at this replica.
    flush: Option<FlushNumber>,
    /// A read's blocks.
    blocks: Option<WorkId>,
    failed: bool,
    /// Its host was told to try elsewhere.
    given_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits for claims, or for grants.
    Waiting,
    /// Its range is being recorded.
    Marking,
    Running,
    /// A write that all have, whose claim was let go: it waits until every counted peer is equal.
    Held,
    /// Answered; a peer that does not count yet still works on it, so the claim stays.
    Answered,
}

#[derive(Debug, Default)]
pub(super) struct Ops {
    /// In the order in which they came.
    ops: BTreeMap<OpId, Op>,
    pub(super) claims: Claims,
}

impl Ops {
    pub(super) fn enter(&mut self, id: OpId, request: HostRequest) {
        let op = Op {
            request,
            stage: Stage::Waiting,
            parts: BTreeMap::new(),
            local_done: false,
            flush: None,
            blocks: None,
            failed: false,
            given_up: false,
        };
        self.ops.insert(id, op);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub(super) fn unanswered(&self) -> Vec<OpId> {
        let waits = |op: &Op| op.stage != Stage::Answered && !op.given_up;
        self.ops.iter().filter(|(_, op)| waits(op)).map(|(id, _)| *id).collect()
    }

    /// Answers nothing of what there is, and begins nothing more of it: whom to answer otherwise, and what is over.
    pub(super) fn give_up(&mut self) -> (Vec<OpId>, Vec<OpId>) {
        let unanswered = self.unanswered();
        for op in self.ops.values_mut() {
            op.given_up = true;
        }
        let waiting = self.ops.iter().filter(|(_, op)| op.stage == Stage::Waiting);
        let over = waiting.map(|(id, _)| *id).collect();
        self.ops.retain(|_, op| op.stage != Stage::Waiting);
        (unanswered, over)
    }

    /// All that there is, with the blocks that were read.
    pub(super) fn all(&self) -> impl Iterator<Item = (OpId, Option<WorkId>)> {
        self.ops.iter().map(|(id, op)| (*id, op.blocks))
    }

    /// Whether an operation will be answered with these blocks.
    pub(super) fn holds(&self, blocks: WorkId) -> bool {
        self.ops.values().any(|op| op.blocks == Some(blocks))
    }

    /// Writes that the tracker still counts, and of which no work of this node is under way that would tell it.
    pub(super) fn unended_writes(&self) -> Vec<BlockRange> {
        let unended = |(_, op): (&OpId, &Op)| match op.request {
            HostRequest::Write(range) if op.local_done && op.stage != Stage::Held => Some(range),
            _ => None,
        };
        self.ops.iter().filter_map(unended).collect()
    }

    /// A peer's connection broke: what it had not done may have to be sent again.
    pub(super) fn peer_lost(&mut self, peer: NodeId) {
        for op in self.ops.values_mut() {
            if op.parts.get(&peer).is_some_and(|(_, done)| !done) {
                op.parts.remove(&peer);
            }
        }
    }

    /// A peer lost power: what it had done counts no more.
    pub(super) fn peer_forgot(&mut self, peer: NodeId) {
        // What is held is among what the peer is sent copies of.
        for op in self.ops.values_mut().filter(|op| op.stage != Stage::Held) {
            op.parts.remove(&peer);
        }
    }

    pub(super) fn peer_done(&mut self, op: OpId, peer: NodeId, command: CommandId) {
        if let Some(part) = self.ops.get_mut(&op).and_then(|op| op.parts.get_mut(&peer))
            && part.0 == command
        {
            part.1 = true;
        }
    }

    /// Whether an answered write is not yet at `peer`.
    pub(super) fn lags(&self, peer: NodeId) -> bool {
        let lags =
            |op: &Op| op.stage == Stage::Answered && op.parts.get(&peer).is_some_and(|(_, done)| !done);
        self.ops.values().any(lags)
    }
}

impl Leader {
    pub(super) fn pump_ops(&mut self, replica: &mut Replica) {
        self.admit(replica);
        self.send_parts(replica);
        self.finish(replica);
    }

    /// Begins what waits and may begin now.
    fn admit(&mut self, replica: &mut Replica) {
        let mut ahead: Vec<BlockRange> = Vec::new();
        let waiting = self.ops.ops.iter().filter(|(_, op)| op.stage == Stage::Waiting);
        for (id, request) in waiting.map(|(id, op)| (*id, op.request)).collect::<Vec<_>>() {
            match request {
                HostRequest::Write(range) => {
                    if self.ops.claims.is_free(range, &replica.config.grain)
                        && !ahead.iter().any(|other| other.overlaps(&range))
                    {
                        self.ops.claims.take(range);
                        self.set_stage(id, Stage::Marking);
                        replica.tracker.write_begins(range, &replica.config.grain);
                        let then = Then::Lead(LeaderWork::Marked(id, range));
                        if replica.mark(range, then).is_some() {
                            self.marked(replica, id, range);
                        }
                    } else {
                        ahead.push(range);
                    }
                }
                HostRequest::Read(range) => {
                    if self.may_read(replica) && self.is_settled(replica, range) {
                        self.set_stage(id, Stage::Running);
                        Self::start(replica, Work::Read(range), LeaderWork::Read(id));
                    }
                }
                HostRequest::Flush => {
                    self.set_stage(id, Stage::Running);
                    let number = replica.tracker.flush_begins();
                    if let Some(op) = self.ops.ops.get_mut(&id) {
                        op.flush = Some(number);
                    }
                    Self::start(replica, Work::Flush, LeaderWork::Flushed(id));
                }
            }
        }
    }

    fn set_stage(&mut self, id: OpId, stage: Stage) {
        if let Some(op) = self.ops.ops.get_mut(&id) {
            op.stage = stage;
        }
    }

    /// Whether a range is the same on all counted replicas, as far as anybody may see: no write of it is under way,
    /// and none of a former primary's is left. What is read now can therefore not be gone later.
    fn is_settled(&self, replica: &Replica, range: BlockRange) -> bool {
        let grain = &replica.config.grain;
        let equal = |(_, link): (NodeId, &super::Link)| {
            link.todo.as_ref().is_some_and(|todo| !todo.meets(&grain.extents(range)))
        };
        let writes = replica.config.cheats(Cheat::ReadInFlight) || !self.ops.claims.writes(range);
        writes && (self.belonging().all(equal) || replica.config.cheats(Cheat::NoEqualize))
    }

    /// A write is recorded: to this drive and to the peers at once.
    pub(super) fn marked(&mut self, replica: &mut Replica, id: OpId, range: BlockRange) {
        if !self.ops.ops.contains_key(&id) {
            replica.tracker.write_ended(range, &replica.config.grain);
            return;
        }
        self.set_stage(id, Stage::Running);
        let payload = Payload::Host(id);
        Self::start(replica, Work::Write { range, payload }, LeaderWork::Written(id, range));
    }

    pub(super) fn written(&mut self, replica: &mut Replica, id: OpId, range: BlockRange, outcome: Outcome) {
        match self.ops.ops.get_mut(&id) {
            Some(op) => {
                op.local_done = true;
                op.failed |= outcome == Outcome::Failed;
            }
            None => replica.tracker.write_ended(range, &replica.config.grain),
        }
    }

    pub(super) fn flushed(&mut self, replica: &mut Replica, id: OpId, outcome: Outcome) {
        let Some(op) = self.ops.ops.get_mut(&id) else { return };
        op.local_done = true;
        op.failed |= outcome == Outcome::Failed;
        if let Some(number) = op.flush.filter(|_| replica.config.cheats(Cheat::DropEarly)) {
            replica.drop_covered(number, &Superset::default());
        }
    }

    pub(super) fn read(&mut self, id: OpId, blocks: WorkId, outcome: Outcome) {
        if let Some(op) = self.ops.ops.get_mut(&id) {
            op.local_done = true;
            op.blocks = Some(blocks);
            op.failed |= outcome == Outcome::Failed;
        }
    }

    /// Gives every peer that can take it its part of what runs.
    fn send_parts(&mut self, replica: &mut Replica) {
        let mut parts = Vec::new();
        for (id, op) in &self.ops.ops {
            if op.stage != Stage::Running {
                continue;
            }
            for (peer, link) in &self.links {
                let (least, command) = match op.request {
                    HostRequest::Write(range) => (LinkState::Copying, Command::Write(range)),
                    HostRequest::Flush if self.belongs(*peer) => (LinkState::Equal, Command::Flush),
                    HostRequest::Flush if self.counts(*peer) => (LinkState::Flushing, Command::Flush),
                    HostRequest::Flush | HostRequest::Read(_) => continue,
                };
                if link.state >= least && !op.parts.contains_key(peer) {
                    parts.push((*id, *peer, command));
                }
            }
        }
        for (id, peer, command) in parts {
            let payload = matches!(command, Command::Write(_)).then_some(Payload::Host(id));
            let command = self.command(replica, peer, Purpose::Op(id), command, payload);
            if let Some(op) = self.ops.ops.get_mut(&id) {
                op.parts.insert(peer, (command, false));
            }
        }
    }

    /// Answers what is done on all counted replicas, and lets claims go that nobody works under.
    fn finish(&mut self, replica: &mut Replica) {
        let ready = self.is_ready(replica);
        let counted: BTreeSet<NodeId> =
            self.links.keys().copied().filter(|peer| self.counts(*peer)).collect();
        let optional = replica.config.cheats(Cheat::AnswerBeforeRecord);
        for id in self.ops.ops.keys().copied().collect::<Vec<_>>() {
            let op = &self.ops.ops[&id];
            if matches!(op.stage, Stage::Waiting | Stage::Marking) || !op.local_done {
                continue;
            }
            if let HostRequest::Read(range) = op.request {
                // A write that began meanwhile may be what was read: it must be on all replicas first.
                if op.failed || !self.ops.claims.writes(range) || replica.config.cheats(Cheat::ReadInFlight) {
                    self.end_op(replica, id, true);
                }
                continue;
            }
            let done = |peer: &NodeId| {
                op.parts.get(peer).is_some_and(|(_, done)| *done)
                    || optional && self.links[peer].state <= LinkState::Fencing
            };
            // What was held or answered was done by all who counted then; who lost it since is sent a copy.
            let all_done = op.stage != Stage::Running || counted.iter().all(done);
            let idle = all_done && op.parts.values().all(|(_, done)| *done);
            match (op.stage, op.request) {
                (Stage::Running, HostRequest::Flush) if all_done && ready => self.end_op(replica, id, true),
                (Stage::Held, _) if ready => self.end_op(replica, id, true),
                (Stage::Running, HostRequest::Write(range)) if idle => {
                    self.let_go(replica, range);
                    self.set_stage(id, Stage::Held);
                    if ready {
                        self.end_op(replica, id, true);
                    }
                }
                (Stage::Running, HostRequest::Write(_)) if all_done && ready => {
                    self.answer(replica, id);
                    self.set_stage(id, Stage::Answered);
                }
                (Stage::Answered, HostRequest::Write(range)) if idle => {
                    self.let_go(replica, range);
                    self.end_op(replica, id, false);
                }
                _ => {}
            }
        }
    }

    fn let_go(&mut self, replica: &mut Replica, range: BlockRange) {
        self.ops.claims.release(range);
        replica.tracker.write_ended(range, &replica.config.grain);
    }

    fn end_op(&mut self, replica: &mut Replica, id: OpId, answer: bool) {
        if answer {
            self.answer(replica, id);
        }
        if let Some(op) = self.ops.ops.remove(&id) {
            replica.act(Action::Release { op: id, blocks: op.blocks });
        }
    }

    fn answer(&mut self, replica: &mut Replica, id: OpId) {
        let op = &self.ops.ops[&id];
        let answer = if op.failed { HostAnswer::Media } else { HostAnswer::Done(op.blocks) };
        if !op.given_up {
            replica.act(Action::Answer { op: id, answer });
        }
        if let (false, Some(number)) = (op.failed, op.flush) {
            let parts = op.parts.clone();
            self.flushed_on_all(replica, number, &parts);
        }
    }

    /// What the flush covers need not be recorded any more, here and at the peers.
    fn flushed_on_all(
        &self,
        replica: &mut Replica,
        number: FlushNumber,
        parts: &BTreeMap<NodeId, (CommandId, bool)>,
    ) {
        let except = replica.tracker.uncovered(number, &replica.config.grain);
        replica.drop_covered(number, &except);
        for (peer, (flush, _)) in parts {
            if let Some(session) = self.links.get(peer).and_then(|link| link.session) {
                replica.send(
                    *peer,
                    Message::Flushed { session, flush: *flush, except: except.clone() },
                    None,
                );
            }
        }
    }
}
