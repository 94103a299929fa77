//! What a snapshot may hold. Which of two writes under way was the last before it nobody knows, so a sector may have
//! several values, until the first look at it; from then on it has that one. All looks at all snapshots of a group
//! together must fit one instant: a write that is in, began before it, and one that is not, had not ended by then
//! (E3). So of two writes, one begun when the other was answered, no snapshot has the second without the first.

use std::{collections::BTreeMap, fmt};

use crate::reference::{Moment, Value};

/// A value that a sector may have had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) value: Value,
    pub(crate) began: Moment,
    /// When a later write that surely replaces it was answered.
    pub(crate) replaced: Moment,
}

/// That never happened yet.
pub(crate) const NEVER: Moment = Moment::MAX;

/// One volume's content at one instant. Sectors that nobody ever touched are zeros.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub(crate) sectors: BTreeMap<u64, Vec<Candidate>>,
    pub(crate) instant: InstantId,
}

/// Which of the model's frozen contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrozenId(pub(crate) usize);

/// Which of the model's instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InstantId(pub(crate) usize);

/// What is known of the instant of a group of snapshots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant {
    /// Everything seen in them began before it: the latest such beginning.
    after: Moment,
    /// Everything missed in them ended after it: the earliest such end.
    before: Moment,
}

impl Instant {
    pub(crate) fn unknown() -> Self {
        Self { after: 0, before: NEVER }
    }
}

impl Frozen {
    /// Somebody saw a sector's value. An error says what is wrong with it.
    pub(crate) fn observe(
        &mut self,
        instant: &mut Instant,
        sector: u64,
        value: Option<Value>,
    ) -> Result<(), Wrong> {
        let Some(candidates) = self.sectors.get_mut(&sector) else {
            return if value == Some(0) { Ok(()) } else { Err(Wrong::Value { value, possible: Vec::new() }) };
        };
        let seen: Vec<_> = candidates.iter().copied().filter(|c| Some(c.value) == value).collect();
        // The one that leaves most open, if several writes gave it that value.
        let (Some(after), Some(before)) =
            (seen.iter().map(|c| c.began).min(), seen.iter().map(|c| c.replaced).max())
        else {
            return Err(Wrong::Value { value, possible: candidates.clone() });
        };
        *candidates = seen;
        instant.after = instant.after.max(after);
        instant.before = instant.before.min(before);
        if instant.after < instant.before { Ok(()) } else { Err(Wrong::NoInstant(*instant)) }
    }
}

/// Why a snapshot cannot look like that.
pub(crate) enum Wrong {
    Value { value: Option<Value>, possible: Vec<Candidate> },
    NoInstant(Instant),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { value, possible } => write!(f, "holds {value:?}, of {possible:?}"),
            Self::NoInstant(instant) => write!(f, "fits no instant: {instant:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen(candidates: &[(Value, Moment, Moment)]) -> Frozen {
        let candidates =
            candidates.iter().map(|&(value, began, replaced)| Candidate { value, began, replaced });
        Frozen {
            sectors: candidates.enumerate().map(|(at, c)| (at as u64, vec![c])).collect(),
            instant: InstantId(0),
        }
    }

    #[test]
    fn a_later_write_without_the_one_before_it_is_noticed() {
        // Write 2 began at 20, after the write that replaced 1 had been answered at 15.
        let mut snapshot = frozen(&[(1, 5, 15), (2, 20, NEVER)]);
        let mut instant = Instant::unknown();
        assert!(snapshot.observe(&mut instant, 0, Some(1)).is_ok());
        assert!(matches!(snapshot.observe(&mut instant, 1, Some(2)), Err(Wrong::NoInstant(_))));
    }

    #[test]
    fn a_sector_does_not_change_once_seen() {
        let mut snapshot = frozen(&[(1, 5, NEVER)]);
        let other = Candidate { value: 2, began: 6, replaced: NEVER };
        snapshot.sectors.get_mut(&0).expect("made above").push(other);
        let mut instant = Instant::unknown();
        assert!(snapshot.observe(&mut instant, 0, Some(2)).is_ok());
        assert!(snapshot.observe(&mut instant, 0, Some(1)).is_err());
        assert!(snapshot.observe(&mut instant, 7, Some(0)).is_ok());
        assert!(snapshot.observe(&mut instant, 7, Some(2)).is_err());
    }
}
