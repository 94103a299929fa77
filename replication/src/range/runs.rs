//! Sets of grains as runs of neighbours: what is missing on a replica that has yet to be filled is one run, not
//! millions of extents.

use std::{collections::BTreeMap, fmt, marker::PhantomData, ops::Range};

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

/// How many runs a set may have: it is written to a drive, and sent, as 16 bytes a run (so in 128 KiB), several sets
/// are kept for each volume, and the longest event goes through all runs of one, which is well below a millisecond.
pub const RUNS_MAX: usize = 8192;

/// What sets consist of: numbered from 0, without gaps.
pub trait Numbered: Copy + Ord + fmt::Debug {
    fn number(self) -> u64;
    fn from_number(number: u64) -> Self;
}

/// Exactly these grains. Changing a run takes the logarithm of the number of runs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<(u64, u64)>")]
pub struct RunSet<T> {
    /// From the first of each run to the one after its last. No two runs touch.
    runs: BTreeMap<u64, u64>,
    grains: u64,
    of: PhantomData<T>,
}

impl<T: Numbered> RunSet<T> {
    /// How many grains it has.
    pub fn grains(&self) -> u64 {
        self.grains
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many runs it has.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// The runs, in order.
    pub fn runs(&self) -> impl Iterator<Item = Range<T>> + '_ {
        self.runs.iter().map(|(first, end)| T::from_number(*first)..T::from_number(*end))
    }

    /// The grains, in order. Of a large set, take few.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.runs.iter().flat_map(|(first, end)| (*first..*end).map(T::from_number))
    }

    /// Whether all grains of a run are in the set.
    pub fn covers(&self, run: &Range<T>) -> bool {
        let (first, end) = numbers(run);
        first >= end || self.runs.range(..=first).next_back().is_some_and(|(_, held)| *held >= end)
    }

    /// Whether any grain of a run is in the set.
    pub fn meets(&self, run: &Range<T>) -> bool {
        let (first, end) = numbers(run);
        first < end && self.runs.range(..end).next_back().is_some_and(|(_, held)| *held > first)
    }

    pub fn insert(&mut self, run: &Range<T>) {
        let (mut first, mut end) = numbers(run);
        if first >= end || self.covers(run) {
            return;
        }
        // Whatever overlaps or touches becomes one with it.
        while let Some((held_first, held_end)) =
            self.last_from(end.saturating_add(1)).filter(|(_, held)| *held >= first)
        {
            self.take(held_first, held_end);
            first = first.min(held_first);
            end = end.max(held_end);
        }
        self.put(first, end);
    }

    pub fn remove(&mut self, run: &Range<T>) {
        let (first, end) = numbers(run);
        if first >= end {
            return;
        }
        while let Some((held_first, held_end)) = self.last_from(end).filter(|(_, held)| *held > first) {
            self.take(held_first, held_end);
            self.put(end, held_end);
            self.put(held_first, first);
        }
    }

    /// The same without all of another's grains.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        for run in other.runs() {
            left.remove(&run);
        }
        left
    }

    /// Keeps the first runs only.
    pub fn truncate(&mut self, runs_max: usize) {
        while self.runs.len() > runs_max
            && let Some((first, end)) = self.runs.pop_last()
        {
            self.grains -= end - first;
        }
    }

    /// The last run that begins before `end`.
    fn last_from(&self, end: u64) -> Option<(u64, u64)> {
        self.runs.range(..end).next_back().map(|(first, end)| (*first, *end))
    }

    fn take(&mut self, first: u64, end: u64) {
        self.runs.remove(&first);
        self.grains -= end - first;
    }

    fn put(&mut self, first: u64, end: u64) {
        if first < end {
            self.runs.insert(first, end);
            self.grains += end - first;
        }
    }
}

fn numbers<T: Numbered>(run: &Range<T>) -> (u64, u64) {
    (run.start.number(), run.end.number())
}

impl<T> Default for RunSet<T> {
    fn default() -> Self {
        Self { runs: BTreeMap::new(), grains: 0, of: PhantomData }
    }
}

impl<T: Numbered> FromIterator<Range<T>> for RunSet<T> {
    fn from_iter<I: IntoIterator<Item = Range<T>>>(runs: I) -> Self {
        let mut set = Self::default();
        for run in runs {
            set.insert(&run);
        }
        set
    }
}

impl<T> fmt::Debug for RunSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.runs.iter().map(|(first, end)| *first..*end)).finish()
    }
}

impl<T> Serialize for RunSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.runs)
    }
}

/// Runs that no set has.
#[derive(Debug, Error)]
pub enum NoRuns {
    #[error("a set of {0} runs, at most {RUNS_MAX} are possible")]
    TooMany(usize),
    #[error("a run from {first} to {end} is empty")]
    Empty { first: u64, end: u64 },
    #[error("a run from {first} on, and the one before it ends at {end}")]
    NotApart { first: u64, end: u64 },
}

impl<T> TryFrom<Vec<(u64, u64)>> for RunSet<T> {
    type Error = NoRuns;

    fn try_from(runs: Vec<(u64, u64)>) -> Result<Self, NoRuns> {
        if runs.len() > RUNS_MAX {
            return Err(NoRuns::TooMany(runs.len()));
        }
        if let Some(&(first, end)) = runs.iter().find(|(first, end)| first >= end) {
            return Err(NoRuns::Empty { first, end });
        }
        if let Some(two) = runs.windows(2).find(|two| two[0].1 >= two[1].0) {
            return Err(NoRuns::NotApart { first: two[1].0, end: two[0].1 });
        }
        let grains = runs.iter().map(|(first, end)| end - first).sum();
        Ok(Self { runs: runs.into_iter().collect(), grains, of: PhantomData })
    }
}
