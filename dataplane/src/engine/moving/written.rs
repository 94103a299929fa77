//! What hosts wrote to a head since its copy began: one bit per extent. Lock-free; memory comes with the first note in
//! a part of the address space.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use crate::engine::map::LogicalExtent;

/// Words of one leaf: 65,536 extents, 4 GiB.
const WORDS: usize = 1024;
const BITS: u32 = u64::BITS;
/// Leaves of a node, and nodes: together they reach every extent number.
const FANOUT: usize = 256;

type Leaf = Box<[AtomicU64]>;
type Node = Box<[OnceLock<Leaf>]>;

#[derive(Debug)]
pub(in crate::engine) struct Written {
    nodes: Box<[OnceLock<Node>]>,
}

impl Written {
    pub(in crate::engine) fn new() -> Self {
        Self { nodes: (0..FANOUT).map(|_| OnceLock::new()).collect() }
    }

    /// This extent was written to.
    pub(in crate::engine) fn note(&self, logical: LogicalExtent) {
        let word = (logical.0 / BITS) as usize;
        let leaf = word / WORDS;
        let node = self.nodes[leaf / FANOUT].get_or_init(|| (0..FANOUT).map(|_| OnceLock::new()).collect());
        let words = node[leaf % FANOUT].get_or_init(|| (0..WORDS).map(|_| AtomicU64::new(0)).collect());
        words[word % WORDS].fetch_or(1 << (logical.0 % BITS), Ordering::AcqRel);
    }

    /// Takes up to about so many notes, the lowest first. What is written from now on is noted anew.
    pub(super) fn take(&self, about: usize) -> Vec<LogicalExtent> {
        let mut taken = Vec::new();
        for (first, word) in self.words() {
            if taken.len() >= about {
                break;
            }
            let mut bits = word.swap(0, Ordering::AcqRel);
            while bits != 0 {
                taken.push(LogicalExtent(first + bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
        taken
    }

    /// Extents noted and not taken.
    pub(super) fn count(&self) -> u64 {
        self.words().map(|(_, word)| u64::from(word.load(Ordering::Relaxed).count_ones())).sum()
    }

    /// Words with a note, and the extent of their first bit.
    fn words(&self) -> impl Iterator<Item = (u32, &AtomicU64)> {
        let leaves = (0..).zip(&self.nodes).flat_map(|(number, node)| {
            let leaves = node.get().into_iter().flat_map(|node| (0..).zip(node));
            leaves.map(move |(leaf, words)| (number * FANOUT + leaf, words))
        });
        let words = leaves.flat_map(|(leaf, words)| {
            let words = words.get().into_iter().flat_map(|words| (0..).zip(words));
            words.map(move |(word, bits)| ((leaf * WORDS + word) as u32 * BITS, bits))
        });
        words.filter(|(_, bits)| bits.load(Ordering::Acquire) != 0)
    }
}

// Every extent number has a bit.
const _: () = assert!((FANOUT * FANOUT * WORDS) as u64 * BITS as u64 == 1 << 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_taken_once_and_in_order() {
        let written = Written::new();
        let noted = [7, 3, 63, 64, 1 << 16, (1 << 24) + 5, u32::MAX, 3];
        noted.into_iter().for_each(|extent| written.note(LogicalExtent(extent)));
        assert_eq!(written.count(), 7);
        let extents = |taken: Vec<LogicalExtent>| taken.iter().map(|logical| logical.0).collect::<Vec<_>>();
        assert_eq!(extents(written.take(4)), [3, 7, 63, 64], "a word at a time");
        written.note(LogicalExtent(3));
        assert_eq!(extents(written.take(100)), [3, 1 << 16, (1 << 24) + 5, u32::MAX]);
        assert_eq!((written.count(), written.take(1).len()), (0, 0));
    }
}
