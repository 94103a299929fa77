//! `cargo xtask crash`: the engine's crash points, every one of them.

use anyhow::Result;

use crate::{ci::cargo, tally};

pub(crate) const USAGE: &str = "usage: cargo xtask crash [--seeds N | --seed S] [--workload NAME] [--point K]\n\
    \x20 crashes the engine's workloads at every write: before and after it, process death and power cut\n\
    \x20 --seeds N runs each workload with N seeds [default: 4]; a failure prints the line that replays it";

/// What to crash: options as the test reads them from its environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CrashPlan {
    settings: Vec<(&'static str, String)>,
}

/// Option, setting, and whether it is a number.
const OPTIONS: [(&str, &str, bool); 4] = [
    ("--seeds", "SEEDS", true),
    ("--seed", "SEED", true),
    ("--workload", "WORKLOAD", false),
    ("--point", "POINT", true),
];

impl CrashPlan {
    /// The words behind `crash`.
    pub(crate) fn parse<'a>(mut words: impl Iterator<Item = &'a String>) -> Result<Self, String> {
        let mut plan = Self::default();
        while let Some(word) = words.next() {
            let option = OPTIONS.into_iter().find(|(option, ..)| option == word);
            let (_, setting, is_number) = option.ok_or_else(|| format!("unknown option `{word}`"))?;
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            if is_number && value.parse::<u64>().is_err() {
                return Err(format!("{word} needs a number, not `{value}`"));
            }
            plan.settings.push((setting, value.clone()));
        }
        Ok(plan)
    }

    #[cfg(test)]
    pub(crate) fn of(settings: &[(&'static str, &str)]) -> Self {
        Self { settings: settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect() }
    }
}

/// True if every crash was survived.
pub(crate) fn run(plan: &CrashPlan) -> Result<bool> {
    let test = ["test", "-q", "-p", "dataplane", "--test", "engine_model", "every_crash_point"];
    let mut command = cargo(&test);
    command.args(["--", "--nocapture"]).env("RUST_BACKTRACE", "0");
    command.envs(plan.settings.iter().map(|(name, value)| (format!("BASALT_CRASH_{name}"), value)));
    Ok(tally::run(&mut command)?.failed == 0)
}
