//! Slows down whoever guesses passwords (session.md §4).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::limits;

const WINDOW: Duration = Duration::from_secs(60);
const FAILURES: u32 = 10;

/// Failed logins of the last minute, by source address and user name.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<(IpAddr, String), Failures>>);

struct Failures {
    since: Instant,
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Allowed,
    /// `first`: since it was last allowed.
    Refused {
        first: bool,
    },
}

impl Throttle {
    /// Counts an attempt as failed before it is made, so that many at once do not get past.
    pub(crate) fn begin(&self, source: IpAddr, user: &str, now: Instant) -> Attempt {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, failures| now.duration_since(failures.since) < WINDOW);
        let key = (source, user.to_owned());
        if all.len() >= limits::THROTTLED && !all.contains_key(&key) {
            // Somebody tries very many names: everybody new waits for the window to pass.
            return Attempt::Refused { first: false };
        }
        let failures = all.entry(key).or_insert(Failures { since: now, count: 0 });
        failures.count += 1;
        match failures.count {
            ..=FAILURES => Attempt::Allowed,
            count => Attempt::Refused { first: count == FAILURES + 1 },
        }
    }

    /// The attempt was good after all.
    pub(crate) fn succeeded(&self, source: IpAddr, user: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(source, user.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_eleventh_failure_within_a_minute_is_refused() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(throttle.begin(HERE, "a", start), Attempt::Allowed);
        }
        let late = start + WINDOW - Duration::from_millis(1);
        assert_eq!(throttle.begin(HERE, "a", late), Attempt::Refused { first: true });
        assert_eq!(throttle.begin(HERE, "a", late), Attempt::Refused { first: false });
        assert_eq!(throttle.begin(HERE, "b", late), Attempt::Allowed);
        assert_eq!(throttle.begin(HERE, "a", start + WINDOW), Attempt::Allowed);
    }

    #[test]
    fn a_good_password_clears_the_count() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..30 {
            assert_eq!(throttle.begin(HERE, "a", now), Attempt::Allowed);
            throttle.succeeded(HERE, "a");
        }
    }

    #[test]
    fn it_remembers_a_bounded_number() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..limits::THROTTLED {
            assert_eq!(throttle.begin(HERE, &n.to_string(), now), Attempt::Allowed);
        }
        assert_eq!(throttle.begin(HERE, "one more", now), Attempt::Refused { first: false });
        assert_eq!(throttle.begin(HERE, "one more", now + WINDOW), Attempt::Allowed);
    }
}
