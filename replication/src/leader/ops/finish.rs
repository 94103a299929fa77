//! Hosts are answered when every counted peer has done its part, and claims let go that nobody works under.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::{Leader, LinkState, Stage};
use crate::{
    config::Cheat,
    event::{Action, HostAnswer, HostRequest, OpId},
    membership::NodeId,
    message::{CommandId, Message},
    range::BlockRange,
    replica::Replica,
    tracker::FlushNumber,
};

impl Leader {
    /// Looks at what has changed since the last time, and at reads that meet a write. Whether anything has ended: what
    /// waits for it may begin.
    pub(super) fn finish(&mut self, replica: &mut Replica) -> bool {
        let mut ended = false;
        let ready = self.is_ready(replica);
        let counted: BTreeSet<NodeId> =
            self.links.keys().copied().filter(|peer| self.counts(*peer)).collect();
        let mut due = mem::take(&mut self.ops.changed);
        due.extend(self.ops.held_reads.iter().copied());
        for id in due {
            ended |= self.finish_op(replica, id, ready, &counted);
        }
        ended
    }

    /// Whether the operation, or its claim, has ended.
    fn finish_op(
        &mut self,
        replica: &mut Replica,
        id: OpId,
        ready: bool,
        counted: &BTreeSet<NodeId>,
    ) -> bool {
        let Some(op) = self.ops.ops.get(&id) else { return false };
        if matches!(op.stage, Stage::Waiting | Stage::Marking) || !op.local_done {
            return false;
        }
        let range = match op.request {
            HostRequest::Read(range) => {
                // A write that began meanwhile may be what was read: it must be on all replicas first.
                let cheats = replica.config.cheats(Cheat::ReadInFlight);
                let answered = op.failed || cheats || !self.ops.claims.writes(range);
                if answered {
                    self.end_op(replica, id, true);
                } else {
                    self.ops.held_reads.insert(id);
                }
                return answered;
            }
            HostRequest::Write(range) => Some(range),
            HostRequest::Flush => None,
        };
        let optional = replica.config.cheats(Cheat::AnswerBeforeRecord);
        let done = |peer: &NodeId| {
            op.parts.get(peer).is_some_and(|(_, done)| *done)
                || optional && self.links[peer].state <= LinkState::Fencing
        };
        // What was held or answered was done by all who counted then; who lost it since is sent a copy.
        let all_done = op.stage != Stage::Running || counted.iter().all(done);
        let idle = all_done && op.parts.values().all(|(_, done)| *done);
        match (op.stage, range) {
            (Stage::Running, None) if all_done && ready => self.end_op(replica, id, true),
            (Stage::Held, _) if ready => self.end_op(replica, id, true),
            (Stage::Running, Some(range)) if idle => {
                self.let_go(replica, range);
                self.ops.enter_stage(id, Stage::Held);
                if ready {
                    self.end_op(replica, id, true);
                }
            }
            (Stage::Running, Some(_)) if all_done && ready => {
                self.answer(replica, id);
                self.ops.enter_stage(id, Stage::Answered);
                return false;
            }
            (Stage::Answered, Some(range)) if idle => {
                self.let_go(replica, range);
                self.end_op(replica, id, false);
            }
            _ => return false,
        }
        true
    }

    fn let_go(&mut self, replica: &mut Replica, range: BlockRange) {
        self.ops.claims.release(range);
        replica.tracker.write_ended(range, &replica.config.grain);
    }

    fn end_op(&mut self, replica: &mut Replica, id: OpId, answer: bool) {
        if answer {
            self.answer(replica, id);
        }
        self.ops.held_reads.remove(&id);
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
            self.flushed_on_all(replica, number, &op.parts);
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
                let except = except.clone();
                replica.send(*peer, Message::Flushed { session, flush: *flush, except }, None);
            }
        }
    }
}
