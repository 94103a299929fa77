//! Wakers that are plain numbers: no allocation, no reference count, callable from any thread.
#![expect(unsafe_code, reason = "RawWaker has no safe constructor")]

use std::task::{RawWaker, RawWakerVTable, Waker};

use super::{core, inbox};

/// Names a task from anywhere in the process: inbox slot of its core, generation, index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskId(u64);

const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "a task id fits a pointer");

impl TaskId {
    pub(super) fn new(slot: u16, generation: u16, index: u32) -> Self {
        Self(u64::from(slot) << 48 | u64::from(generation) << 32 | u64::from(index))
    }

    pub(super) fn slot(self) -> u16 {
        (self.0 >> 48) as u16
    }

    pub(super) fn generation(self) -> u16 {
        (self.0 >> 32) as u16
    }

    pub(super) fn index(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn waker(self) -> Waker {
        // SAFETY: the vtable's functions treat the pointer as a number, are thread safe, and own nothing that
        // clone or drop would have to count.
        unsafe { Waker::from_raw(self.raw()) }
    }

    fn raw(self) -> RawWaker {
        RawWaker::new(std::ptr::without_provenance(self.0 as usize), &VTABLE)
    }

    /// Schedules the task: directly on its own core, by message elsewhere. A task or core that has ended is no
    /// error; the generation keeps a later task in the same place from being confused with it, save for a
    /// spurious wake after 2^16 reuses.
    fn wake(self) {
        let here = core::try_with(|c| {
            let own = c.inbox.slot == self.slot();
            if own {
                c.executor.borrow_mut().schedule(self);
            }
            own
        });
        if here != Some(true) {
            inbox::send_wake(self);
        }
    }
}

static VTABLE: RawWakerVTable =
    RawWakerVTable::new(|data| id(data).raw(), |data| id(data).wake(), |data| id(data).wake(), |_| {});

fn id(data: *const ()) -> TaskId {
    TaskId(data.addr() as u64)
}
