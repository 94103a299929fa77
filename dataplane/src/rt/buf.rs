//! Pooled, 4096-aligned memory for payload: O_DIRECT can read and write it, and it can be split between
//! operations.
#![expect(unsafe_code, reason = "aligned memory that the kernel writes into while an operation owns it")]

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    cell::{Cell, RefCell},
    future::poll_fn,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    rc::Rc,
    task::{Poll, Waker},
};

/// O_DIRECT's strictest alignment, and a page.
const ALIGN_BYTES: usize = 4096;
/// The smallest block handed out; each class is twice the one below.
const SMALLEST_BYTES: usize = 4096;
/// Largest pooled block; larger ones (recovery, tests) are given back to the allocator at once.
const CLASSES: usize = 10;
/// Payload memory in use on one core. A command that needs more waits for others to end: memory stays bounded
/// whatever hosts send. It exceeds what a few hundred commands at the largest transfer size take.
const IN_USE_MAX_BYTES: usize = 256 << 20;
/// Free memory kept for reuse on one core; above it goes back to the allocator.
const CACHED_MAX_BYTES: usize = 32 << 20;

/// Exclusive use of a range of pooled memory.
///
/// Whoever holds it owns those bytes: an I/O operation takes it and gives it back when the kernel is done.
/// Ranges of one block can be split off and travel separately; the block returns to its core's pool with the
/// last of them. Not `Send`: buffers stay on their core.
///
/// One that was [shared](Self::share) is read only, for good.
pub struct Buf {
    /// `None` only during drop.
    block: Option<Rc<Block>>,
    start: usize,
    end: usize,
    /// Others may hold the same bytes: nobody changes them any more.
    shared: bool,
}

struct Block {
    memory: NonNull<u8>,
    layout: Layout,
    /// Given back with the memory.
    charge: Cell<Option<Charge>>,
}

/// How much memory something may have on this core. It counts what it is told: [`Buf::charge`] ties that to a buffer.
#[derive(Debug)]
pub struct Account {
    max_bytes: usize,
    charged_bytes: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

/// A part of an account, given back when dropped.
#[derive(Debug)]
pub struct Charge {
    account: Rc<Account>,
    bytes: usize,
}

#[derive(Default)]
struct Pool {
    free: [Vec<Rc<Block>>; CLASSES],
    cached_bytes: usize,
    in_use_bytes: usize,
    waiting: Vec<Waker>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

impl Buf {
    /// Memory for `len` bytes; waits while this core's budget is used up.
    ///
    /// It holds bytes of earlier use, perhaps another tenant's: overwrite all of it before showing it to anybody.
    pub async fn alloc(len: usize) -> Self {
        poll_fn(|cx| POOL.with_borrow_mut(|pool| pool.poll_take(len, cx.waker()))).await
    }

    /// As [`alloc`](Self::alloc), holding these bytes.
    pub async fn copy_of(bytes: &[u8]) -> Self {
        let mut buf = Self::alloc(bytes.len()).await;
        buf.copy_from_slice(bytes);
        buf
    }

    /// As [`alloc`](Self::alloc), filled with zeros.
    pub async fn zeroed(len: usize) -> Self {
        let mut buf = Self::alloc(len).await;
        buf.fill(0);
        buf
    }

    /// Takes the front `[0, at)` out as a buffer of its own; the rest stays here.
    ///
    /// # Panics
    /// If `at` lies beyond the end.
    pub fn split_to(&mut self, at: usize) -> Self {
        assert!(at <= self.len(), "split at {at} of {}", self.len());
        let front =
            Self { block: self.block.clone(), start: self.start, end: self.start + at, shared: self.shared };
        self.start += at;
        front
    }

    /// Joins two neighbours again.
    ///
    /// # Panics
    /// If `back` does not begin where `front` ends in the same block.
    pub fn unsplit(mut front: Self, back: Self) -> Self {
        let same = Rc::ptr_eq(front.block(), back.block());
        assert!(same && front.end == back.start, "not neighbours of one block");
        front.shared |= back.shared;
        front.end = back.end;
        front
    }

    /// Another buffer of the same bytes, so that a drive and several connections can send them at once. Neither can be
    /// written to from now on.
    pub fn share(&mut self) -> Self {
        self.shared = true;
        Self { block: self.block.clone(), start: self.start, end: self.end, shared: true }
    }

    /// Keeps `charge` for as long as any part of this memory is in use.
    pub fn charge(&self, charge: Charge) {
        self.block().charge.set(Some(charge));
    }

    fn block(&self) -> &Rc<Block> {
        self.block.as_ref().expect("taken only by drop")
    }

