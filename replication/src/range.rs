//! Blocks, and the two grains in which writes are remembered.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

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

/// How large the grains are.
#[derive(Debug, Clone, Copy)]
pub struct Grain {
    pub blocks_per_extent: u64,
    pub extents_per_region: u64,
    /// Of the volume.
    pub extents: u64,
}

impl Grain {
    /// The extents that a range touches.
    pub fn extents(&self, range: BlockRange) -> impl Iterator<Item = Extent> + use<> {
        let last = (range.first + range.count - 1) / self.blocks_per_extent;
        (range.first / self.blocks_per_extent..=last).map(Extent)
    }

    /// The regions that a range touches.
    pub fn regions(&self, range: BlockRange) -> impl Iterator<Item = Region> + use<> {
        let blocks = self.blocks_per_extent * self.extents_per_region;
        let last = (range.first + range.count - 1) / blocks;
        (range.first / blocks..=last).map(Region)
    }

    /// The extents of a region, which is shorter at the volume's end.
    pub fn extents_of(&self, region: Region) -> impl Iterator<Item = Extent> + use<> {
        let first = region.0 * self.extents_per_region;
        (first..(first + self.extents_per_region).min(self.extents)).map(Extent)
    }

    /// The blocks of an extent.
    pub fn blocks_of(&self, extent: Extent) -> BlockRange {
        BlockRange { first: extent.0 * self.blocks_per_extent, count: self.blocks_per_extent }
    }

    /// All extents of the volume.
    pub fn all(&self) -> impl Iterator<Item = Extent> + use<> {
        (0..self.extents).map(Extent)
    }
}
