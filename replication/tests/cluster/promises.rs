//! What must be true when a host is answered, and when everything has come to rest.

use replication::{HostRequest, NodeId, OpId};

use crate::{
    hosts::Operation,
    node::BLOCKS,
    world::{FAULTS_END, MS, World},
};

impl World {
    /// Success is said only of what every replica in sync has, and flushed only of what each has durably.
    pub(crate) fn check_answer(&mut self, id: NodeId, op: OpId) {
        let operation = self.operations[op.0 as usize - 1].clone();
        let members: Vec<_> = self.store.membership.in_sync.iter().copied().collect();
        let known = self.node(id).replica.as_ref().map(|replica| replica.membership().epoch);
        if known != Some(self.store.membership.epoch) {
            // A primary that was replaced says late what was true before. The history of reads judges that.
            return;
        }
        for member in members {
            // One that lost power just now: its primary cannot know yet.
            if !self.node(member).is_intact() {
                continue;
            }
            match operation.request {
                HostRequest::Write(range) => {
                    let (here, there) =
                        (&self.nodes[usize::from(id.0)].disk, &self.nodes[usize::from(member.0)].disk);
                    // Or something newer, perhaps under another write that is not here yet.
                    let has = |block| {
                        let newer = |value: &u64| here.is_as_new(block, *value, op.0);
                        there.has(block, op.0) || there.values(block).iter().any(newer)
                    };
                    let lacks = range.blocks().find(|block| !has(*block));
                    if let Some(block) = lacks {
                        self.error = Some(format!(
                            "{}: {} said that write {} is done, and {} lacks block {block}",
                            self.now, id.0, op.0, member.0
                        ));
                    }
                }
                HostRequest::Flush => self.check_flush(id, &operation, member),
                HostRequest::Read(_) => {}
            }
        }
    }

    fn check_flush(&mut self, id: NodeId, flush: &Operation, member: NodeId) {
        let era = self.eras.last().copied().unwrap_or(0);
        let done_before = |at: u64| at > era && at < flush.asked_at;
        for (index, write) in self.operations.iter().enumerate() {
            let (Some(range), Some(done)) = (write.written(), write.done_at) else { continue };
            if !done_before(done) {
                continue;
            }
            let value = index as u64 + 1;
            let node = &self.nodes[usize::from(member.0)];
            let lacks = |block: &u64| node.disk.has(*block, value) && !node.disk.has_durably(*block, value);
            if let Some(block) = range.blocks().find(lacks) {
                self.error = Some(format!(
                    "{}: {} said that all is flushed, and {} may lose write {value} of block {block}",
                    self.now, id.0, member.0
                ));
            }
        }
    }

    /// After the faults everything came back: all replicas in sync, all equal, and hosts were served.
    pub(crate) fn check_rest(&mut self) -> Result<(), String> {
        let membership = self.store.membership.clone();
        let (dead, alive): (Vec<_>, Vec<_>) = self.nodes.iter().partition(|node| node.dead);
        if membership.in_sync.iter().all(|member| dead.iter().any(|node| node.id == *member)) {
            self.summary.lost += 1;
            return Ok(());
        }
        if membership.in_sync != alive.iter().map(|node| node.id).collect() {
            return Err(format!("not all replicas came back: {membership:?}"));
        }
        let primary = &self.nodes[usize::from(membership.primary.0)];
        if !primary.leads {
            return Err(format!("nobody leads: {membership:?}"));
        }
        for node in alive {
            for block in 0..BLOCKS {
                let (here, there) = (node.disk.read(block), primary.disk.read(block));
                if here != there {
                    return Err(format!(
                        "block {block} is {here} at {} and {there} at {}",
                        node.id.0, primary.id.0
                    ));
                }
            }
        }
        let late =
            self.operations.iter().filter(|op| op.done_at.is_some_and(|done| done > FAULTS_END + 500 * MS));
        if late.count() == 0 {
            return Err("no host was served after everything was mended".into());
        }
        Ok(())
    }
}
