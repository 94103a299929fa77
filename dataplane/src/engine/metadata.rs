//! Pages for metadata (E9): 4 KiB each, out of extents of the pool: first of the two per cent that
//! are kept for them, which exist in a sparse file from the start. An extent that became a metadata extent stays one;
//! its pages come and go with the checkpoints.

use std::collections::BTreeMap;

use super::{
    drive::DriveShared,
    error::EngineError,
    format::{EXTENT_BYTES, Geometry, PAGE_BYTES, PAGES_PER_EXTENT},
    map::Extent,
    sync::lock,
};

#[derive(Debug)]
pub(super) struct MetadataSpace {
    /// Metadata extents, and which of their pages are in use.
    extents: BTreeMap<u32, u16>,
    /// Pages that trees used at the last checkpoint.
    tree_pages: u64,
    /// Pages that trees may need on top of those, for leaves that came into being since.
    charged_pages: u64,
    /// Extents that metadata may have: its share, and what it took from the ledger beyond.
    allowed_extents: u64,
    /// Pages of the last catalogue, which the next one needs again.
    catalogue_pages: u64,
}

/// A new leaf may need itself and the two index pages above it.
const PAGES_PER_NEW_LEAF: u64 = 3;
/// Kept for merges, which give space back on a full drive: a leaf comes into being above before the one below goes.
const MERGE_PAGES: u64 = 2 * 8 * PAGES_PER_NEW_LEAF;
/// For free map pages, catalogue growth and rounding.
const SLACK_PAGES: u64 = 48;

impl MetadataSpace {
    pub(super) fn new(geometry: &Geometry, extents: BTreeMap<u32, u16>, catalogue: &[u64]) -> Self {
        let tree_pages = extents.values().map(|pages| u64::from(pages.count_ones())).sum();
        let mut space = Self {
            allowed_extents: u64::from(geometry.metadata_extents).max(extents.len() as u64),
            extents,
            tree_pages,
            charged_pages: 0,
            catalogue_pages: catalogue.len() as u64,
        };
        for &address in catalogue {
            space.set_in_use(address, true);
        }
        // What was charged for the leaves that there are is promised again: otherwise data would take it, and on a
        // full drive neither a merge nor, at worst, a checkpoint would find pages.
        let promised = space.needed_pages(0, MERGE_PAGES).div_ceil(u64::from(PAGES_PER_EXTENT));
        space.allowed_extents = space.allowed_extents.max(promised);
        space
    }

    /// Pages for `more` than there are, and `kept` ones. A checkpoint may have to write every page anew before it may
    /// let go of the old ones, hence twice.
    fn needed_pages(&self, more: u64, kept: u64) -> u64 {
        2 * (self.tree_pages + self.charged_pages + more + self.catalogue_pages) + SLACK_PAGES + kept
    }

    /// Extents beyond the share that was kept for metadata.
    pub(super) fn extents_beyond_share(&self, geometry: &Geometry) -> u64 {
        self.allowed_extents - u64::from(geometry.metadata_extents)
    }

    /// Counts on one more leaf page; `more` is asked for an extent when the share does not suffice.
    fn charge(&mut self, is_merge: bool, more: impl Fn() -> bool) -> bool {
        let needed = self.needed_pages(PAGES_PER_NEW_LEAF, if is_merge { 0 } else { MERGE_PAGES });
        while self.allowed_extents * u64::from(PAGES_PER_EXTENT) < needed {
            if !more() {
                return false;
            }
            self.allowed_extents += 1;
        }
        self.charged_pages += PAGES_PER_NEW_LEAF;
        true
    }

    pub(super) fn free_pages(&self) -> u64 {
        self.extents.values().map(|pages| u64::from(pages.count_zeros())).sum()
    }

    pub(super) fn contains(&self, extent: u32) -> bool {
        self.extents.contains_key(&extent)
    }

    pub(super) fn extent_count(&self) -> u64 {
        self.extents.len() as u64
    }

    pub(super) fn add_extent(&mut self, extent: Extent) {
        let old = self.extents.insert(extent.0, 0);
        assert!(old.is_none(), "an extent becomes a metadata extent once");
    }

    /// Takes a free page; its byte address.
    pub(super) fn take_page(&mut self) -> Option<u64> {
        let (&extent, pages) = self.extents.iter_mut().find(|(_, pages)| **pages != u16::MAX)?;
        let page = pages.trailing_ones();
        *pages |= 1 << page;
        Some(u64::from(extent) * EXTENT_BYTES + u64::from(page) * PAGE_BYTES as u64)
    }

    pub(super) fn release_page(&mut self, address_bytes: u64) {
        self.set_in_use(address_bytes, false);
    }

    fn set_in_use(&mut self, address_bytes: u64, in_use: bool) {
        let extent = (address_bytes / EXTENT_BYTES) as u32;
        let bit = 1u16 << (address_bytes % EXTENT_BYTES / PAGE_BYTES as u64);
        // A catalogue's own extents are listed in it like all others.
        let pages = self.extents.entry(extent).or_insert(0);
        assert!((*pages & bit != 0) != in_use, "a metadata page has one user");
        *pages ^= bit;
    }

    /// What the catalogue says: pages in use by trees once `released` are left out.
    pub(super) fn tree_usage(&self, released: &[u64]) -> Vec<(u32, u16)> {
        let mut extents = self.extents.clone();
        for address in released {
            let extent = (address / EXTENT_BYTES) as u32;
            let bit = 1u16 << (address % EXTENT_BYTES / PAGE_BYTES as u64);
            let pages = extents.get_mut(&extent).expect("metadata pages lie in metadata extents");
            *pages &= !bit;
        }
        extents.into_iter().collect()
    }

    /// Pages counted on and not written by a checkpoint yet.
    pub(super) fn charged_pages(&self) -> u64 {
        self.charged_pages
    }

    /// A checkpoint is durable.
    pub(super) fn settle(&mut self, catalogue_pages: u64, charged_before: u64) {
        let used: u64 = self.extents.values().map(|pages| u64::from(pages.count_ones())).sum();
        self.tree_pages = used - catalogue_pages;
        self.catalogue_pages = catalogue_pages;
        self.charged_pages -= charged_before;
    }
}

impl DriveShared {
    /// A leaf page is about to come into being; the next checkpoint must find room for it (E12).
    pub(super) fn metadata_charge(&self, is_merge: bool) -> Result<(), EngineError> {
        let charged = lock(&self.metadata).charge(is_merge, || self.ledger.charge_metadata());
        if charged { Ok(()) } else { Err(EngineError::CapacityExceeded) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a drive that is full of data before and after a restart.
    #[test]
    fn a_restart_keeps_what_was_promised() {
        let geometry = Geometry::plan(16 << 20);
        let mut before = MetadataSpace::new(&geometry, BTreeMap::new(), &[]);
        for leaf in 0..100 {
            assert!(before.charge(false, || true), "leaf {leaf}");
        }
        // A checkpoint wrote as many pages as were charged.
        let written = 100 * PAGES_PER_NEW_LEAF;
        let full = written / u64::from(PAGES_PER_EXTENT);
        let rest = written % u64::from(PAGES_PER_EXTENT);
        let extents = (0..full as u32).map(|extent| (extent, u16::MAX));
        let extents = extents.chain([(full as u32, (1 << rest) - 1)]).collect();
        let mut after = MetadataSpace::new(&geometry, extents, &[]);
        assert_eq!(after.extents_beyond_share(&geometry), before.extents_beyond_share(&geometry));
        assert!(after.charge(true, || false), "a merge finds pages");
    }
}
