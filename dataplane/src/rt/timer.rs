//! Timers of one core: a heap of deadlines, and the future that waits for one.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::core::{self, Nanos};

/// Deadlines with whom to wake. A sleeper that was dropped leaves its entry behind until it is due: a spurious
/// wake is harmless, and sleeps are seldom (keep alive, back-off), never per command.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    next_order: u64,
}

struct Entry {
    due: Nanos,
    /// Equal deadlines fire in the order in which they were set.
    order: u64,
    waker: Waker,
}

impl Timers {
    fn insert(&mut self, due: Nanos, waker: Waker) {
        self.next_order += 1;
        self.heap.push(Reverse(Entry { due, order: self.next_order, waker }));
    }

    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.heap.peek().map(|entry| entry.0.due)
    }

    pub(super) fn pop_due(&mut self, now: Nanos) -> Option<Waker> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.0.waker)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// Waits until its deadline has passed. Made by [`sleep`](super::sleep).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    due: Nanos,
    set: bool,
}

impl Sleep {
    pub(super) fn new(duration: Duration) -> Self {
        Self { due: super::now().after(duration), set: false }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        core::with(|c| {
            if c.now() >= self.due {
                return Poll::Ready(());
            }
            // A task is woken by its own waker only, so one entry serves every later poll.
            if !self.set {
                c.timers.borrow_mut().insert(self.due, cx.waker().clone());
                self.set = true;
            }
            Poll::Pending
        })
    }
}
