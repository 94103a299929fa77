//! The arithmetic of rates, without clock or queue.
//!
//! Whatever is limited has a price in time: at 1000 operations a second, one costs a millisecond. A [`Timeline`] says
//! up to when time is spoken for, by whichever core; a [`Lease`] is what one core has bought of it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::rt::Nanos;

/// Commands that may begin within this time begin together, and a core buys about this much at once: it bounds how
/// often a core wakes up for a busy volume, and is far below what a host notices.
pub(super) const STEP: Duration = Duration::from_micros(500);
/// Past time that may still be used: what an idle volume may do at once, and how late a core may wake up without
/// losing any of the rate. A fiftieth of a second is 2 % of what a second allows.
pub(super) const CATCH_UP: Duration = Duration::from_millis(20);

const STEP_NS: u64 = STEP.as_nanos() as u64;
const CATCH_UP_NS: u64 = CATCH_UP.as_nanos() as u64;

/// What something costs of either limit, in nanoseconds: of operations, of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Price {
    pub(super) operations_ns: u64,
    pub(super) bytes_ns: u64,
}

impl Price {
    pub(super) fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// The part of `self` that `other` leaves.
    pub(super) fn minus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    /// The time in which both are paid.
    pub(super) fn time_ns(self) -> u64 {
        self.operations_ns.max(self.bytes_ns)
    }

    /// Of each limit the smaller part.
    pub(super) fn at_most(self, other: Self) -> Self {
        self.zip(other, u64::min)
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        self.operations_ns <= other.operations_ns && self.bytes_ns <= other.bytes_ns
    }

    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            operations_ns: f(self.operations_ns, other.operations_ns),
            bytes_ns: f(self.bytes_ns, other.bytes_ns),
        }
    }
}

/// What `units` cost at a rate, in nanoseconds, rounded up; nothing where the rate is 0, unlimited.
pub(super) fn price_ns(units: u64, per_second: u64) -> u64 {
    const NS_PER_SECOND: u128 = 1_000_000_000;
    if per_second == 0 {
        return 0;
    }
    let price = (u128::from(units) * NS_PER_SECOND).div_ceil(u128::from(per_second));
    u64::try_from(price).unwrap_or(u64::MAX)
}

/// What a core may buy at once: a [`STEP`], but as many bytes as one command has at most, so that cores with small
/// commands get as many bytes in their turn as those with large ones.
pub(super) fn turn(largest: Price) -> Price {
    Price { operations_ns: STEP_NS, bytes_ns: largest.bytes_ns.max(STEP_NS) }
}

/// How much to buy for commands of these prices, which wait in this order: what the core may, one command at least.
/// And how much more it might have bought, had the next command fitted: it may the next time.
pub(super) fn purchase(allowed: Price, waiting: impl IntoIterator<Item = Price>) -> (Price, Price) {
    let mut sum = Price::default();
    for (index, price) in waiting.into_iter().enumerate() {
        let next = sum.plus(price);
        if index > 0 && !next.is_within(allowed) {
            return (sum, allowed.minus(sum));
        }
        sum = next;
    }
    (sum, Price::default())
}

/// The instant up to which a rate is spoken for.
#[derive(Debug, Default)]
pub(super) struct Timeline(AtomicU64);

impl Timeline {
    /// Buys `price_ns` of time, and says when it begins.
    pub(super) fn reserve(&self, now: Nanos, price_ns: u64) -> Nanos {
        let mut end = self.0.load(Ordering::Relaxed);
        loop {
            let start = end.max(now.0.saturating_sub(CATCH_UP_NS));
            let next = start.saturating_add(price_ns);
            match self.0.compare_exchange_weak(end, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Nanos(start),
                Err(changed) => end = changed,
            }
        }
    }

    /// Whether what is bought now begins at once.
    pub(super) fn is_free(&self, now: Nanos) -> bool {
        self.0.load(Ordering::Relaxed) <= now.0
    }

    /// Forgets what was bought.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Time that a core has bought, from `start` on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lease {
    start: Nanos,
    used: Price,
    left: Price,
}

impl Lease {
    pub(super) fn new(start: Nanos, bought: Price) -> Self {
        Self { start, used: Price::default(), left: bought }
    }

    pub(super) fn left(&self) -> Price {
        self.left
    }

    /// When the next command may begin: after the time that those before it take.
    pub(super) fn due(&self) -> Nanos {
        Nanos(self.start.0.saturating_add(self.used.time_ns()))
    }

