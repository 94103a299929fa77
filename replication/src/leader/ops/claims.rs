//! Who works on which blocks: writes in one order on all replicas, and no copy between them (E1).

use std::collections::BTreeMap;

use crate::range::{BlockRange, Extent, Grain};

/// Claims of this replica's leadership. Overlapping ones never coexist, so that one look finds whom a range meets.
#[derive(Debug, Default)]
pub(in crate::leader) struct Claims {
    /// By their first blocks.
    writes: BTreeMap<u64, BlockRange>,
    copies: BTreeMap<Extent, usize>,
}

impl Claims {
    /// Whether nobody works on any of the blocks.
    pub(in crate::leader) fn is_free(&self, range: BlockRange, grain: &Grain) -> bool {
        !self.writes(range) && self.copies.range(grain.extents(range)).next().is_none()
    }

    /// Whether a host's write of some of the blocks is under way.
    pub(in crate::leader) fn writes(&self, range: BlockRange) -> bool {
        let last = self.writes.range(..range.blocks().end).next_back();
        last.is_some_and(|(_, write)| write.overlaps(&range))
    }

    /// Claims a range for a host's write, which is free.
    pub(in crate::leader) fn take(&mut self, range: BlockRange) {
        debug_assert!(!self.writes(range), "claims never overlap");
        self.writes.insert(range.first, range);
    }

    pub(in crate::leader) fn release(&mut self, range: BlockRange) {
        let taken = self.writes.remove(&range.first);
        debug_assert_eq!(taken, Some(range), "it was taken");
    }

    /// Claims an extent for a copy; copies of it to several replicas share the claim.
    pub(in crate::leader) fn take_copy(&mut self, extent: Extent, grain: &Grain) -> bool {
        if self.writes(grain.blocks_of(extent)) {
            return false;
        }
        *self.copies.entry(extent).or_default() += 1;
        true
    }

    pub(in crate::leader) fn release_copy(&mut self, extent: Extent) {
        let count = self.copies.get_mut(&extent).expect("it was taken");
        *count -= 1;
        if *count == 0 {
            self.copies.remove(&extent);
        }
    }
}