    /// Whoever is about to have the kernel write into it makes sure of this.
    ///
    /// # Panics
    /// If somebody else may read these bytes.
    pub(super) fn assert_exclusive(&self) {
        assert!(!self.shared, "a shared buffer is read only");
    }

    /// Address of the first byte, for the kernel. Valid while the buffer lives.
    pub(super) fn as_kernel_ptr(&self) -> *mut u8 {
        // SAFETY: `start <= end <= layout.size()`, so the result stays within the allocation.
        unsafe { self.block().memory.as_ptr().add(self.start) }
    }
}

impl Account {
    /// An account for `max_bytes` on this core.
    pub fn new(max_bytes: usize) -> Rc<Self> {
        Rc::new(Self { max_bytes, charged_bytes: Cell::new(0), waiting: RefCell::default() })
    }

    /// Waits until `bytes` more fit; more than the whole account never do.
    pub async fn charge(self: &Rc<Self>, bytes: usize) -> Charge {
        poll_fn(|cx| match self.try_charge(bytes) {
            Some(charge) => Poll::Ready(charge),
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// As [`charge`](Self::charge), `None` instead of waiting.
    pub fn try_charge(self: &Rc<Self>, bytes: usize) -> Option<Charge> {
        let charged_bytes = self.charged_bytes.get() + bytes;
        if charged_bytes > self.max_bytes {
            return None;
        }
        self.charged_bytes.set(charged_bytes);
        Some(Charge { account: self.clone(), bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let account = &self.account;
        account.charged_bytes.set(account.charged_bytes.get() - self.bytes);
        for waker in account.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }
}

impl Pool {
    fn poll_take(&mut self, len: usize, waker: &Waker) -> Poll<Buf> {
        let class = class_of(len);
        let size = class.map_or(len.next_multiple_of(ALIGN_BYTES), class_bytes);
        // One that is larger than the whole budget still gets its turn, alone.
        if self.in_use_bytes > 0 && self.in_use_bytes + size > IN_USE_MAX_BYTES {
            self.waiting.push(waker.clone());
            return Poll::Pending;
        }
        self.in_use_bytes += size;
        let cached = class.and_then(|class| self.free[class].pop());
        let block = cached.map_or_else(
            || Rc::new(Block::new(size)),
            |block| {
                self.cached_bytes -= size;
                block
            },
        );
        Poll::Ready(Buf { block: Some(block), start: 0, end: len, shared: false })
    }

    fn give_back(&mut self, block: Rc<Block>) {
        let size = block.layout.size();
        self.in_use_bytes -= size;
        if let Some(class) = class_of(size)
            && self.cached_bytes + size <= CACHED_MAX_BYTES
        {
            self.cached_bytes += size;
            self.free[class].push(block);
        }
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

/// This core's budget that is used.
#[cfg(test)]
pub(super) fn in_use_bytes() -> usize {
    POOL.with_borrow(|pool| pool.in_use_bytes)
}

/// Takes all of this core's budget that is free, down to the smallest block.
#[cfg(test)]
pub(super) fn all_free() -> Vec<Buf> {
    let take = |size| POOL.with_borrow_mut(|pool| pool.poll_take(size, Waker::noop()));
    let blocks_of = |size| {
        std::iter::from_fn(move || match take(size) {
            Poll::Ready(buf) => Some(buf),
            Poll::Pending => None,
        })
    };
    (0..CLASSES).rev().map(class_bytes).flat_map(blocks_of).collect()
}

fn class_bytes(class: usize) -> usize {
    SMALLEST_BYTES << class
}

fn class_of(len: usize) -> Option<usize> {
    let class = len.max(SMALLEST_BYTES).next_power_of_two() / SMALLEST_BYTES;
    let class = class.trailing_zeros() as usize;
    (class < CLASSES).then_some(class)
}

impl Block {
    fn new(size: usize) -> Self {
        let layout =
            Layout::from_size_align(size.max(ALIGN_BYTES), ALIGN_BYTES).expect("a small power of two");
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        Self {
            memory: NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout)),
            layout,
            charge: Cell::new(None),
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and nobody else holds it.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        let Some(block) = self.block.take() else { return };
        if Rc::strong_count(&block) == 1 {
            drop(block.charge.take());
            // At the end of a thread the pool may be gone before the last buffer: then the block is just freed.
            let _ = POOL.try_with(|pool| pool.borrow_mut().give_back(block));
        }
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies within the block, was initialised (zeroed at least), and this buffer is the only
        // one over it, or all over it are shared, so that nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.as_kernel_ptr(), self.end - self.start) }
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.assert_exclusive();
        // SAFETY: as in `deref`; it is the only one, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.as_kernel_ptr(), self.end - self.start) }
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buf({} bytes)", self.end - self.start)
    }
}
