//! Flat look-ups under many snapshots (E11): for a region of 64 extents, where each block lies as one frozen layer
//! shows it, whichever layer below it has the block. One frame holds a region, so a read looks at the head's entry,
//! then here, however deep the chain is. A region is made when somebody first misses it, and goes with its frame
//! when memory is needed.
//!
//! ```text
//! free --(publish)--> a key --(evict, forget)--> leaving --(grace)--> free
//! ```
//! What a frozen layer shows never changes; where it lies changes when a merge copies blocks: that merge makes the
//! regions concerned be forgotten before it frees what they point at.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use super::{
    drive::DriveShared,
    error::EngineError,
    format::{BLOCKS_PER_EXTENT, ENTRIES_PER_PAGE, LayerId},
    frames::Owner,
    layer::Layer,
    map::{BlockMask, BlockState, Entry, Extent, LogicalExtent},
    paging::Purpose,
    read::Source,
    sync::{Signal, lock},
};

/// Extents of a region: as many as fill a frame with one 32-bit number per block.
const REGION_EXTENTS: u32 = (ENTRIES_PER_PAGE * 2) as u32 / BLOCKS_PER_EXTENT;
const WAYS: usize = 8;
/// Regions asked for and not made yet; more are forgotten, and asked for again.
const WANTED_MAX: usize = 64;
/// A block whose layers must be asked; extent 1 is never in the pool.
const ASK_LAYERS: u32 = 1;

const FREE: u64 = 0;
/// No layer has number 0.
const LEAVING: u64 = 1;

/// Which region, as which layer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RegionKey(u64);

#[derive(Debug)]
pub(super) struct Regions {
    sets: Box<[Set]>,
    wanted: Mutex<VecDeque<(Arc<Layer>, u32)>>,
    asked: Signal,
}

/// Keys side by side: one cache line tells.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    keys: [AtomicU64; WAYS],
    frames: [AtomicU32; WAYS],
}

impl RegionKey {
    fn new(layer: LayerId, region: u32) -> Self {
        Self(u64::from(layer.0) << 32 | u64::from(region))
    }

    fn hash(self) -> usize {
        (self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
    }
}

fn region_of(logical: LogicalExtent) -> u32 {
    logical.0 / REGION_EXTENTS
}

impl Regions {
    /// Room for as many regions as there are frames.
    pub(super) fn new(frames: usize) -> Self {
        let sets = frames.div_ceil(WAYS).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| Set::default()).collect(),
            wanted: Mutex::default(),
            asked: Signal::default(),
        }
    }

    fn set(&self, key: RegionKey) -> &Set {
        &self.sets[key.hash() & (self.sets.len() - 1)]
    }

    /// The frame that holds a region. Within an operation: a way that it sees is not used for another region before
    /// it has ended.
    fn frame(&self, key: RegionKey) -> Option<u32> {
        let set = self.set(key);
        let way = set.keys.iter().position(|held| held.load(Ordering::Acquire) == key.0)?;
        Some(set.frames[way].load(Ordering::Relaxed))
    }

    /// Asks for a region. Never waits: a busy queue is as good as a full one.
    fn want(&self, layer: &Arc<Layer>, region: u32) {
        let Ok(mut wanted) = self.wanted.try_lock() else { return };
        let known = wanted.iter().any(|(other, place)| *place == region && other.id == layer.id);
        if !known && wanted.len() < WANTED_MAX {
            wanted.push_back((layer.clone(), region));
            drop(wanted);
            self.asked.raise();
        }
    }

    /// Shows a region to everybody; false if its set is full. Only on the home core.
    fn publish(&self, key: RegionKey, frame: u32) -> bool {
        let set = self.set(key);
        let Some(way) = set.keys.iter().position(|held| held.load(Ordering::Relaxed) == FREE) else {
            return false;
        };
        set.frames[way].store(frame, Ordering::Relaxed);
        set.keys[way].store(key.0, Ordering::Release);
        true
    }

    /// Hides a region from those who begin now; [`DriveShared::let_go`] does the rest. Only on the home core.
    pub(super) fn hide(&self, key: RegionKey) -> Option<Leaving<'_>> {
        let set = self.set(key);
        let way = set.keys.iter().position(|held| held.load(Ordering::Relaxed) == key.0)?;
        set.keys[way].store(LEAVING, Ordering::Release);
        Some(Leaving { set, way })
    }

    /// Any region of the set that `key` belongs to, hidden to make room.
    fn hide_other(&self, key: RegionKey) -> Option<Leaving<'_>> {
        let held = self.set(key).keys.iter().map(|held| held.load(Ordering::Relaxed));
        // Which one does not matter much; the key's own bits spread the choice.
        let mut others = held.filter(|held| *held != FREE && *held != LEAVING).collect::<Vec<_>>();
        let pick = (key.0 as usize) % others.len().max(1);
        (!others.is_empty()).then(|| RegionKey(others.swap_remove(pick))).and_then(|other| self.hide(other))
    }
}

/// A way on its way out.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    set: &'a Set,
    way: usize,
}

impl Leaving<'_> {
    /// Where it was.
    pub(super) fn frame(&self) -> u32 {
        self.set.frames[self.way].load(Ordering::Relaxed)
    }

    /// After the grace period.
    pub(super) fn free(self) {
        self.set.keys[self.way].store(FREE, Ordering::Release);
    }
}

/// Makes the regions that were missed. Runs on the home core.
pub(super) async fn run(drive: Arc<DriveShared>) {
    loop {
        let (layer, region) =
            drive.regions.asked.wait_until(|| lock(&drive.regions.wanted).pop_front()).await;
        if let Err(error) = drive.resolve(&layer, region).await {
            // Whoever reads there meets the same and says so.
            tracing::debug!(layer = layer.id.0, region, %error, "a region could not be resolved");
        }
    }
}

