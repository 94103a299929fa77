//! Grace periods (E7): when has every operation that was under way ended?
//!
//! Each core counts its own operations in two counters, chosen by a parity bit; only that core writes them, so an
//! operation costs two plain stores. To wait for a grace period the home core asks every core by message: the core
//! flips its parity and answers when the counter of the old parity is zero. One period runs at a time and serves
//! all who asked before it began.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use super::sync::{Rounds, Signal};
use crate::rt::{self, CoreId};

#[derive(Debug)]
pub(super) struct Grace {
    cores: Box<[CoreOperations]>,
    rounds: Rounds,
}

/// Alone on its cache lines: another core's operations must not slow this one's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CoreOperations {
    under_way: [AtomicU32; 2],
    parity: AtomicU32,
    /// A grace period waits on this core for the old parity's operations.
    awaited: AtomicBool,
    ended: Signal,
}

/// An operation under way, from its first look at the map to its last drive operation. While it is held nothing
/// that the operation saw is reused: no extent, no frame. Must not be held while waiting for a frame, an extent or
/// journal space, which need grace periods themselves.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    core: &'a CoreOperations,
    parity: usize,
}

impl Grace {
    pub(super) fn new(cores: usize) -> Self {
        Self { cores: (0..cores).map(|_| CoreOperations::default()).collect(), rounds: Rounds::default() }
    }

    /// Begins an operation on this core.
    pub(super) fn enter(&self) -> Operation<'_> {
        let core = &self.cores[usize::from(rt::core_id().0)];
        let parity = core.parity.load(Ordering::Relaxed) as usize;
        let count = &core.under_way[parity];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Operation { core, parity }
    }

    /// Whether any core has an operation under way.
    pub(super) fn is_busy(&self) -> bool {
        let counts = self.cores.iter().flat_map(|core| &core.under_way);
        counts.map(|count| count.load(Ordering::Relaxed)).any(|count| count > 0)
    }

    /// Waits until every operation that is under way now, on any core, has ended.
    pub(super) async fn period(&self) {
        self.rounds.run().await;
    }

    /// The service behind [`period`](Self::period), on the home core. `grace` finds this very value again on the
    /// other cores.
    pub(super) async fn serve<T, F>(owner: Arc<T>, grace: F)
    where
        T: Send + Sync + 'static,
        F: Fn(&T) -> &Self + Copy + Send + 'static,
    {
        loop {
            let round = grace(&owner).rounds.begin().await;
            for core in 0..grace(&owner).cores.len() {
                let owner = owner.clone();
                let core = CoreId(core as u16);
                rt::call_on(core, move || async move {
                    grace(&owner).cores[usize::from(core.0)].quiesce().await;
                })
                .await;
            }
            grace(&owner).rounds.end(round);
        }
    }
}

impl CoreOperations {
    /// Runs on its own core.
    async fn quiesce(&self) {
        let old = self.parity.load(Ordering::Relaxed);
        self.parity.store(old ^ 1, Ordering::Relaxed);
        let count = &self.under_way[old as usize];
        self.awaited.store(true, Ordering::Relaxed);
        self.ended.wait_until(|| (count.load(Ordering::Relaxed) == 0).then_some(())).await;
        self.awaited.store(false, Ordering::Relaxed);
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let count = &self.core.under_way[self.parity];
        let left = count.load(Ordering::Relaxed) - 1;
        count.store(left, Ordering::Relaxed);
        if left == 0 && self.core.awaited.load(Ordering::Relaxed) {
            self.core.ended.raise();
        }
    }
}
