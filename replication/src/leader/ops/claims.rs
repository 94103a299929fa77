//! Who works on which blocks: writes in one order on all replicas, and no copy between them (E1).

use std::collections::BTreeMap;

use crate::range::{BlockRange, Extent};

/// Claims of this replica's leadership. Overlapping ones never coexist.
#[derive(Debug, Default)]
pub(in crate::leader) struct Claims {
    writes: Vec<BlockRange>,
    copies: BTreeMap<Extent, (BlockRange, usize)>,
}

impl Claims {
    /// Whether nobody works on any of the blocks.
    pub(in crate::leader) fn is_free(&self, range: BlockRange) -> bool {
        !self.writes(range) && !self.copies.values().any(|(copy, _)| copy.overlaps(&range))
    }

    /// Whether a host's write of some of the blocks is under way.
    pub(in crate::leader) fn writes(&self, range: BlockRange) -> bool {
        self.writes.iter().any(|write| write.overlaps(&range))
    }

    pub(in crate::leader) fn take(&mut self, range: BlockRange) {
        debug_assert!(self.is_free(range), "claims never overlap");
        self.writes.push(range);
    }

    pub(in crate::leader) fn release(&mut self, range: BlockRange) {
        let index = self.writes.iter().position(|write| *write == range).expect("it was taken");
        self.writes.swap_remove(index);
    }

    /// Claims an extent for a copy; copies of it to several replicas share the claim.
    pub(in crate::leader) fn take_copy(&mut self, extent: Extent, range: BlockRange) -> bool {
        if self.writes(range) {
            return false;
        }
        self.copies.entry(extent).or_insert((range, 0)).1 += 1;
        true
    }

    pub(in crate::leader) fn release_copy(&mut self, extent: Extent) {
        let (_, count) = self.copies.get_mut(&extent).expect("it was taken");
        *count -= 1;
        if *count == 0 {
            self.copies.remove(&extent);
        }
    }
}
