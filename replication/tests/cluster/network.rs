//! Connections between nodes, and who cannot hear whom.

use std::collections::{BTreeMap, BTreeSet};

use replication::NodeId;

#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Pairs that are connected, the smaller node first, and which connection it is.
    connected: BTreeMap<(NodeId, NodeId), u64>,
    /// What the first sends, the second does not hear.
    deaf: BTreeSet<(NodeId, NodeId)>,
    connections: u64,
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

impl Network {
    pub(crate) fn hears(&self, from: NodeId, to: NodeId) -> bool {
        !self.deaf.contains(&(from, to))
    }

    pub(crate) fn connection(&self, a: NodeId, b: NodeId) -> Option<u64> {
        self.connected.get(&pair(a, b)).copied()
    }

    pub(crate) fn connect(&mut self, a: NodeId, b: NodeId) {
        self.connections += 1;
        self.connected.insert(pair(a, b), self.connections);
    }

    /// Whether it was this connection that broke.
    pub(crate) fn disconnect(&mut self, a: NodeId, b: NodeId, connection: u64) -> bool {
        let is_this = self.connection(a, b) == Some(connection);
        if is_this {
            self.connected.remove(&pair(a, b));
        }
        is_this
    }

    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.deaf.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.deaf.clear();
    }
}
