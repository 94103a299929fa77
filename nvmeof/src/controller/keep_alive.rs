//! The keep-alive timer, traffic based (Base §3.9).

use std::time::Duration;

/// What a look at the timer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAliveVerdict {
    /// The timer is off.
    Off,
    /// The host was heard; look again at this time.
    CheckAt(Duration),
    /// Nothing was heard for KATO: end the association, its I/O queues first (H1).
    Expired,
}

/// Counts commands instead of stamping their times, so that I/O queues on other cores pay nothing for it: each
/// look compares the count with that of the look before.
#[derive(Debug, Clone)]
pub(super) struct KeepAlive {
    timeout: Duration,
    heard_commands: u64,
    check_at: Duration,
}

impl KeepAlive {
    pub(super) fn new(kato_ms: u32, now: Duration) -> Self {
        let timeout = Duration::from_millis(u64::from(kato_ms));
        Self { timeout, heard_commands: 0, check_at: now + timeout }
    }

    pub(super) fn timeout_ms(&self) -> u32 {
        u32::try_from(self.timeout.as_millis()).expect("it was made of 32 bits")
    }

    /// Looks at the timer: `commands` is how many the association has received in all, on all its queues.
    pub(super) fn check(&mut self, now: Duration, commands: u64) -> KeepAliveVerdict {
        if self.timeout.is_zero() {
            return KeepAliveVerdict::Off;
        }
        if commands != self.heard_commands {
            self.heard_commands = commands;
            self.check_at = now + self.timeout;
        } else if now >= self.check_at {
            return KeepAliveVerdict::Expired;
        }
        KeepAliveVerdict::CheckAt(self.check_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_host_expires_and_traffic_keeps_it() {
        let second = Duration::from_secs(1);
        let mut timer = KeepAlive::new(5000, second);
        assert_eq!(timer.check(2 * second, 1), KeepAliveVerdict::CheckAt(7 * second));
        assert_eq!(timer.check(7 * second, 2), KeepAliveVerdict::CheckAt(12 * second));
        assert_eq!(timer.check(11 * second, 2), KeepAliveVerdict::CheckAt(12 * second));
        assert_eq!(timer.check(12 * second, 2), KeepAliveVerdict::Expired);
    }

    #[test]
    fn zero_is_off() {
        let mut timer = KeepAlive::new(0, Duration::ZERO);
        assert_eq!(timer.check(Duration::from_secs(1_000_000), 0), KeepAliveVerdict::Off);
    }
}
