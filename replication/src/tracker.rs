//! Which regions may leave the record: those that a flush has covered and nothing was written into since.

use std::collections::{BTreeMap, BTreeSet};

use crate::range::{BlockRange, Grain, Region};

/// Counts flushes. A write belongs to the flush that begins after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct FlushNumber(u64);

/// Follows the writes of one replica.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    begun: FlushNumber,
    /// Flushes that had begun when a region was last written.
    written: BTreeMap<Region, FlushNumber>,
    /// Writes under way.
    busy: BTreeMap<Region, usize>,
}

impl Tracker {
    pub(crate) fn write_begins(&mut self, range: BlockRange, grain: &Grain) {
        for region in grain.regions(range) {
            *self.busy.entry(region).or_default() += 1;
        }
    }

    pub(crate) fn write_ended(&mut self, range: BlockRange, grain: &Grain) {
        for region in grain.regions(range) {
            self.written.insert(region, self.begun);
            let count = self.busy.get_mut(&region).expect("it began");
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&region);
            }
        }
    }

    /// A flush begins: it covers every write that ended before.
    pub(crate) fn flush_begins(&mut self) -> FlushNumber {
        self.begun.0 += 1;
        self.begun
    }

    /// Regions with writes that `flush` does not cover.
    pub(crate) fn uncovered(&self, flush: FlushNumber) -> BTreeSet<Region> {
        let since = self.written.iter().filter(|(_, written)| **written >= flush);
        since.map(|(region, _)| *region).chain(self.busy.keys().copied()).collect()
    }

    /// Of the recorded regions those that need no record once `flush` completed on all replicas in sync.
    pub(crate) fn covered(
        &mut self,
        flush: FlushNumber,
        record: &BTreeSet<Region>,
        except: &BTreeSet<Region>,
    ) -> BTreeSet<Region> {
        let clean = |region: &&Region| {
            !except.contains(region)
                && !self.busy.contains_key(region)
                && self.written.get(region).is_none_or(|written| *written < flush)
        };
        let covered: BTreeSet<_> = record.iter().filter(clean).copied().collect();
        for region in &covered {
            self.written.remove(region);
        }
        covered
    }
}
