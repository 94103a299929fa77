//! The Timestamp feature: a clock that the host sets and the controller carries on (Base §5.1.25.1.10).

use std::time::Duration;

/// Milliseconds of the value; the two bytes above say where it comes from.
const MILLISECONDS: u64 = (1 << 48) - 1;

/// Milliseconds since 1970 once the host has said what time it is, until then since the last reset. It never stands
/// still: Synch stays zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp {
    base_ms: u64,
    since: Duration,
    set_by_host: bool,
}

impl Timestamp {
    /// Cleared by a Controller Level Reset at `now`.
    pub(super) fn reset(now: Duration) -> Self {
        Self { base_ms: 0, since: now, set_by_host: false }
    }

    /// Set Features: the origin in the host's data means nothing.
    pub(super) fn set(data: [u8; 8], now: Duration) -> Self {
        Self { base_ms: u64::from_le_bytes(data) & MILLISECONDS, since: now, set_by_host: true }
    }

    /// Get Features: bits 47:0 the time, bits 51:49 its origin.
    pub(super) fn value(&self, now: Duration) -> [u8; 8] {
        const ORIGIN_SET_FEATURES: u64 = 0b001 << 49;
        let passed_ms = now.saturating_sub(self.since).as_millis() as u64;
        let value_ms = self.base_ms.wrapping_add(passed_ms) & MILLISECONDS;
        (value_ms | (u64::from(self.set_by_host) * ORIGIN_SET_FEATURES)).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_what_the_host_said_and_anew_from_a_reset() {
        let second = Duration::from_secs(1);
        let clock = Timestamp::reset(second);
        assert_eq!(clock.value(3 * second), 2000_u64.to_le_bytes());
        let clock = Timestamp::set([0xE8, 3, 0, 0, 0, 0, 0xFF, 0xFF], 4 * second);
        assert_eq!(clock.value(5 * second), [0xD0, 7, 0, 0, 0, 0, 0b10, 0]);
        let clock = Timestamp::set([0xFF; 8], second);
        assert_eq!(clock.value(second + Duration::from_millis(1)), [0, 0, 0, 0, 0, 0, 0b10, 0]);
    }
}
