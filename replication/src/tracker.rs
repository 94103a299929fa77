//! Which regions may leave the record: those that a flush has covered and nothing was written into since.

use std::collections::BTreeMap;

use crate::range::{BlockRange, Grain, RUNS_MAX, Region, RunSet, Superset};

/// Flushes that had begun and were not followed by one that completed: more than hosts keep under way. What was written
/// before the oldest counts as written after it, so a flush less covers it.
const GENERATIONS_MAX: usize = 64;

/// Counts flushes. A write belongs to the flush that begins after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct FlushNumber(u64);

/// Follows the writes of one replica.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    begun: FlushNumber,
    /// Where writes ended after a flush began, and before the next one did. More regions than these may be in it, which
    /// stay in the record for longer.
    written: BTreeMap<FlushNumber, Superset<Region>>,
    /// Writes under way.
    busy: BTreeMap<Region, usize>,
}

impl Tracker {
    pub(crate) fn write_begins(&mut self, range: BlockRange, grain: &Grain) {
        for region in regions(range, grain) {
            *self.busy.entry(region).or_default() += 1;
        }
    }

    pub(crate) fn write_ended(&mut self, range: BlockRange, grain: &Grain) {
        self.written.entry(self.begun).or_default().insert(&grain.regions(range), grain.runs_max);
        for region in regions(range, grain) {
            let count = self.busy.get_mut(&region).expect("it began");
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&region);
            }
        }
        if self.written.len() > GENERATIONS_MAX
            && let Some((_, oldest)) = self.written.pop_first()
            && let Some(mut next) = self.written.first_entry()
        {
            next.get_mut().extend(&oldest, grain.runs_max);
        }
    }

    /// A flush begins: it covers every write that ended before.
    pub(crate) fn flush_begins(&mut self) -> FlushNumber {
        self.begun.0 += 1;
        self.begun
    }

    /// Regions with writes that `flush` does not cover.
    pub(crate) fn uncovered(&self, flush: FlushNumber, grain: &Grain) -> Superset<Region> {
        let mut uncovered = Superset::default();
        for since in self.written.range(flush..).map(|(_, written)| written) {
            uncovered.extend(since, grain.runs_max);
        }
        for region in self.busy.keys() {
            uncovered.insert(&region.run(), grain.runs_max);
        }
        uncovered
    }

    /// Of the recorded regions those that need no record once `flush` completed on all replicas in sync. What is left
    /// out because there are too many runs is covered by the next flush.
    pub(crate) fn covered(
        &mut self,
        flush: FlushNumber,
        record: &RunSet<Region>,
        except: &RunSet<Region>,
        grain: &Grain,
    ) -> RunSet<Region> {
        let mut covered = record.without(except).without(&self.uncovered(flush, grain));
        covered.truncate(RUNS_MAX);
        // What is older stays recorded only where `except` says so, until any later flush.
        self.written = self.written.split_off(&flush);
        covered
    }
}

fn regions(range: BlockRange, grain: &Grain) -> impl Iterator<Item = Region> + use<> {
    let regions = grain.regions(range);
    (regions.start.0..regions.end.0).map(Region)
}
