//! Blocks, and the two grains in which writes are remembered.

mod runs;
mod superset;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    runs::{NoRuns, Numbered, RUNS_MAX, RunSet},
    superset::Superset,
};

/// Some blocks of a volume, of which there is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "UncheckedRange")]
pub struct BlockRange {
    pub first: u64,
    pub count: u64,
}

/// As it arrived.
#[derive(Deserialize)]
struct UncheckedRange {
    first: u64,
    count: u64,
}

/// A range that no volume has: without a block, or beyond all numbers.
#[derive(Debug, Error)]
#[error("{count} blocks from {first} are no range")]
struct NoRange {
    first: u64,
    count: u64,
}

impl TryFrom<UncheckedRange> for BlockRange {
    type Error = NoRange;

    fn try_from(UncheckedRange { first, count }: UncheckedRange) -> Result<Self, NoRange> {
        if count == 0 || first.checked_add(count).is_none() {
            return Err(NoRange { first, count });
        }
        Ok(Self { first, count })
    }
}

impl BlockRange {
    /// Whether a block belongs to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first < other.first + other.count && other.first < self.first + self.count
    }

    /// The blocks.
    pub fn blocks(&self) -> Range<u64> {
        self.first..self.first + self.count
    }
}

/// What is copied to a replica that misses it: 64 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Extent(pub u64);

/// What is recorded before the first write into it: 4 MiB, so that a hot area is recorded once (M2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Region(pub u64);

impl Extent {
    /// This one alone.
    pub fn run(self) -> Range<Self> {
        self..Self(self.0 + 1)
    }
}

impl Region {
    /// This one alone.
    pub fn run(self) -> Range<Self> {
        self..Self(self.0 + 1)
    }
}

impl Numbered for Extent {
    fn number(self) -> u64 {
        self.0
    }

    fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl Numbered for Region {
    fn number(self) -> u64 {
        self.0
    }

    fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// How large the grains are, and how finely they are remembered.
#[derive(Debug, Clone, Copy)]
pub struct Grain {
    pub blocks_per_extent: u64,
    pub extents_per_region: u64,
    /// Of a set of grains: [`RUNS_MAX`], or fewer.
    pub runs_max: usize,
}

impl Grain {
    /// The extents that a range touches.
    pub fn extents(&self, range: BlockRange) -> Range<Extent> {
        let last = (range.first + range.count - 1) / self.blocks_per_extent;
        Extent(range.first / self.blocks_per_extent)..Extent(last + 1)
    }

    /// The regions that a range touches.
    pub fn regions(&self, range: BlockRange) -> Range<Region> {
        let blocks = self.blocks_per_extent * self.extents_per_region;
        let last = (range.first + range.count - 1) / blocks;
        Region(range.first / blocks)..Region(last + 1)
    }

    /// The extents of regions. The last of them may lie beyond the volume's end.
    pub fn extents_of(&self, regions: &RunSet<Region>) -> Superset<Extent> {
        let mut extents = Superset::default();
        for run in regions.runs() {
            let extent = |region: Region| Extent(region.0.saturating_mul(self.extents_per_region));
            extents.insert(&(extent(run.start)..extent(run.end)), self.runs_max);
        }
        extents
    }

    /// The blocks of an extent.
    pub fn blocks_of(&self, extent: Extent) -> BlockRange {
        BlockRange { first: extent.0 * self.blocks_per_extent, count: self.blocks_per_extent }
    }
}