    /// Whether it may begin now; up to a [`STEP`] early, so that many begin together.
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        self.due() <= now.after(STEP)
    }

    /// A command of this price, within what is [`left`](Self::left), begins.
    pub(super) fn spend(&mut self, price: Price) {
        self.used = self.used.plus(price);
        self.left = self.left.minus(price);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// A price, short.
    type Pair = (u64, u64);

    fn price(operations_ns: u64, bytes_ns: u64) -> Price {
        Price { operations_ns, bytes_ns }
    }

    #[test]
    fn prices_are_rounded_up_and_never_overflow() {
        let table = [
            (1, 0, 0),
            (u64::MAX, 0, 0),
            (0, 7, 0),
            (1, 1, SECOND_NS),
            (1, 3, 333_333_334),
            (4096, 1 << 20, 3_906_250),
            (1, u64::MAX, 1),
            (u64::MAX, 1, u64::MAX),
        ];
        for (units, per_second, expected) in table {
            assert_eq!(price_ns(units, per_second), expected, "{units} units at {per_second} a second");
        }
    }

    #[test]
    fn time_is_sold_once_and_the_past_is_soon_lost() {
        let timeline = Timeline::default();
        let (now, step) = (Nanos(SECOND_NS), 1000);
        // An idle volume catches up with a little of the past.
        assert_eq!(timeline.reserve(now, CATCH_UP_NS), Nanos(SECOND_NS - CATCH_UP_NS));
        assert!(timeline.is_free(now));
        assert_eq!(timeline.reserve(now, step), now);
        assert!(!timeline.is_free(now));
        assert_eq!(timeline.reserve(now, step), Nanos(now.0 + step));
        assert!(timeline.is_free(Nanos(now.0 + 2 * step)));
        timeline.clear();
        assert!(timeline.is_free(now));
    }

    #[test]
    fn a_purchase_is_a_turn_or_one_command() {
        // What waits, what is bought, what is put off.
        let table: [(&[Pair], Pair, Pair); 6] = [
            (&[], (0, 0), (0, 0)),
            (&[(3, 3), (3, 3)], (6, 6), (0, 0)),
            (&[(3, 3), (3, 3), (5, 3)], (6, 6), (4, 14)),
            (&[(3, 3), (3, 18), (3, 3)], (3, 3), (7, 17)),
            (&[(300, 4), (1, 1)], (300, 4), (0, 16)),
            (&[(0, 0), (300, 4), (1, 1)], (0, 0), (10, 20)),
        ];
        let priced = |(operations_ns, bytes_ns)| price(operations_ns, bytes_ns);
        for (waiting, bought, put_off) in table {
            let prices = waiting.iter().copied().map(priced);
            assert_eq!(purchase(price(10, 20), prices), (priced(bought), priced(put_off)), "{waiting:?}");
        }
        assert_eq!(turn(price(9, STEP_NS * 7)), price(STEP_NS, STEP_NS * 7));
        assert_eq!(turn(price(9, 9)), price(STEP_NS, STEP_NS));
    }

    #[test]
    fn a_lease_is_spent_at_the_pace_of_its_dearer_limit() {
        let mut lease = Lease::new(Nanos(SECOND_NS), price(4 * STEP_NS, 9 * STEP_NS));
        assert!(lease.is_due(Nanos(SECOND_NS - STEP_NS)) && !lease.is_due(Nanos(SECOND_NS - STEP_NS - 1)));
        lease.spend(price(3 * STEP_NS, STEP_NS));
        assert_eq!(
            (lease.left(), lease.due()),
            (price(STEP_NS, 8 * STEP_NS), Nanos(SECOND_NS + 3 * STEP_NS))
        );
        lease.spend(price(STEP_NS, 8 * STEP_NS));
        assert_eq!((lease.left(), lease.due()), (price(0, 0), Nanos(SECOND_NS + 9 * STEP_NS)));
    }

    proptest! {
        /// Whoever buys, and whenever: no moment is sold twice, and no more of the past than allowed.
        #[test]
        fn slots_never_overlap(buys in prop::collection::vec((0u64..5 * CATCH_UP_NS, 1u64..CATCH_UP_NS), 1..50)) {
            let timeline = Timeline::default();
            let (mut now, mut end) = (Nanos(SECOND_NS), Nanos(0));
            for (pause_ns, price_ns) in buys {
                now = Nanos(now.0 + pause_ns);
                let start = timeline.reserve(now, price_ns);
                prop_assert!(start >= end && start.0 + CATCH_UP_NS >= now.0);
                end = Nanos(start.0 + price_ns);
            }
        }
    }
}
