//! Asking hosts for data: how much of a core's payload memory may wait for it.
//!
//! A buffer that waits for H2CData comes free only if the receive task goes on, and that task waits for buffers
//! itself, for data in capsules. So solicited data has a share of the memory and never all of it, and whoever waits
//! for the share is a slot's task, never the receive task. Of that share one host has only a part.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use nvmeof::transport::Slot;

use super::{Queue, slots::Pending};
use crate::{
    limits,
    rt::{Buf, Charge},
};

#[derive(Default)]
struct Core {
    in_use_bytes: usize,
    waiting: Vec<Waker>,
}

thread_local! {
    static CORE: RefCell<Core> = RefCell::default();
}

/// A part of this core's share, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    bytes: usize,
    _of_host: Charge,
}

impl Share {
    /// Waits until `bytes` of the share are free, and of the part of the queue's host.
    pub(super) async fn take(queue: &Queue, bytes: usize) -> Self {
        // First its own part: who waits for that holds nothing that others could use.
        let of_host = queue.memory.solicited.charge(bytes).await;
        poll_fn(|cx| {
            CORE.with_borrow_mut(|core| {
                if core.in_use_bytes + bytes > limits::SOLICITED_BYTES {
                    core.waiting.push(cx.waker().clone());
                    return Poll::Pending;
                }
                core.in_use_bytes += bytes;
                Poll::Ready(())
            })
        })
        .await;
        Self { bytes, _of_host: of_host }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // At the end of a thread there is nobody left to wait.
        let _ = CORE.try_with(|core| {
            let mut core = core.borrow_mut();
            core.in_use_bytes -= self.bytes;
            for waker in core.waiting.drain(..) {
                waker.wake();
            }
        });
    }
}

/// Asks for the data of a command by R2T, once there is room for it.
pub(super) async fn solicit(
    queue: &Rc<Queue>,
    slot: Slot,
    len_bytes: u32,
    pending: impl FnOnce(Share) -> Pending,
) {
    let share = Share::take(queue, len_bytes as usize).await;
    ask(queue, slot, len_bytes, pending(share)).await;
}

/// Asks for the data of a command by R2T. `pending` holds the room for it.
pub(super) async fn ask(queue: &Rc<Queue>, slot: Slot, len_bytes: u32, pending: Pending) {
    let data = Buf::alloc(len_bytes as usize).await;
    queue.outbox.room().await;
    if queue.stopping.get() {
        return;
    }
    queue.slots.await_data(slot, pending, Some(data));
    queue.awaiting_data.set(queue.awaiting_data.get() + 1);
    let mut connection = queue.connection.borrow_mut();
    queue.outbox.fill().header(|bytes| connection.encode_r2t(slot, len_bytes, bytes));
}

const _: () = assert!(limits::SOLICITED_BYTES >= nvmeof::limits::TRANSFER_BYTES_MAX as usize);
