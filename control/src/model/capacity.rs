//! When to warn that a pool is getting full.

/// Percentages of the pool at which people are warned.
const LEVELS: [u64; 3] = [80, 90, 95];
/// A warning is over only so many percent below its level, so that a pool at the edge does not warn all the time.
const SLACK: u64 = 2;

/// Follows one figure of a pool, and remembers what was last said about it.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// The level of the last warning that still holds; 0 is none.
    level: u64,
}

/// What there is to say, with the level in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// The level is reached.
    Warned(u64),
    /// The figure is below this level again; a warning for a lower one may still hold.
    Eased(u64),
}

impl Gauge {
    /// Takes a new reading of `part` of `whole`, in one unit.
    pub(crate) fn read(&mut self, part: u64, whole: u64) -> Option<Move> {
        let percent = percent(part, whole);
        let highest = |percent: u64| LEVELS.into_iter().filter(|level| *level <= percent).max().unwrap_or(0);
        if highest(percent) > self.level {
            self.level = highest(percent);
            return Some(Move::Warned(self.level));
        }
        let holds = highest(percent + SLACK).min(self.level);
        if holds < self.level {
            // The lowest of the levels that it left.
            let left = LEVELS.into_iter().find(|level| *level > holds).unwrap_or(self.level);
            self.level = holds;
            return Some(Move::Eased(left));
        }
        None
    }
}

/// Rounded down. A pool without drives is not full.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    match whole {
        0 => 0,
        whole => u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_by_what_was_said_before() {
        // Readings in percent and what each one says.
        let sequences: [(&[u64], &[Option<Move>]); 6] = [
            (&[0, 79, 80, 89, 80], &[None, None, Some(Move::Warned(80)), None, None]),
            (
                &[80, 79, 78, 77, 80],
                &[Some(Move::Warned(80)), None, None, Some(Move::Eased(80)), Some(Move::Warned(80))],
            ),
            (&[85, 92, 97], &[Some(Move::Warned(80)), Some(Move::Warned(90)), Some(Move::Warned(95))]),
            (
                &[97, 93, 92, 87],
                &[Some(Move::Warned(95)), None, Some(Move::Eased(95)), Some(Move::Eased(90))],
            ),
            (&[100, 0, 100], &[Some(Move::Warned(95)), Some(Move::Eased(80)), Some(Move::Warned(95))]),
            (&[150, 150], &[Some(Move::Warned(95)), None]),
        ];
        for (readings, expected) in sequences {
            let mut gauge = Gauge::default();
            let said: Vec<_> = readings.iter().map(|percent| gauge.read(*percent, 100)).collect();
            assert_eq!(said, expected, "{readings:?}");
        }
    }

    #[test]
    fn percentages() {
        assert_eq!(percent(799, 1000), 79);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(0, 0), 0);
    }
}
