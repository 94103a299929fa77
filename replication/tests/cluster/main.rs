//! Whole clusters under one seed: replicas, drives, a network, a store, a manager and hosts, and everything that can
//! go wrong with them. What hosts saw is checked block by block.
//!
//! A failing seed prints itself and the command that replays it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod checker;
mod disk;
mod faults;
mod hosts;
mod network;
mod node;
mod promises;
mod rng;
mod store;
mod world;

use replication::Cheat;

use world::{World, WorldConfig};

/// How many seeds CI runs; more with `BASALT_CLUSTER_SEEDS`, one with `BASALT_CLUSTER_SEED`, all of which it says with
/// `BASALT_CLUSTER_TRACE`.
const SEEDS: u64 = 1000;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("BASALT_CLUSTER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BASALT_CLUSTER_SEEDS").unwrap_or(SEEDS),
    }
}

fn run(seed: u64, cheat: Option<Cheat>) -> Result<world::Summary, String> {
    let outcome = std::panic::catch_unwind(|| World::new(WorldConfig { seed, cheat }).run());
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
    })
}

#[test]
fn no_acknowledged_write_is_lost_and_no_stale_read_served() {
    let mut total = world::Summary::default();
    for seed in seeds() {
        match run(seed, None) {
            Ok(summary) => total.add(&summary),
            Err(error) => panic!(
                "seed {seed}: {error}\nreplay: BASALT_CLUSTER_SEED={seed} cargo test -p replication --test cluster no_ack"
            ),
        }
    }
    println!("{total:?}");
    // The faults did happen, and did not stop everything.
    assert!(total.forced > 0 || seeds().count() < 200, "{total:?}");
    assert!(total.takeovers > 0 && total.power_cuts > 0 && total.joins > 0 && total.reads > 0, "{total:?}");
}

/// Each broken rule is caught within so many seeds.
fn caught(cheat: Cheat, within: u64) {
    for seed in 0..within {
        if let Err(error) = run(seed, Some(cheat)) {
            println!("{cheat:?} was caught by seed {seed}: {error}");
            return;
        }
    }
    panic!("{cheat:?} was not caught within {within} seeds");
}

#[test]
fn answering_before_the_loss_is_recorded_is_caught() {
    caught(Cheat::AnswerBeforeRecord, 200);
}

#[test]
fn reading_without_grants_is_caught() {
    caught(Cheat::NoGrants, 1000);
}

#[test]
fn executing_what_an_older_session_asked_is_caught() {
    caught(Cheat::NoFence, 500);
}

#[test]
fn answering_a_fence_before_older_writes_ended_is_caught() {
    caught(Cheat::NoDrain, 3000);
}

#[test]
fn trusting_a_replica_that_lost_power_is_caught() {
    caught(Cheat::NoIncarnation, 200);
}

#[test]
fn dropping_records_early_is_caught() {
    caught(Cheat::DropEarly, 5000);
}

#[test]
fn serving_before_replicas_are_equal_is_caught() {
    caught(Cheat::NoEqualize, 500);
}

#[test]
fn reading_what_is_still_being_written_is_caught() {
    caught(Cheat::ReadInFlight, 500);
}
