//! Sets of runs against plain sets of numbers.

use std::{collections::BTreeSet, ops::Range};

use proptest::{collection::vec, prelude::*};

use crate::{Extent, RUNS_MAX, RunSet, Superset};

const LIMIT: u64 = 64;

#[derive(Debug, Clone)]
enum Step {
    Insert(Range<u64>),
    Remove(Range<u64>),
}

fn run() -> impl Strategy<Value = Range<u64>> {
    (0..LIMIT, 0..12u64).prop_map(|(first, count)| first..first + count)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(prop_oneof![run().prop_map(Step::Insert), run().prop_map(Step::Remove)], 0..40)
}

fn extents(run: &Range<u64>) -> Range<Extent> {
    Extent(run.start)..Extent(run.end)
}

fn runs(runs: &[Range<u64>]) -> RunSet<Extent> {
    runs.iter().map(extents).collect()
}

fn plain(set: &RunSet<Extent>) -> BTreeSet<u64> {
    set.iter().map(|extent| extent.0).collect()
}

proptest! {
    #[test]
    fn a_run_set_is_a_set(steps in steps(), asked in run(), other in vec(run(), 0..6)) {
        let (mut set, mut model) = (RunSet::default(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Insert(run) => {
                    set.insert(&extents(&run));
                    model.extend(run);
                }
                Step::Remove(run) => {
                    set.remove(&extents(&run));
                    model.retain(|number| !run.contains(number));
                }
            }
        }
        prop_assert_eq!(plain(&set), model.clone());
        prop_assert_eq!(set.grains(), model.len() as u64);
        prop_assert_eq!(set.is_empty(), model.is_empty());
        prop_assert_eq!(set.covers(&extents(&asked)), asked.clone().all(|number| model.contains(&number)));
        prop_assert_eq!(set.meets(&extents(&asked)), asked.clone().any(|number| model.contains(&number)));
        let apart = set.runs().zip(set.runs().skip(1)).all(|(run, next)| run.end < next.start);
        prop_assert!(apart, "{:?}", set);
        let other = runs(&other);
        let without: BTreeSet<_> = model.difference(&plain(&other)).copied().collect();
        prop_assert_eq!(plain(&set.without(&other)), without);
        let text = serde_json::to_string(&set).unwrap();
        prop_assert_eq!(serde_json::from_str::<RunSet<Extent>>(&text).unwrap(), set);
    }

    #[test]
    fn a_superset_forgets_nothing_and_stays_small(steps in steps(), runs_max in 1..6usize) {
        let (mut set, mut model) = (Superset::default(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Insert(run) => {
                    set.insert(&extents(&run), runs_max);
                    model.extend(run);
                    prop_assert!(set.run_count() <= runs_max);
                }
                Step::Remove(run) => {
                    set.remove(&extents(&run));
                    model.retain(|number| !run.contains(number));
                    prop_assert!(!set.meets(&extents(&run)));
                }
            }
            prop_assert!(plain(&set).is_superset(&model));
        }
        set.subtract(&runs(&[10..20, 30..31, 40..41]), runs_max);
        prop_assert!(set.run_count() <= runs_max);
        model.retain(|number| ![10..20, 30..31, 40..41].iter().any(|run| run.contains(number)));
        prop_assert!(plain(&set).is_superset(&model));
    }
}

#[test]
fn the_closest_runs_are_joined() {
    let mut set = Superset::default();
    for first in [0, 2, 10, 13, 30] {
        set.insert(&(Extent(first)..Extent(first + 1)), 4);
    }
    // One too many, and a quarter of four more.
    let expected: RunSet<Extent> = runs(&[0..3, 10..14, 30..31]);
    assert_eq!(*set, expected);
}

#[test]
fn scattered_writes_over_a_large_volume_stay_small() {
    let mut set = Superset::default();
    for number in 0..200_000u64 {
        let extent = Extent(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 36);
        set.insert(&extent.run(), RUNS_MAX);
        assert!(set.covers(&extent.run()));
    }
    assert!(set.run_count() <= RUNS_MAX);
    let text = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<Superset<Extent>>(&text).unwrap(), set);
}

#[test]
fn what_is_no_set_of_runs_is_refused() {
    let many: Vec<_> = (0..=RUNS_MAX as u64).map(|number| (number * 2, number * 2 + 1)).collect();
    for (text, reason) in [
        ("[[3,3]]", "a run from 3 to 3 is empty"),
        ("[[5,4]]", "a run from 5 to 4 is empty"),
        ("[[0,4],[4,5]]", "a run from 4 on, and the one before it ends at 4"),
        ("[[6,8],[0,4]]", "a run from 0 on, and the one before it ends at 8"),
        (&serde_json::to_string(&many).unwrap(), "a set of 8193 runs"),
    ] {
        let error = serde_json::from_str::<Superset<Extent>>(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
