//! The watch task: cuts off a peer that stalls, so that buffers held for it come back (E7), and aborts commands that
//! have not begun, and sees to fences.

use std::{pin::pin, rc::Rc};

use super::Queue;
use crate::{
    rt,
    target::wait::{Either, race},
};

/// Looks now and then, and when it is asked to, until the queue has ended.
pub(super) async fn watch(queue: Rc<Queue>) {
    let mut seen = queue.data_received.get();
    let mut nap = pin!(rt::sleep(queue.stall_max));
    loop {
        let over = queue.over.until(|| queue.ended.get().then_some(()));
        match race(over, race(queue.handle.asked.raised(), nap.as_mut())).await {
            Either::First(()) => return,
            Either::Second(Either::First(())) => {
                abort(&queue);
                queue.handle.take_fences().into_iter().for_each(|passed| queue.fences.raise(passed));
                continue;
            }
            Either::Second(Either::Second(())) => nap.set(rt::sleep(queue.stall_max)),
        }
        let since = queue.outbox.sending_since();
        let takes_nothing = since.is_some_and(|since| rt::now().since(since) >= queue.stall_max);
        let sends_nothing = queue.awaiting_data.get() > 0 && queue.data_received.get() == seen;
        seen = queue.data_received.get();
        if takes_nothing || sends_nothing {
            tracing::info!(peer = %queue.association.peer, qid = queue.qid, "cut off a host that stalls");
            queue.end();
        }
    }
}

fn abort(queue: &Queue) {
    for request in queue.handle.take_aborts() {
        queue.slots.abort(request.aborted, |slot| queue.connection.borrow().cid(slot) == request.cid);
    }
}
