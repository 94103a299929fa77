//! The engine against a reference model: random operations from several cores on the same blocks, a crash at a
//! random moment (the process dies, or power is cut), recovery, every touched sector compared with what the rules
//! allow, the owner of every extent checked.
//!
//! `BASALT_SEEDS=n` runs n seeds (200 if unset), `BASALT_SEED=s` replays one.

mod reference;
mod world;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
};

use dataplane::engine::Fault;
use world::{Tampering, run_seed};

const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")))
}

#[test]
fn engine_keeps_its_promises() {
    if let Some(seed) = number("BASALT_SEED") {
        return run_seed(seed, Tampering::default());
    }
    let seeds = number("BASALT_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        if catch_unwind(AssertUnwindSafe(|| run_seed(seed, Tampering::default()))).is_err() {
            panic!(
                "seed {seed} failed; replay it: BASALT_SEED={seed} cargo test -p dataplane --test engine_model"
            );
        }
    }
}

/// Tests of the test: an engine or drive that cheats must be caught.
#[test]
fn a_flush_that_does_nothing_is_caught() {
    assert!(is_caught(Tampering { no_flush: true, ..Tampering::default() }));
}

#[test]
fn an_answer_before_the_record_is_caught() {
    assert!(is_caught(Tampering { fault: Some(Fault::EarlyAnswer), ..Tampering::default() }));
}

#[test]
fn a_torn_block_is_caught() {
    assert!(is_caught(Tampering { trust_torn: true, ..Tampering::default() }));
}

fn is_caught(tampering: Tampering) -> bool {
    // The failures expected here would fill the screen.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = (0..60).any(|seed| catch_unwind(AssertUnwindSafe(|| run_seed(seed, tampering))).is_err());
    std::panic::set_hook(hook);
    caught
}
