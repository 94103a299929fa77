//! The engine against a reference model.
//!
//! * Random: operations from several cores on the same blocks, a crash at a random moment (the process dies, or power
//!   is cut), recovery, every touched sector compared with what the rules allow, the owner of every extent checked.
//!   `BASALT_SEEDS=n` runs n seeds (100 if unset), `BASALT_SEED=s` replays one.
//! * Crash points: small workloads that cover every change of metadata, crashed at every write (`cargo xtask crash`).

mod actor;
mod crash_points;
mod frozen;
mod model;
mod parallel;
mod random;
mod recovery;
mod reference;
mod space;
mod workloads;

use std::env;

use dataplane::engine::Fault;

use crate::random::{Tampering, run_seed};

const SEEDS: u64 = 100;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")))
}

#[test]
fn engine_keeps_its_promises() {
    if let Some(seed) = number("BASALT_SEED") {
        return run_seed(seed, Tampering::default());
    }
    let seeds: Vec<u64> = (0..number("BASALT_SEEDS").unwrap_or(SEEDS)).collect();
    if let Some(seed) = parallel::first_failure(&seeds, |seed| run_seed(*seed, Tampering::default())) {
        // Not in the panic's message: another test may have silenced those for a while.
        println!(
            "seed {seed} failed; replay it: BASALT_SEED={seed} cargo test -p dataplane --test engine_model promises"
        );
        panic!("seed {seed} failed");
    }
}

#[test]
fn every_crash_point_is_survived() {
    crash_points::run();
}

/// Tests of the test: an engine or drive that cheats must be caught.
#[test]
fn a_flush_that_does_nothing_is_caught() {
    let tampering = Tampering { no_flush: true, ..Tampering::default() };
    assert!(is_caught(tampering));
    assert!(quietly(|| crash_points::notice(tampering)));
}

#[test]
fn an_answer_before_the_record_is_caught() {
    let tampering = Tampering { fault: Some(Fault::EarlyAnswer), ..Tampering::default() };
    assert!(is_caught(tampering));
    assert!(quietly(|| crash_points::notice(tampering)));
}

#[test]
fn a_merge_that_copies_nothing_is_caught() {
    let tampering = Tampering { fault: Some(Fault::MergeCopiesNothing), ..Tampering::default() };
    assert!(is_caught(tampering));
    assert!(quietly(|| crash_points::notice(tampering)));
}

#[test]
fn a_merge_that_leaves_readers_behind_is_caught() {
    assert!(is_caught(Tampering { fault: Some(Fault::MergeForgetsNothing), ..Tampering::default() }));
}

#[test]
fn a_torn_block_is_caught() {
    assert!(is_caught(Tampering { trust_torn: true, ..Tampering::default() }));
}

fn is_caught(tampering: Tampering) -> bool {
    let seeds: Vec<u64> = (0..60).collect();
    quietly(|| parallel::first_failure(&seeds, |seed| run_seed(*seed, tampering)).is_some())
}

/// Without the messages of the failures that are expected: they would fill the screen.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = run();
    std::panic::set_hook(hook);
    result
}
