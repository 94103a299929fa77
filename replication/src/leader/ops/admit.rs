//! What waits begins: writes when they have their claims, reads when what they see can never be gone again.

use super::{super::Link, Leader, LeaderWork, Stage};
use crate::{
    config::Cheat,
    event::{HostRequest, OpId, Payload, Work},
    membership::NodeId,
    range::BlockRange,
    replica::{Replica, Then},
};

impl Leader {
    /// Begins what waits and may begin now, each in its order among those that it overlaps.
    pub(super) fn admit(&mut self, replica: &mut Replica) {
        let mut ahead: Vec<BlockRange> = Vec::new();
        for id in self.ops.waiting.iter().copied().collect::<Vec<_>>() {
            let Some(op) = self.ops.ops.get_mut(&id) else { continue };
            match op.request {
                HostRequest::Write(range) => {
                    let grain = &replica.config.grain;
                    if !self.ops.claims.is_free(range, grain)
                        || ahead.iter().any(|other| other.overlaps(&range))
                    {
                        ahead.push(range);
                        continue;
                    }
                    self.ops.claims.take(range);
                    self.ops.enter_stage(id, Stage::Marking);
                    replica.tracker.write_begins(range, grain);
                    let then = Then::Lead(LeaderWork::Marked(id, range));
                    if replica.mark(range, then).is_some() {
                        self.marked(replica, id, range);
                    }
                }
                HostRequest::Read(range) => {
                    if self.may_read(replica) && self.is_settled(replica, range) {
                        self.ops.enter_stage(id, Stage::Running);
                        Self::start(replica, Work::Read(range), LeaderWork::Read(id));
                    }
                }
                HostRequest::Flush => {
                    op.flush = Some(replica.tracker.flush_begins());
                    self.ops.enter_stage(id, Stage::Running);
                    Self::start(replica, Work::Flush, LeaderWork::Flushed(id));
                }
            }
        }
    }

    /// Whether a range is the same on all counted replicas, as far as anybody may see: no write of it is under way,
    /// and none of a former primary's is left. What is read now can therefore not be gone later.
    fn is_settled(&self, replica: &Replica, range: BlockRange) -> bool {
        let extents = replica.config.grain.extents(range);
        let equal = |(_, link): (NodeId, &Link)| link.todo.as_ref().is_some_and(|todo| !todo.meets(&extents));
        let writes = replica.config.cheats(Cheat::ReadInFlight) || !self.ops.claims.writes(range);
        writes && (self.belonging().all(equal) || replica.config.cheats(Cheat::NoEqualize))
    }

    /// A write is recorded: to this drive and to the peers at once.
    pub(in crate::leader) fn marked(&mut self, replica: &mut Replica, id: OpId, range: BlockRange) {
        if !self.ops.ops.contains_key(&id) {
            replica.tracker.write_ended(range, &replica.config.grain);
            return;
        }
        self.ops.enter_stage(id, Stage::Running);
        let payload = Payload::Host(id);
        Self::start(replica, Work::Write { range, payload }, LeaderWork::Written(id, range));
    }
}
