//! What goes wrong, and how it is mended.

use std::collections::BTreeSet;

use replication::{Event, NodeId};

use crate::{
    node::EXTENTS_MAX,
    world::{SimEvent, World},
};

const MS: u64 = 1000;

impl World {
    /// One more thing goes wrong, or is mended.
    pub(crate) fn fault(&mut self) {
        let node = NodeId(self.rng.index(self.nodes.len()) as u16);
        if self.seed % 4 == 2 && self.rng.once_in(3) {
            self.grow();
        }
        match self.rng.range(0..22) {
            0..3 => self.kill(node, false),
            3..6 => self.kill(node, true),
            6 => {
                if self.rng.once_in(4) {
                    for node in self.node_ids() {
                        self.kill(node, true);
                    }
                }
            }
            7..10 => {
                let until = self.now + self.rng.range(5 * MS..150 * MS);
                let node = self.node(node);
                node.paused_until = node.paused_until.max(until);
            }
            10..13 => self.isolate(node),
            13..15 => self.mend_network(),
            15 => self.store.reachable = !self.store.reachable,
            16 => self.store.reachable = true,
            17 => {
                let slow = self.rng.once_in(2);
                self.node(node).slow = slow;
            }
            18 => {
                let failing = self.rng.once_in(3);
                self.node(node).disk.failing = failing;
            }
            19 => self.hand_over(node),
            // The volume grows, and the nodes hear of it one after the other.
            20 => self.grow(),
            _ => self.lose(node),
        }
    }

    /// Ends a node's process, or cuts its power, and starts it again after a while.
    pub(crate) fn kill(&mut self, id: NodeId, power: bool) {
        if self.node(id).replica.is_none() {
            return;
        }
        let (now, mut rng) = (self.now, self.rng.clone());
        let node = self.node(id);
        node.replica = None;
        node.leads = false;
        node.tick_at = None;
        node.incarnation += 1;
        // Writes under way arrive, or do not, each block for itself.
        for (range, values) in std::mem::take(&mut node.writing).into_values() {
            for (block, value) in range.blocks().zip(values) {
                if rng.once_in(2) {
                    node.disk.write(block, value);
                }
            }
        }
        node.disk.process_died(&mut rng, id, &node.grain);
        if power {
            node.disk.power_lost(&mut rng);
            node.reboot(now);
        }
        node.memory.clear();
        self.rng.next();
        if power {
            self.summary.power_cuts += 1;
            self.power_was_lost();
        } else {
            self.summary.kills += 1;
        }
        let back = now + self.rng.range(10 * MS..150 * MS);
        self.at(back, SimEvent::Restart(id));
        for other in self.node_ids() {
            self.break_soon(id, other);
        }
    }

    fn grow(&mut self) {
        self.extents = (self.extents + 1).min(EXTENTS_MAX);
    }

    /// A node dies for good, in one of four clusters, where others remain to go on.
    fn lose(&mut self, id: NodeId) {
        let some_dead = self.nodes.iter().any(|node| node.dead);
        if self.seed % 4 == 1 && !some_dead {
            let power = self.rng.once_in(2);
            self.kill(id, power);
            self.node(id).dead = true;
        }
    }

    /// The operator sees who is dead for good and still counted as in sync, and has one of the others lead without it.
    pub(crate) fn operate(&mut self) {
        let members = self.store.membership.in_sync.clone();
        let is_dead = |member: &NodeId| self.nodes[usize::from(member.0)].dead;
        let (dead, alive): (BTreeSet<_>, BTreeSet<_>) = members.into_iter().partition(is_dead);
        let alive: Vec<_> = alive.into_iter().collect();
        if let Some(chosen) = self.rng.choose(&alive).copied().filter(|_| !dead.is_empty()) {
            self.happens(chosen, 10 * MS, Event::Force { dead });
        }
        self.soon(200 * MS, SimEvent::Operate);
    }

    /// When all replicas in sync have lost power, what was not flushed may be gone: also when the store takes the last
    /// one out that has not, at the word of a primary that has lost power since it asked.
    pub(crate) fn power_was_lost(&mut self) {
        let members: Vec<_> = self.store.membership.in_sync.iter().copied().collect();
        if members.iter().all(|member| !self.node(*member).is_intact()) {
            self.eras.push(self.now);
            self.summary.eras += 1;
        }
    }

    fn mend_network(&mut self) {
        self.network.heal();
        for node in &mut self.nodes {
            node.storeless = false;
        }
    }

    fn isolate(&mut self, id: NodeId) {
        let storeless = self.rng.once_in(2);
        self.node(id).storeless = storeless;
        let one_way = self.rng.range(0..3);
        for other in self.node_ids() {
            if other == id || self.rng.once_in(3) {
                continue;
            }
            if one_way != 1 {
                self.network.cut(id, other);
            }
            if one_way != 2 {
                self.network.cut(other, id);
            }
            self.break_soon(id, other);
        }
    }

    /// A peer notices after a time that the other is silent.
    pub(crate) fn break_soon(&mut self, a: NodeId, b: NodeId) {
        if let Some(connection) = self.network.connection(a, b) {
            let at = self.now + self.rng.range(MS / 2..40 * MS);
            self.at(at, SimEvent::Break { a, b, connection });
        }
    }

    /// Everything is mended.
    pub(crate) fn heal(&mut self) {
        self.mend_network();
        self.store.reachable = true;
        for id in self.node_ids() {
            let node = self.node(id);
            node.slow = false;
            node.disk.failing = false;
            for other in self.node_ids() {
                self.break_soon(id, other);
            }
        }
    }
}
