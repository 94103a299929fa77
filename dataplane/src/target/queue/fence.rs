//! Fences: who took rights away waits until the commands that still had them are done.
//!
//! Commands of a queue are numbered as they begin. A fence names the newest one and is answered when none of that
//! number or an older one is under way. Commands that change rights themselves have no number: two hosts that fence
//! each other would wait for ever.

use std::cell::{Cell, RefCell};

use futures_channel::oneshot;
use nvmeof::transport::Slot;

/// Of one queue pair.
#[derive(Debug)]
pub(super) struct Fences {
    begun: Cell<u64>,
    /// The number of each slot's command, zero if none is under way.
    under_way: Box<[Cell<u64>]>,
    waiting: RefCell<Vec<Fence>>,
}

#[derive(Debug)]
struct Fence {
    up_to: u64,
    passed: oneshot::Sender<()>,
}

impl Fences {
    pub(super) fn new(entries: u16) -> Self {
        Self {
            begun: Cell::new(0),
            under_way: (0..entries).map(|_| Cell::new(0)).collect(),
            waiting: RefCell::default(),
        }
    }

    /// A command begins; before it looks at its rights.
    pub(super) fn begin(&self, slot: Slot) {
        self.begun.set(self.begun.get() + 1);
        self.under_way[slot.index()].set(self.begun.get());
    }

    /// It is done.
    pub(super) fn end(&self, slot: Slot) {
        self.under_way[slot.index()].set(0);
        if !self.waiting.borrow().is_empty() {
            self.answer();
        }
    }

    /// Answers `passed` when all commands that have begun are done.
    pub(super) fn raise(&self, passed: oneshot::Sender<()>) {
        self.waiting.borrow_mut().push(Fence { up_to: self.begun.get(), passed });
        self.answer();
    }

    fn answer(&self) {
        let running = self.under_way.iter().map(Cell::get).filter(|&number| number > 0);
        let oldest = running.min().unwrap_or(u64::MAX);
        let mut waiting = self.waiting.borrow_mut();
        for fence in waiting.extract_if(.., |fence| fence.up_to < oldest) {
            // Whoever asked may be gone.
            let _ = fence.passed.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_waits_for_what_began_before_it_and_no_more() {
        let fences = Fences::new(4);
        let raise = || {
            let (passed, wait) = oneshot::channel();
            fences.raise(passed);
            wait
        };
        let mut free = raise();
        assert_eq!(free.try_recv(), Ok(Some(())));
        fences.begin(Slot(0));
        fences.begin(Slot(1));
        let mut first = raise();
        fences.begin(Slot(2));
        let mut second = raise();
        fences.end(Slot(0));
        fences.begin(Slot(0));
        assert_eq!((first.try_recv(), second.try_recv()), (Ok(None), Ok(None)));
        fences.end(Slot(1));
        assert_eq!((first.try_recv(), second.try_recv()), (Ok(Some(())), Ok(None)));
        fences.end(Slot(2));
        assert_eq!(second.try_recv(), Ok(Some(())));
    }
}
