//! The inventory: which backends there were, sampled when that changed (provisioner §2, D17).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Samples that are kept (D17).
const SAMPLES: usize = 100;

/// What a sample says of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    pub(crate) persistent_id: String,
    pub(crate) version: String,
    pub(crate) available: bool,
    pub(crate) drives: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Milliseconds since the epoch.
    pub(crate) time_ms: u64,
    /// In the order of their persistentIDs.
    pub(crate) backends: Vec<Sighting>,
}

/// The stored form: one document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inventory {
    /// The oldest first.
    pub(crate) samples: Vec<Sample>,
    /// How often it was reset.
    pub(crate) resets: u64,
}

/// How a backend differs from the sample before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    New,
    Removed,
    Modified,
}

impl Inventory {
    /// Takes a sample if the backends are not as in the latest one; says whether it did.
    pub(crate) fn see(&mut self, mut backends: Vec<Sighting>, now_ms: u64) -> bool {
        backends.sort_by(|a, b| a.persistent_id.cmp(&b.persistent_id));
        if self.samples.last().is_some_and(|last| last.backends == backends) {
            return false;
        }
        self.samples.push(Sample { time_ms: now_ms, backends });
        self.samples.drain(..self.samples.len().saturating_sub(SAMPLES));
        true
    }

    /// Forgets all samples; returns the number of this reset.
    pub(crate) fn reset(&mut self) -> u64 {
        self.samples.clear();
        self.resets += 1;
        self.resets
    }
}

/// What differs between two samples. Of a backend that is gone it shows what was.
pub(crate) fn differences<'a>(
    before: &'a [Sighting],
    now: &'a [Sighting],
) -> Vec<(Difference, &'a Sighting)> {
    let mut before: BTreeMap<&str, &Sighting> =
        before.iter().map(|b| (b.persistent_id.as_str(), b)).collect();
    let mut found = Vec::new();
    for backend in now {
        match before.remove(backend.persistent_id.as_str()) {
            None => found.push((Difference::New, backend)),
            Some(old) if old != backend => found.push((Difference::Modified, backend)),
            Some(_) => {}
        }
    }
    found.extend(before.into_values().map(|gone| (Difference::Removed, gone)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(id: &str, drives: usize) -> Sighting {
        Sighting { persistent_id: id.to_owned(), version: "1".to_owned(), available: true, drives }
    }

    #[test]
    fn only_changes_make_samples_and_the_last_hundred_stay() {
        let mut inventory = Inventory::default();
        assert!(inventory.see(vec![backend("b", 1), backend("a", 1)], 1));
        assert!(!inventory.see(vec![backend("a", 1), backend("b", 1)], 2), "the order is no change");
        for n in 0..100 {
            assert!(inventory.see(vec![backend("a", n + 2)], 3));
        }
        assert_eq!((inventory.samples.len(), inventory.samples[0].time_ms), (100, 3));
        assert_eq!((inventory.reset(), inventory.samples.len()), (1, 0));
        assert_eq!(inventory.reset(), 2);
    }

    #[test]
    fn each_difference() {
        let before = [backend("a", 1), backend("b", 1), backend("c", 1)];
        let now = [backend("a", 1), backend("c", 2), backend("d", 1)];
        let found = differences(&before, &now);
        let expected =
            [(Difference::Modified, &now[1]), (Difference::New, &now[2]), (Difference::Removed, &before[1])];
        assert_eq!(found, expected);
    }
}
