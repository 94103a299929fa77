//! Hosts' operations: claimed, executed here and at every peer, answered when every counted peer has done its part.

mod admit;
mod claims;
mod finish;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::claims::Claims;
use super::{Leader, LeaderWork, LinkState, Purpose};
use crate::{
    config::Cheat,
    event::{HostRequest, OpId, Payload, WorkId},
    membership::{NodeId, Session},
    message::{Command, CommandId, Outcome},
    range::{BlockRange, Superset},
    replica::Replica,
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

/// Each event looks at what it concerns, not at all operations under way.
#[derive(Debug, Default)]
pub(super) struct Ops {
    /// In the order in which they came.
    ops: BTreeMap<OpId, Op>,
    waiting: BTreeSet<OpId>,
    /// To be looked at: something of theirs has changed.
    changed: BTreeSet<OpId>,
    /// Reads that are done here and met a write under way.
    held_reads: BTreeSet<OpId>,
    /// The peers when all operations were looked at last.
    peers: Peers,
    pub(super) claims: Claims,
}

/// What of the peers decides about every operation.
#[derive(Debug, Default, PartialEq, Eq)]
struct Peers {
    ready: bool,
    /// Which they are, their state, connection, and whether they belong to the set.
    peers: Vec<(NodeId, LinkState, Option<Session>, bool)>,
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
        self.waiting.insert(id);
    }

    fn enter_stage(&mut self, id: OpId, stage: Stage) {
        if let Some(op) = self.ops.get_mut(&id) {
            op.stage = stage;
            self.waiting.remove(&id);
            self.changed.insert(id);
        }
    }

    /// An operation whose part here has ended.
    fn done_here(&mut self, id: OpId, outcome: Outcome) -> Option<&mut Op> {
        let op = self.ops.get_mut(&id)?;
        self.changed.insert(id);
        op.local_done = true;
        op.failed |= outcome == Outcome::Failed;
        Some(op)
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
        self.waiting.clear();
        (unanswered, over)
    }

    /// All that there is, with the blocks that were read.
    pub(super) fn all(&self) -> impl Iterator<Item = (OpId, Option<WorkId>)> {
        self.ops.iter().map(|(id, op)| (*id, op.blocks))
    }

    /// Whether an operation will be answered with these blocks.
    pub(super) fn holds(&self, blocks: WorkId) -> bool {
        // All other reads were answered when they ended.
        self.held_reads.iter().any(|id| self.ops.get(id).is_some_and(|op| op.blocks == Some(blocks)))
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
            self.changed.insert(op);
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
    /// Begins, sends and answers what can be. Whether anything has ended, for which something else may have waited.
    pub(super) fn pump_ops(&mut self, replica: &mut Replica) -> bool {
        let peer =
            |(peer, link): (&NodeId, &super::Link)| (*peer, link.state, link.session, self.belongs(*peer));
        let peers = Peers { ready: self.is_ready(replica), peers: self.links.iter().map(peer).collect() };
        if peers != self.ops.peers {
            self.ops.peers = peers;
            self.ops.changed = self.ops.ops.keys().copied().collect();
        }
        self.admit(replica);
        self.send_parts(replica);
        self.finish(replica)
    }

    pub(super) fn written(&mut self, replica: &mut Replica, id: OpId, range: BlockRange, outcome: Outcome) {
        if outcome == Outcome::Failed {
            self.write_failed(replica, range);
        }
        if self.ops.done_here(id, outcome).is_none() {
            replica.tracker.write_ended(range, &replica.config.grain);
        }
    }

    pub(super) fn flushed(&mut self, replica: &mut Replica, id: OpId, outcome: Outcome) {
        let Some(op) = self.ops.done_here(id, outcome) else { return };
        if let Some(number) = op.flush.filter(|_| replica.config.cheats(Cheat::DropEarly)) {
            replica.drop_covered(number, &Superset::default());
        }
    }

    pub(super) fn read(&mut self, id: OpId, blocks: WorkId, outcome: Outcome) {
        if let Some(op) = self.ops.done_here(id, outcome) {
            op.blocks = Some(blocks);
        }
    }

    /// Gives every peer that can take it its part of what runs.
    fn send_parts(&mut self, replica: &mut Replica) {
        let mut parts = Vec::new();
        let changed = self.ops.changed.iter().filter_map(|id| Some((*id, self.ops.ops.get(id)?)));
        for (id, op) in changed.filter(|(_, op)| op.stage == Stage::Running) {
            for (peer, link) in &self.links {
                let (least, command) = match op.request {
                    HostRequest::Write(range) => (LinkState::Copying, Command::Write(range)),
                    HostRequest::Flush if self.belongs(*peer) => (LinkState::Equal, Command::Flush),
                    HostRequest::Flush if self.counts(*peer) => (LinkState::Flushing, Command::Flush),
                    HostRequest::Flush | HostRequest::Read(_) => continue,
                };
                if link.state >= least && !op.parts.contains_key(peer) {
                    parts.push((id, *peer, command));
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
}
