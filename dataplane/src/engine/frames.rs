//! The frame pool (E10): memory for resident leaf pages, fixed per drive.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    format::{ENTRIES_PER_PAGE, PAGE_BYTES},
    layer::Layer,
    map::Entry,
    resolved::RegionKey,
    sync::{Signal, lock},
};

/// Frames whose memory is taken together, when the first of them is needed.
const CHUNK_FRAMES: usize = 64;
/// Fewer would starve writers behind each other.
const FRAMES_MIN: usize = 8;

#[derive(Debug)]
pub(super) struct Frames {
    chunks: Box<[OnceLock<Box<[Frame]>>]>,
    pool: Mutex<Pool>,
    /// A frame became free.
    freed: Signal,
    /// Frames run short.
    short: Signal,
}

#[derive(Debug)]
struct Frame {
    entries: Box<[AtomicU64]>,
    /// Used since the evictor last came by.
    touched: AtomicBool,
}

#[derive(Debug)]
struct Pool {
    free: Vec<u32>,
    /// Frames at the end of `free` that only a checkpoint may take: as many as pages that recovery left waiting, so
    /// that it can always load them.
    reserved: usize,
    total: usize,
    owners: Vec<Option<Owner>>,
    hand: usize,
}

/// What a frame holds.
#[derive(Debug, Clone)]
pub(super) enum Owner {
    /// A leaf page of a layer.
    Page(Arc<Layer>, u32),
    /// A resolved region.
    Region(RegionKey),
}

/// The entries of one resident page. Valid while the operation that found it is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entries<'a>(&'a Frame);

impl Frames {
    /// A pool of `memory_bytes`, plus `reserved` frames for checkpoints.
    pub(super) fn new(memory_bytes: u64, reserved: usize) -> Self {
        let total = ((memory_bytes / PAGE_BYTES as u64) as usize).max(FRAMES_MIN) + reserved;
        Self {
            chunks: (0..total.div_ceil(CHUNK_FRAMES)).map(|_| OnceLock::new()).collect(),
            pool: Mutex::new(Pool {
                free: (0..total as u32).rev().collect(),
                reserved,
                total,
                owners: vec![None; total],
                hand: 0,
            }),
            freed: Signal::default(),
            short: Signal::default(),
        }
    }

    /// Takes a free frame; waits for the evictor if there is none.
    pub(super) async fn take(&self) -> u32 {
        self.freed.wait_until(|| self.try_take(false)).await
    }

    /// Takes a free frame for a checkpoint, which must not wait for itself.
    pub(super) async fn take_reserved(&self) -> u32 {
        self.freed.wait_until(|| self.try_take(true)).await
    }

    fn try_take(&self, may_use_reserve: bool) -> Option<u32> {
        let mut pool = lock(&self.pool);
        let available = pool.free.len() > if may_use_reserve { 0 } else { pool.reserved };
        let frame = if available { pool.free.pop() } else { None };
        if may_use_reserve && frame.is_some() {
            pool.reserved = pool.reserved.saturating_sub(1);
        }
        let short = pool.is_short();
        drop(pool);
        if short {
            self.short.raise();
        }
        frame
    }

    pub(super) fn set_owner(&self, frame: u32, owner: Owner) {
        lock(&self.pool).owners[frame as usize] = Some(owner);
    }

    pub(super) fn give_back(&self, frame: u32) {
        let mut pool = lock(&self.pool);
        pool.owners[frame as usize] = None;
        pool.free.push(frame);
        drop(pool);
        self.freed.raise();
    }

    /// Waits until frames run short.
    pub(super) async fn run_short(&self) {
        self.short.wait_until(|| lock(&self.pool).is_short().then_some(())).await;
    }

    /// Frames in the pool that anybody may use.
    pub(super) fn total(&self) -> usize {
        let pool = lock(&self.pool);
        pool.total - pool.reserved
    }

    /// Frames that hold something, or are about to.
    pub(super) fn in_use(&self) -> usize {
        let pool = lock(&self.pool);
        pool.total - pool.free.len()
    }

    /// Up to `count` owned frames that were not used since the hand passed them last.
    pub(super) fn candidates(&self, count: usize) -> Vec<(u32, Owner)> {
        let mut pool = lock(&self.pool);
        let mut found = Vec::new();
        // Twice around: the first time may only take the marks away.
        for _ in 0..2 * pool.total {
            let frame = pool.hand;
            pool.hand = (frame + 1) % pool.total;
            let Some(owner) = pool.owners[frame].clone() else { continue };
            if !self.frame(frame as u32).touched.swap(false, Ordering::Relaxed) {
                found.push((frame as u32, owner));
            }
            if found.len() == count {
                break;
            }
        }
        found
    }

    pub(super) fn entries(&self, frame: u32) -> Entries<'_> {
        Entries(self.frame(frame))
    }

    fn frame(&self, frame: u32) -> &Frame {
        let chunk = self.chunks[frame as usize / CHUNK_FRAMES].get_or_init(|| {
            (0..CHUNK_FRAMES)
                .map(|_| Frame {
                    entries: (0..ENTRIES_PER_PAGE).map(|_| AtomicU64::new(0)).collect(),
                    touched: AtomicBool::new(false),
                })
                .collect()
        });
        &chunk[frame as usize % CHUNK_FRAMES]
    }
}

impl Pool {
    fn is_short(&self) -> bool {
        self.free.len().saturating_sub(self.reserved) <= self.total / 16
    }
}

impl<'a> Entries<'a> {
    pub(super) fn get(self, index: usize) -> EntryCell<'a> {
        if !self.0.touched.load(Ordering::Relaxed) {
            self.0.touched.store(true, Ordering::Relaxed);
        }
        EntryCell(&self.0.entries[index])
    }

    /// Fills a frame that nobody else can see yet.
    pub(super) fn fill(self, mut entry: impl FnMut(usize) -> Entry) {
        for (index, cell) in self.0.entries.iter().enumerate() {
            cell.store(entry(index).0, Ordering::Relaxed);
        }
    }

    /// Copies the entries into a page. Each is copied whole, all of them not at one instant.
    pub(super) fn copy_to(self, page: &mut [u8]) {
        for (cell, bytes) in self.0.entries.iter().zip(page.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&cell.load(Ordering::Acquire).to_le_bytes());
        }
    }
}

/// One map entry in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryCell<'a>(&'a AtomicU64);

impl EntryCell<'_> {
    pub(super) fn load(self) -> Entry {
        Entry(self.0.load(Ordering::Acquire))
    }

    /// Sets an entry of a page that nobody else can see yet.
    pub(super) fn store_unshared(self, entry: Entry) {
        self.0.store(entry.0, Ordering::Relaxed);
    }

    /// Changes `from` into `to`, or says what it is by now.
    pub(super) fn change(self, from: Entry, to: Entry) -> Result<(), Entry> {
        self.0.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).map(drop).map_err(Entry)
    }
}
