//! Claims (E1): who writes a 4 KiB block holds it until the last drive write has completed.
//!
//! One bit per block in a small table of words. Blocks that share a bit merely wait for each other. A piece of a
//! command lies within one word and takes and gives back its bits alone, so nobody waits while holding.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{
    format::BLOCKS_PER_EXTENT,
    map::{BlockMask, LogicalExtent},
    sync::Signal,
};

/// Four extents share a word.
const EXTENTS_PER_WORD: u32 = 64 / BLOCKS_PER_EXTENT;
/// Power of two. 512 words are 128 MiB of neighbouring blocks without a false conflict.
const WORDS: usize = 512;

#[derive(Debug)]
pub(super) struct Claims {
    words: Box<[AtomicU64]>,
    /// Writers that wait; a release looks here before it pays for waking.
    waiting: AtomicUsize,
    released: Signal,
}

/// Blocks held; given back on drop.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    word: usize,
    bits: u64,
}

impl Claim<'_> {
    /// Whether it holds a whole extent.
    pub(super) fn is_whole(&self) -> bool {
        self.bits.count_ones() == BLOCKS_PER_EXTENT
    }
}

impl Claims {
    pub(super) fn new() -> Self {
        Self {
            words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
            waiting: AtomicUsize::new(0),
            released: Signal::default(),
        }
    }

    /// Holds the chosen blocks of an extent; waits while anybody else holds one of them.
    pub(super) async fn take(&self, logical: LogicalExtent, mask: BlockMask) -> Claim<'_> {
        if let Some(claim) = self.try_take(logical, mask) {
            return claim;
        }
        // Counted before asking again: a release that misses the count happened before that question.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let claim = self.released.wait_until(|| self.try_take(logical, mask)).await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        claim
    }

    fn try_take(&self, logical: LogicalExtent, mask: BlockMask) -> Option<Claim<'_>> {
        let group = logical.0 / EXTENTS_PER_WORD;
        // Neighbours go to neighbouring words; the rest of the number is stirred in so that strides spread.
        let word = (group ^ (group >> 9).wrapping_mul(0x9E37_79B1)) as usize % WORDS;
        let bits = u64::from(mask.0) << (logical.0 % EXTENTS_PER_WORD * BLOCKS_PER_EXTENT);
        let cell = &self.words[word];
        let mut held = cell.load(Ordering::Relaxed);
        while held & bits == 0 {
            match cell.compare_exchange_weak(held, held | bits, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Some(Claim { claims: self, word, bits }),
                Err(now) => held = now,
            }
        }
        None
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let held = self.claims.words[self.word].fetch_and(!self.bits, Ordering::SeqCst);
        assert!(held & self.bits == self.bits, "a claim is released once");
        if self.claims.waiting.load(Ordering::SeqCst) > 0 {
            self.claims.released.raise();
        }
    }
}
