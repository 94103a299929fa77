//! What hosts did and saw.

use replication::{BlockRange, Event, HostAnswer, HostRequest, OpId, Payload};

use crate::{
    disk::Value,
    world::{HOSTS_END, MS, SimEvent, World},
};

/// How long a host waits before it believes that a request is lost.
const PATIENCE: u64 = 150 * MS;

/// One operation of a host, from its request to its answer. Its number is the value that its write writes.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) request: HostRequest,
    pub(crate) host: usize,
    pub(crate) asked_at: u64,
    /// When it was answered with success.
    pub(crate) done_at: Option<u64>,
    /// The host gave up, or was told to try elsewhere.
    pub(crate) over: bool,
    /// A read's blocks.
    pub(crate) values: Vec<Value>,
}

impl Operation {
    pub(crate) fn written(&self) -> Option<BlockRange> {
        match self.request {
            HostRequest::Write(range) => Some(range),
            HostRequest::Read(_) | HostRequest::Flush => None,
        }
    }
}

impl World {
    /// A host sends its next operation to a node of which it believes that it leads.
    pub(crate) fn host_acts(&mut self, host: usize) {
        if self.now >= HOSTS_END {
            return;
        }
        let leading: Vec<_> = self.nodes.iter().filter(|node| node.leads).map(|node| node.id).collect();
        let Some(id) = self.rng.choose(&leading).copied() else {
            self.soon(5 * MS, SimEvent::HostActs(host));
            return;
        };
        let blocks = self.node(id).blocks();
        let first = self.rng.range(0..blocks);
        let count = self.rng.range(1..4).min(blocks - first);
        let range = BlockRange { first, count };
        let request = match self.rng.range(0..10) {
            0..5 => HostRequest::Write(range),
            5..9 => HostRequest::Read(range),
            _ => HostRequest::Flush,
        };
        let (asked_at, values) = (self.now, Vec::new());
        self.operations.push(Operation { request, host, asked_at, done_at: None, over: false, values });
        let value = self.operations.len() as u64;
        let op = OpId(value);
        let life = self.node(id).incarnation;
        let blocks = (Payload::Host(op), vec![value; count as usize]);
        let event = Event::Host { op, request };
        self.soon(MS, SimEvent::Happens { node: id, life, event, blocks: Some(blocks) });
        self.at(asked_at + PATIENCE, SimEvent::HostGivesUp(op));
    }

    pub(crate) fn host_hears(&mut self, op: OpId, answer: HostAnswer, values: Vec<Value>) {
        let now = self.now;
        let operation = &mut self.operations[op.0 as usize - 1];
        if std::mem::replace(&mut operation.over, true) {
            return;
        }
        if let HostAnswer::Done(_) = answer {
            operation.done_at = Some(now);
            operation.values = values;
            match operation.request {
                HostRequest::Read(_) => self.summary.reads += 1,
                HostRequest::Write(_) => self.summary.writes += 1,
                HostRequest::Flush => self.summary.flushes += 1,
            }
        }
        let host = operation.host;
        self.soon(4 * MS, SimEvent::HostActs(host));
    }

    pub(crate) fn host_gives_up(&mut self, op: OpId) {
        let operation = &mut self.operations[op.0 as usize - 1];
        if !std::mem::replace(&mut operation.over, true) {
            let host = operation.host;
            self.soon(4 * MS, SimEvent::HostActs(host));
        }
    }
}
