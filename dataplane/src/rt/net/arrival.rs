//! How long ago bytes came that a receive brings.

use std::cell::Cell;

use crate::rt::{Nanos, uring::Collection};

/// A lower bound of the time at which a socket's bytes came to it.
///
/// Nobody tells when bytes came that a receive brings. They may have lain in the socket for as long as its core stood
/// still (a task that blocked its thread, a stopped process, a machine that slept) or as its user received nothing
/// (no memory, no room), and a command may be too old by then to be executed (H1). So bytes count as old as they can be:
///
/// - What a receive takes came after the socket was last known to be empty. It was so at a time at which the core
///   collected everything that was ready, this receive not among it though it was submitted. Else it was so when the
///   receive before found less than it asked for.
/// - A receive that got all that it asked for may have left bytes behind, which are as old as its own. What more there
///   is than the socket holds just after it came later. That has its own time, for a stream that is never drained.
/// - All times are taken *before* what they speak of: before the core goes to the kernel to collect, before it
///   asks how much a socket holds. However long it stands still in between, bytes only look older than they are.
/// - They never look older by more than one turn of the core: its tasks, and a wait of [`BLOCK_MAX`] at most, whose
///   beginning is the last thing known. So nobody's first command after an hour is late.
/// - The clock is [`rt::now`], which goes on while the machine sleeps. What is still on the network or with a network
///   device has not come; a host that gives such commands up drops its connection, and with it the rest of them.
///
/// [`rt::now`]: crate::rt::now
/// [`BLOCK_MAX`]: crate::limits::BLOCK_MAX
#[derive(Debug, Default)]
pub(super) struct Arrival {
    /// Nothing that the last receive brought came before. At the beginning of time, for it may have waited for accept.
    received: Cell<Nanos>,
    /// Nothing that is still unread came before.
    unread: Cell<Nanos>,
    /// Some of that came later.
    later: Cell<Option<Later>>,
}

/// Bytes behind the next `after_bytes` came at `from` or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Later {
    pub(super) after_bytes: u64,
    pub(super) from: Nanos,
}

impl Arrival {
    /// Nothing that the last receive brought came before.
    pub(super) fn received_since(&self) -> Nanos {
        self.received.get()
    }

    /// A receive of `asked` bytes brought `count`. `look` tells what the socket holds now, if it can be told.
    pub(super) fn received(
        &self,
        asked: usize,
        count: usize,
        collection: Collection,
        look: impl FnOnce() -> Option<Later>,
    ) {
        if let Some(empty_at) = collection.not_ready_at {
            self.advance(empty_at);
        }
        self.received.set(self.unread.get());
        if count < asked {
            self.advance(collection.after);
            return;
        }
        if let Some(later) = self.later.get() {
            match later.after_bytes.checked_sub(count as u64) {
                Some(after_bytes @ 1..) => {
                    self.later.set(Some(Later { after_bytes, ..later }));
                    return;
                }
                _ => self.advance(later.from),
            }
        }
        match look() {
            Some(Later { after_bytes: 0, from }) => self.advance(from),
            later => self.later.set(later),
        }
    }

    /// All that came before `from` was received.
    fn advance(&self, from: Nanos) {
        self.unread.set(self.unread.get().max(from));
        self.later.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: fn() -> Option<Later> = || unreachable!("less came than was asked for");

    /// Collected at `at` by a turn that began then; `not_ready_at` if it was submitted before.
    fn collected(at: u64, not_ready_at: Option<u64>) -> Collection {
        Collection { after: Nanos(at), not_ready_at: not_ready_at.map(Nanos) }
    }

    fn holds(after_bytes: u64, from: u64) -> impl FnOnce() -> Option<Later> {
        move || Some(Later { after_bytes, from: Nanos(from) })
    }

    #[test]
    fn bytes_that_came_to_a_waiting_receive_are_as_old_as_the_last_turn() {
        let arrival = Arrival::default();
        arrival.received(100, 10, collected(7, None), SEEN);
        assert_eq!(arrival.received_since(), Nanos(0), "it may have waited for accept");
        arrival.received(100, 10, collected(90, Some(80)), SEEN);
        assert_eq!(arrival.received_since(), Nanos(80));
    }

    #[test]
    fn bytes_that_were_there_before_the_receive_are_as_old_as_the_receive_before() {
        let arrival = Arrival::default();
        arrival.received(100, 10, collected(7, None), SEEN);
        arrival.received(100, 99, collected(50, None), SEEN);
        assert_eq!(arrival.received_since(), Nanos(7));
        arrival.received(100, 10, collected(60, None), SEEN);
        assert_eq!(arrival.received_since(), Nanos(50));
    }

    #[test]
    fn what_a_full_receive_left_behind_is_as_old_as_what_it_took() {
        let arrival = Arrival::default();
        arrival.received(100, 10, collected(7, None), SEEN);
        arrival.received(100, 100, collected(50, None), holds(150, 52));
        arrival.received(100, 100, collected(60, None), || unreachable!("the mark is not passed"));
        assert_eq!(arrival.received_since(), Nanos(7));
        // 50 bytes of old ones, 50 that are not: the older count. Those behind came later.
        arrival.received(100, 100, collected(70, None), holds(300, 72));
        assert_eq!(arrival.received_since(), Nanos(7));
        arrival.received(100, 100, collected(80, None), || unreachable!("the mark is not passed"));
        assert_eq!(arrival.received_since(), Nanos(52));
        arrival.received(300, 200, collected(90, None), SEEN);
        assert_eq!(arrival.received_since(), Nanos(52), "the mark was reached, not passed");
        arrival.received(300, 200, collected(99, None), SEEN);
        assert_eq!(arrival.received_since(), Nanos(90));
    }

    #[test]
    fn a_full_receive_that_left_nothing_ends_the_past() {
        let arrival = Arrival::default();
        arrival.received(100, 100, collected(7, None), holds(0, 9));
        arrival.received(100, 100, collected(50, None), || None);
        assert_eq!(arrival.received_since(), Nanos(9));
        arrival.received(100, 100, collected(60, None), holds(20, 62));
        assert_eq!(arrival.received_since(), Nanos(9), "nobody could tell");
        arrival.received(100, 10, collected(90, Some(80)), SEEN);
        assert_eq!(arrival.received_since(), Nanos(80), "the socket was empty meanwhile, whatever was left");
    }

    #[test]
    fn no_bound_goes_back() {
        let arrival = Arrival::default();
        arrival.received(100, 10, collected(50, None), SEEN);
        arrival.received(100, 10, collected(40, Some(30)), SEEN);
        assert_eq!(arrival.received_since(), Nanos(50));
        arrival.received(100, 10, collected(60, None), SEEN);
        assert_eq!(arrival.received_since(), Nanos(50));
    }
}
