//! What all cores share of a volume's limits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nvmeof::limits::TRANSFER_BYTES_MAX;

use super::rate::{Price, Timeline, price_ns, turn};
use crate::{node::RateLimits, rt::Nanos};

/// A volume's limits, changed at any time, and how much of each is used up.
#[derive(Debug, Default)]
pub(in crate::target) struct Limiter {
    /// Read by every command of the volume, so not on a line that limited commands write.
    limited: AtomicBool,
    operations: Meter,
    bytes: Meter,
}

/// One limit, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Meter {
    per_second: AtomicU64,
    timeline: Timeline,
}

impl Meter {
    fn set(&self, per_second: u64) {
        if self.per_second.swap(per_second, Ordering::Relaxed) != per_second {
            self.timeline.clear();
        }
    }

    fn per_second(&self) -> u64 {
        self.per_second.load(Ordering::Relaxed)
    }

    fn reserve(&self, now: Nanos, price_ns: u64) -> Nanos {
        if price_ns == 0 { now } else { self.timeline.reserve(now, price_ns) }
    }
}

impl Limiter {
    /// Commands that wait go on under the new limits within milliseconds.
    pub(in crate::target) fn set(&self, limits: RateLimits) {
        self.operations.set(limits.max_iops);
        self.bytes.set(limits.max_bytes_per_second);
        self.limited.store(limits != RateLimits::default(), Ordering::Relaxed);
    }

    pub(in crate::target) fn limits(&self) -> RateLimits {
        RateLimits { max_iops: self.operations.per_second(), max_bytes_per_second: self.bytes.per_second() }
    }

    /// The one question that commands of an unlimited volume ask.
    pub(in crate::target) fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    /// What a command that moves `bytes` costs.
    pub(super) fn price(&self, bytes: u64) -> Price {
        Price {
            operations_ns: price_ns(1, self.operations.per_second()),
            bytes_ns: price_ns(bytes, self.bytes.per_second()),
        }
    }

    /// What a core may buy at once.
    pub(super) fn turn(&self) -> Price {
        turn(self.price(u64::from(TRANSFER_BYTES_MAX)))
    }

    /// Buys time of both limits, and says when the later one begins.
    pub(super) fn reserve(&self, now: Nanos, price: Price) -> Nanos {
        let operations = self.operations.reserve(now, price.operations_ns);
        operations.max(self.bytes.reserve(now, price.bytes_ns))
    }

    /// Whether what is bought now begins at once.
    pub(super) fn is_free(&self, now: Nanos) -> bool {
        self.operations.timeline.is_free(now) && self.bytes.timeline.is_free(now)
    }
}
