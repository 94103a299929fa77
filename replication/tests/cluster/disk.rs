//! A node's drive: a volatile cache over blocks, and the replica's durable fields.

use std::collections::VecDeque;

use replication::{Change, Durable, Grain, NodeId, WorkId};

use crate::rng::Rng;

/// A block's contents: which write it came from; 0 was never written.
pub(crate) type Value = u64;

#[derive(Debug)]
struct Block {
    /// Everything that was ever written here and was not lost, in order. The last one is what is read.
    log: Vec<Value>,
    /// How many of them the next loss of power cannot take.
    durable: usize,
}

#[derive(Debug)]
pub(crate) struct Disk {
    blocks: Vec<Block>,
    pub(crate) fields: Durable,
    /// Changes on their way, in order.
    changes: VecDeque<(WorkId, Change)>,
    pub(crate) failing: bool,
}

/// What a flush that has just begun will cover.
#[derive(Debug, Clone)]
pub(crate) struct FlushPoint(Vec<usize>);

impl Disk {
    pub(crate) fn new(blocks: u64, fields: Durable) -> Self {
        let blocks = (0..blocks).map(|_| Block { log: vec![0], durable: 1 }).collect();
        Self { blocks, fields, changes: VecDeque::new(), failing: false }
    }

    pub(crate) fn read(&self, block: u64) -> Value {
        *self.blocks[block as usize].log.last().unwrap()
    }

    pub(crate) fn write(&mut self, block: u64, value: Value) {
        self.blocks[block as usize].log.push(value);
    }

    /// Everything that was ever written there and was not lost, in order.
    pub(crate) fn values(&self, block: u64) -> &[Value] {
        &self.blocks[block as usize].log
    }

    pub(crate) fn has(&self, block: u64, value: Value) -> bool {
        self.blocks[block as usize].log.contains(&value)
    }

    /// Whether a value was written here at least as late as another.
    pub(crate) fn is_as_new(&self, block: u64, value: Value, other: Value) -> bool {
        let position = |wanted| self.blocks[block as usize].log.iter().rposition(|value| *value == wanted);
        position(value).is_some_and(|value| Some(value) >= position(other))
    }

    /// Whether the loss of power cannot bring back something older than `value`.
    pub(crate) fn has_durably(&self, block: u64, value: Value) -> bool {
        let block = &self.blocks[block as usize];
        block.log[..block.durable].contains(&value)
    }

    pub(crate) fn flush_begins(&self) -> FlushPoint {
        FlushPoint(self.blocks.iter().map(|block| block.log.len()).collect())
    }

    pub(crate) fn flush_ends(&mut self, point: &FlushPoint) {
        for (block, len) in self.blocks.iter_mut().zip(&point.0) {
            block.durable = block.durable.max(*len).min(block.log.len());
        }
    }

    pub(crate) fn change_begins(&mut self, id: WorkId, change: Change) {
        self.changes.push_back((id, change));
    }

    pub(crate) fn change_ends(&mut self, id: WorkId, me: NodeId, grain: &Grain) {
        let (first, change) = self.changes.pop_front().expect("it began");
        assert_eq!(first, id, "changes end in order");
        self.fields.apply(&change, me, grain);
    }

    /// The process died: of the changes on their way, some of the first may have arrived.
    pub(crate) fn process_died(&mut self, rng: &mut Rng, me: NodeId, grain: &Grain) {
        let arrived = rng.index(self.changes.len() + 1);
        for (_, change) in self.changes.drain(..).take(arrived) {
            self.fields.apply(&change, me, grain);
        }
        self.changes.clear();
    }

    /// Any block may be as it was at any time since its last flush.
    pub(crate) fn power_lost(&mut self, rng: &mut Rng) {
        for block in &mut self.blocks {
            let kept = rng.range(block.durable as u64..block.log.len() as u64 + 1) as usize;
            block.log.truncate(kept);
            block.durable = kept;
        }
    }
}
