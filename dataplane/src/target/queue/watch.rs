//! The watch task: cuts off a peer that stalls, so that buffers held for it come back (E7).

use std::rc::Rc;

use super::Queue;
use crate::{
    rt,
    target::wait::{Either, race},
};

/// Looks now and then until the queue has ended.
pub(super) async fn watch(queue: Rc<Queue>) {
    let mut seen = queue.data_received.get();
    loop {
        let over = queue.over.until(|| queue.ended.get().then_some(()));
        if let Either::First(()) = race(over, rt::sleep(queue.stall_max)).await {
            return;
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
