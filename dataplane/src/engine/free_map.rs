//! The free map: one bit per extent of the drive, used or free as the journal's records say. Beside it, in memory
//! only, a bit for extents that are free there but not to be had: handed to a core, or freed and not yet reusable
//! (E7).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    format::{BITS_PER_PAGE, Geometry, PAGE_BYTES},
    map::Extent,
};

const WORDS: usize = PAGE_BYTES / 8;

#[derive(Debug)]
pub(super) struct FreeMap {
    geometry: Geometry,
    pages: Vec<Option<Box<BitmapPage>>>,
    /// What recovery found in the journal, for pages that are not loaded yet: extent number and whether it is used.
    overlay: BTreeMap<u32, bool>,
    /// Pages changed since the last checkpoint took them.
    dirty: BTreeSet<u32>,
    used_extents: u64,
    /// Where the next search begins.
    cursor: u32,
    /// Only extents below this are handed out.
    limit: u32,
}

#[derive(Debug)]
struct BitmapPage {
    used: [u64; WORDS],
    busy: [u64; WORDS],
    /// Bits set in either; full pages are passed over.
    taken: u32,
}

impl BitmapPage {
    fn change(&mut self, extent: u32, used: Option<bool>, busy: Option<bool>) {
        let (word, bit) = place(extent);
        let set = |old: u64, value: Option<bool>| match value {
            Some(true) => old | bit,
            Some(false) => old & !bit,
            None => old,
        };
        let before = (self.used[word] | self.busy[word]) & bit;
        self.used[word] = set(self.used[word], used);
        self.busy[word] = set(self.busy[word], busy);
        let after = (self.used[word] | self.busy[word]) & bit;
        self.taken = self.taken + u32::from(after != 0) - u32::from(before != 0);
    }
}

/// Free extents side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// What a search for free extents found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Run(Run),
    /// This page must be loaded before the search can go on.
    NeedsPage(u32),
    Nothing,
}

pub(super) fn page_of(extent: u32) -> u32 {
    extent / BITS_PER_PAGE
}

impl FreeMap {
    pub(super) fn new(geometry: Geometry, used_extents: u64, overlay: BTreeMap<u32, bool>) -> Self {
        let pages = geometry.end.div_ceil(BITS_PER_PAGE) as usize;
        Self {
            dirty: overlay.keys().map(|&extent| page_of(extent)).collect(),
            pages: (0..pages).map(|_| None).collect(),
            overlay,
            used_extents,
            cursor: geometry.volumes_first(),
            limit: geometry.end,
            geometry,
        }
    }

    /// Extents that records give to layers; metadata is not counted.
    pub(super) fn used_extents(&self) -> u64 {
        self.used_extents
    }

    pub(super) fn page_count(&self) -> u32 {
        self.pages.len() as u32
    }

    pub(super) fn is_loaded(&self, page: u32) -> bool {
        self.pages[page as usize].is_some()
    }

