//! Sets that may hold more than they must, and therefore need not become large.

use std::ops::{Deref, Range};

use serde::{Deserialize, Serialize};

use super::runs::{Numbered, RunSet};

/// Grains that must be remembered, and perhaps others: those between runs that were joined because there were too many.
/// For what may have to be copied, and for what may not be forgotten yet, others cost time and no data. What *was*
/// copied, or *may* be forgotten, is never kept in one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Superset<T: Numbered>(RunSet<T>);

impl<T: Numbered> Superset<T> {
    /// Remembers a run, in at most `runs_max` runs.
    pub fn insert(&mut self, run: &Range<T>, runs_max: usize) {
        self.0.insert(run);
        self.join(runs_max);
    }

    /// Remembers all of another's grains, in at most `runs_max` runs.
    pub fn extend(&mut self, other: &RunSet<T>, runs_max: usize) {
        for run in other.runs() {
            self.insert(&run, runs_max);
        }
    }

    /// Forgets exactly this run. A hole may be one run more than there were: what is copied piece by piece must not
    /// come back, so only the next insertion joins again.
    pub fn remove(&mut self, run: &Range<T>) {
        self.0.remove(run);
    }

    /// Forgets another's grains, as far as what remains has at most `runs_max` runs.
    pub fn subtract(&mut self, other: &RunSet<T>, runs_max: usize) {
        for run in other.runs() {
            self.0.remove(&run);
        }
        self.join(runs_max);
    }

    /// If there are too many runs, joins those that are closest, and a quarter more, so that not every insertion has to.
    /// Equal sets become equal again, wherever they are kept.
    fn join(&mut self, runs_max: usize) {
        let Some(excess) = self.0.run_count().checked_sub(runs_max).filter(|excess| *excess > 0) else {
            return;
        };
        let mut gaps: Vec<_> = self.gaps().collect();
        let joined = (excess + runs_max / 4).min(gaps.len());
        // One run cannot be joined with any other.
        if joined == 0 {
            return;
        }
        gaps.select_nth_unstable_by_key(joined - 1, |gap| (gap.end.number() - gap.start.number(), gap.start));
        for gap in &gaps[..joined] {
            self.0.insert(gap);
        }
    }

    fn gaps(&self) -> impl Iterator<Item = Range<T>> + '_ {
        self.0.runs().zip(self.0.runs().skip(1)).map(|(run, next)| run.end..next.start)
    }
}

impl<T: Numbered> Default for Superset<T> {
    fn default() -> Self {
        Self(RunSet::default())
    }
}

impl<T: Numbered> Deref for Superset<T> {
    type Target = RunSet<T>;

    fn deref(&self) -> &RunSet<T> {
        &self.0
    }
}

impl<T: Numbered> From<Range<T>> for Superset<T> {
    fn from(run: Range<T>) -> Self {
        Self([run].into_iter().collect())
    }
}