impl DriveShared {
    /// Where a block lies as `layer` and those below show it; `None` if its region is not there yet, or does not say.
    /// Within an operation.
    pub(super) fn resolved(&self, layer: &Arc<Layer>, logical: LogicalExtent, block: u32) -> Option<Source> {
        let region = region_of(logical);
        let Some(frame) = self.regions.frame(RegionKey::new(layer.id, region)) else {
            self.regions.want(layer, region);
            return None;
        };
        let index = logical.0 % REGION_EXTENTS * BLOCKS_PER_EXTENT + block;
        let word = self.frames.entries(frame).get(index as usize / 2).load().0;
        Some(match (word >> (index % 2 * 32)) as u32 {
            0 => Source::Zeros,
            ASK_LAYERS => return None,
            extent => Source::Drive(Extent(extent).block_bytes(block)),
        })
    }

    async fn resolve(&self, layer: &Arc<Layer>, region: u32) -> Result<(), EngineError> {
        let key = RegionKey::new(layer.id, region);
        let leaf = LogicalExtent(region * REGION_EXTENTS).leaf();
        for layer in self.layers_from(layer) {
            self.page_in(&layer, leaf, Purpose::Read).await?;
        }
        if let Some(other) = self.full_set(key) {
            self.let_go([other]).await;
        }
        let frame = self.frames.take().await;
        // From here on nothing waits: a merge on this core comes before, and is seen, or after, and forgets.
        let words = self.find_region(layer, region);
        let shown = words.is_some_and(|words| {
            self.frames
                .entries(frame)
                .fill(|index| Entry(u64::from(words[2 * index]) | u64::from(words[2 * index + 1]) << 32));
            self.frames.set_owner(frame, Owner::Region(key));
            self.regions.frame(key).is_none() && self.regions.publish(key, frame)
        });
        if !shown {
            // A page went again meanwhile, or somebody was quicker: the next miss asks again.
            self.frames.give_back(frame);
        }
        Ok(())
    }

    /// A region to be hidden so that another can be shown.
    fn full_set(&self, key: RegionKey) -> Option<Leaving<'_>> {
        let full = self.regions.set(key).keys.iter().all(|held| held.load(Ordering::Relaxed) != FREE);
        if full { self.regions.hide_other(key) } else { None }
    }

    /// A layer and what it stands on.
    fn layers_from(&self, layer: &Arc<Layer>) -> Vec<Arc<Layer>> {
        let layers = lock(&self.layers);
        std::iter::successors(Some(layer.clone()), |layer| layers.get(&layer.parent()?).cloned()).collect()
    }

    /// One number per block: its extent. `None`: a page is missing.
    fn find_region(&self, layer: &Arc<Layer>, region: u32) -> Option<Vec<u32>> {
        let _operation = self.grace.enter();
        let layers = self.layers_from(layer);
        let mut words = vec![0; ENTRIES_PER_PAGE * 2];
        let first = region * REGION_EXTENTS;
        for (logical, blocks) in (first..).zip(words.chunks_exact_mut(BLOCKS_PER_EXTENT as usize)) {
            let mut open = BlockMask::ALL;
            for layer in &layers {
                let entry = self.entry(layer, LogicalExtent(logical))?;
                for (first, last) in open.and(entry.known()).runs() {
                    (first..=last).for_each(|block| blocks[block as usize] = place(entry, block));
                }
                open = open.without(entry.known());
                if open.is_empty() {
                    break;
                }
            }
        }
        Some(words)
    }

    /// Forgets what was resolved of a leaf, as any of these layers shows it, and waits until nobody uses it.
    pub(super) async fn forget_resolved(&self, layers: &[Arc<Layer>], leaf: u32) {
        let regions = ENTRIES_PER_PAGE as u32 / REGION_EXTENTS;
        let keys = layers.iter().flat_map(|layer| {
            (leaf * regions..=leaf * regions + (regions - 1)).map(|region| RegionKey::new(layer.id, region))
        });
        let leaving: Vec<_> = keys.filter_map(|key| self.regions.hide(key)).collect();
        // Even if there are none: some may have looked the region up in the layers themselves, a moment ago.
        self.let_go(leaving).await;
    }

    /// Gives the frames of hidden regions back when nobody uses them any more.
    pub(super) async fn let_go(&self, leaving: impl IntoIterator<Item = Leaving<'_>>) {
        self.grace.period().await;
        for way in leaving {
            self.frames.give_back(way.frame());
            way.free();
        }
    }
}

fn place(entry: Entry, block: u32) -> u32 {
    match (entry.state(block), entry.extent()) {
        (BlockState::Zero, _) => 0,
        (BlockState::Data, Some(extent)) => extent.0,
        // Rare enough to be looked for where they are.
        (BlockState::Data, None) | (BlockState::SideRecord | BlockState::Absent, _) => ASK_LAYERS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_found_until_it_is_hidden() {
        let regions = Regions::new(1);
        let key = |number| RegionKey::new(LayerId(3), number);
        for number in 0..WAYS as u32 {
            assert!(regions.publish(key(number), 100 + number));
        }
        assert!(!regions.publish(key(99), 1), "all ways are taken");
        assert_eq!(regions.frame(key(5)), Some(105));
        let leaving = regions.hide(key(5)).expect("it was there");
        assert_eq!(regions.frame(key(5)), None);
        assert!(!regions.publish(key(99), 1), "readers may still look at it");
        leaving.free();
        assert!(regions.publish(key(99), 1));
        assert_eq!(regions.frame(key(99)), Some(1));
        assert!(regions.hide(key(5)).is_none());
        let other = regions.hide_other(key(7)).expect("the set is full");
        other.free();
    }
}