    /// Puts a page read from the drive in place (`None`: nothing used); the first one stays.
    pub(super) fn put(&mut self, page: u32, bytes: Option<&[u8]>) {
        if self.is_loaded(page) {
            return;
        }
        let mut loaded = Box::new(BitmapPage { used: [0; WORDS], busy: [0; WORDS], taken: 0 });
        for (word, bytes) in loaded.used.iter_mut().zip(bytes.unwrap_or_default().chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("words have eight bytes"));
            loaded.taken += word.count_ones();
        }
        let first = page * BITS_PER_PAGE;
        let news = self.overlay.range(first..=first + (BITS_PER_PAGE - 1));
        let news: Vec<_> = news.map(|(&extent, &used)| (extent, used)).collect();
        for (extent, used) in news {
            self.overlay.remove(&extent);
            loaded.change(extent, Some(used), None);
        }
        self.pages[page as usize] = Some(loaded);
    }

    /// From now on only extents below `limit` are handed out.
    pub(super) fn limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// The drive goes on to `end`. What is new there is free, and handed out once the limit is moved.
    pub(super) fn extend_to(&mut self, end: u32) {
        self.geometry.end = end;
        self.pages.resize_with(end.div_ceil(BITS_PER_PAGE) as usize, || None);
    }

    /// Takes an extent out of those kept for metadata; it is busy from now on.
    pub(super) fn take_for_metadata(&mut self) -> Found {
        let found = self.find(self.geometry.data_first, self.geometry.volumes_first());
        if let Found::Run(run) = found {
            self.set_busy(run.first, true);
        }
        found
    }

    /// Takes up to `count` neighbouring free extents for volumes; they are busy from now on.
    pub(super) fn take(&mut self, count: u32) -> Found {
        let start = self.cursor.min(self.limit);
        let spans = [(start, self.limit), (self.geometry.volumes_first(), start)];
        for (from, to) in spans {
            match self.find(from, to) {
                Found::Run(Run { first, .. }) => return Found::Run(self.grow(first, count)),
                Found::NeedsPage(page) => return Found::NeedsPage(page),
                Found::Nothing => {}
            }
        }
        Found::Nothing
    }

    fn find(&self, from: u32, to: u32) -> Found {
        let mut extent = from;
        while extent < to {
            let Some(page) = &self.pages[page_of(extent) as usize] else {
                return Found::NeedsPage(page_of(extent));
            };
            if page.taken == BITS_PER_PAGE {
                extent = (page_of(extent) + 1).saturating_mul(BITS_PER_PAGE);
                continue;
            }
            let (word, bit) = place(extent);
            let taken = page.used[word] | page.busy[word] | (bit - 1);
            if taken == u64::MAX {
                extent = (extent / 64 + 1) * 64;
                continue;
            }
            let free = extent / 64 * 64 + taken.trailing_ones();
            return if free < to { Found::Run(Run { first: free, count: 1 }) } else { Found::Nothing };
        }
        Found::Nothing
    }

    /// Makes `first` and its free neighbours busy.
    fn grow(&mut self, first: u32, count: u32) -> Run {
        let mut taken = 0;
        while taken < count && first + taken < self.limit && self.is_free(first + taken) {
            self.set_busy(first + taken, true);
            taken += 1;
        }
        self.cursor = first + taken;
        Run { first, count: taken }
    }

    /// Free and loaded.
    fn is_free(&self, extent: u32) -> bool {
        let (word, bit) = place(extent);
        self.pages[page_of(extent) as usize]
            .as_ref()
            .is_some_and(|page| (page.used[word] | page.busy[word]) & bit == 0)
    }

    pub(super) fn is_used(&self, extent: Extent) -> bool {
        let (word, bit) = place(extent.0);
        self.loaded(extent.0).used[word] & bit != 0
    }

    /// A record gives the extent to an owner. True if that is news.
    pub(super) fn set_used(&mut self, extent: Extent) -> bool {
        let news = !self.is_used(extent);
        self.loaded_mut(extent.0).change(extent.0, Some(true), Some(false));
        if news {
            self.used_extents += 1;
            self.dirty.insert(page_of(extent.0));
        }
        news
    }

    /// The extent is metadata from now on. The catalogue says so, no record does.
    pub(super) fn set_metadata(&mut self, extent: Extent) {
        if self.set_used(extent) {
            self.used_extents -= 1;
        }
    }

    /// A record takes the extent from its owner; it stays busy until [`release`](Self::release). True if an owner
    /// was recorded.
    pub(super) fn set_freed(&mut self, extent: Extent) -> bool {
        let news = self.is_used(extent);
        self.loaded_mut(extent.0).change(extent.0, Some(false), Some(true));
        if news {
            self.used_extents -= 1;
            self.dirty.insert(page_of(extent.0));
        }
        news
    }

    /// A busy extent can be had again.
    pub(super) fn release(&mut self, extent: Extent) {
        self.set_busy(extent.0, false);
    }

    fn set_busy(&mut self, extent: u32, busy: bool) {
        let (word, bit) = place(extent);
        let page = self.loaded_mut(extent);
        assert!((page.busy[word] & bit != 0) != busy, "extent {extent} is handed out once and returned once");
        page.change(extent, None, Some(busy));
    }

    /// Pages that recovery has news of and that are not loaded.
    pub(super) fn waiting_page(&self) -> Option<u32> {
        self.overlay.keys().next().map(|&extent| page_of(extent))
    }

    /// Changed pages, by number.
    pub(super) fn dirty_pages(&self) -> impl Iterator<Item = u32> {
        self.dirty.iter().copied()
    }

    /// Takes copies of the changed pages for a checkpoint.
    pub(super) fn take_dirty(&mut self) -> Vec<(u32, Vec<u8>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|page| (page, self.page_bytes(page))).collect()
    }

    fn page_bytes(&self, page: u32) -> Vec<u8> {
        let page = self.pages[page as usize].as_ref().expect("dirty pages are loaded");
        page.used.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Counts the used bits of all pages, which must be loaded.
    pub(super) fn count_used(&self) -> u64 {
        let pages = self.pages.iter().map(|page| page.as_ref().expect("the checker loaded all"));
        pages.flat_map(|page| page.used).map(|word| u64::from(word.count_ones())).sum()
    }

    fn loaded(&self, extent: u32) -> &BitmapPage {
        self.pages[page_of(extent) as usize].as_ref().expect("its page was loaded before")
    }

    fn loaded_mut(&mut self, extent: u32) -> &mut BitmapPage {
        self.pages[page_of(extent) as usize].as_mut().expect("its page was loaded before")
    }
}

/// Word and bit of an extent within its page.
fn place(extent: u32) -> (usize, u64) {
    let index = extent % BITS_PER_PAGE;
    ((index / 64) as usize, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded() -> FreeMap {
        let mut map = FreeMap::new(Geometry::plan(16 << 20), 0, BTreeMap::new());
        map.put(0, None);
        map
    }

    #[test]
    fn every_extent_is_had_once() {
        let mut map = loaded();
        let mut seen = BTreeSet::new();
        while let Found::Run(run) = map.take(7) {
            for extent in run.first..run.first + run.count {
                assert!(map.geometry.is_in_pool(extent) && seen.insert(extent));
            }
        }
        assert_eq!(seen.len() as u64, map.geometry.capacity_extents());
        assert_eq!(map.take_for_metadata(), Found::Run(Run { first: map.geometry.data_first, count: 1 }));
        let one = Extent(*seen.last().expect("some were found"));
        assert!(map.set_used(one) && !map.set_used(one));
        assert!(map.set_freed(one) && !map.set_freed(one));
        assert_eq!(map.take(1), Found::Nothing, "freed is not yet reusable");
        map.release(one);
        assert_eq!(map.take(9), Found::Run(Run { first: one.0, count: 1 }));
    }

    #[test]
    fn an_overlay_changes_what_a_page_says() {
        let geometry = Geometry::plan(16 << 20);
        let (a, b) = (geometry.data_first, geometry.data_first + 1);
        let mut map = FreeMap::new(geometry, 1, BTreeMap::from([(a, true), (b, false)]));
        assert_eq!(map.take(1), Found::NeedsPage(0));
        assert_eq!(map.waiting_page(), Some(0));
        let mut page = vec![0; PAGE_BYTES];
        page[b as usize / 8] |= 1 << (b % 8);
        map.put(0, Some(&page));
        assert!(map.is_used(Extent(a)) && !map.is_used(Extent(b)));
        assert_eq!(map.waiting_page(), None);
        assert_eq!(map.count_used(), 1);
    }
    #[test]
    fn a_grown_drive_has_more_pages() {
        let mut map = loaded();
        while map.take(64) != Found::Nothing {}
        let (old_end, end) = (map.geometry.end, 2 * BITS_PER_PAGE + 7);
        map.extend_to(end);
        assert_eq!(map.page_count(), 3);
        assert_eq!(map.take(1), Found::Nothing, "the limit has not moved yet");
        map.limit(end);
        assert_eq!(map.take(1), Found::Run(Run { first: old_end, count: 1 }));
        while map.take(BITS_PER_PAGE) != Found::NeedsPage(1) {}
        map.put(1, None);
        map.put(2, None);
        while map.take(BITS_PER_PAGE) != Found::Nothing {}
        map.release(Extent(end - 1));
        assert_eq!(map.take(9), Found::Run(Run { first: end - 1, count: 1 }), "its last extent");
    }
}
