//! The gate: its parts in order, each with its time, and the closing count.

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    packages,
    tally::{self, Tally},
};

/// What to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) parts: Vec<Part>,
    /// Models with all their seeds.
    pub(crate) full: bool,
}

/// One part of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// System packages.
    Packages,
    Fmt,
    Clippy,
    /// Every binary and test, once, in the profile that everything below uses.
    Build,
    /// Unit, model and process tests, golden bytes and the fuzz corpora.
    Test,
    /// The Linux initiator in virtual machines.
    Vm,
    /// Real API clients, unchanged.
    Clients,
}

impl Part {
    /// In the order in which they run: cheap and telling first.
    pub(crate) const ALL: [Self; 7] =
        [Self::Packages, Self::Fmt, Self::Clippy, Self::Build, Self::Test, Self::Vm, Self::Clients];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Build => "build",
            Self::Test => "test",
            Self::Vm => "vm",
            Self::Clients => "clients",
        }
    }

    /// Nothing after this part could say anything true if it fails.
    fn is_foundation(self) -> bool {
        matches!(self, Self::Packages | Self::Build)
    }

    fn run(self, full: bool) -> Result<Tally> {
        match self {
            Self::Packages => packages::ensure().map(|()| Tally::single(true)),
            Self::Fmt => tally::run(&mut cargo(&["fmt", "--all", "--check"])),
            Self::Clippy => {
                tally::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
            }
            Self::Build => build(),
            Self::Test => {
                let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
                tally::run(tests.envs(if full { FULL_SEEDS } else { CI_SEEDS }))
            }
            Self::Vm => end_to_end("vm", &[]),
            Self::Clients => end_to_end("clients", if full { &FULL_FUZZ } else { &CI_FUZZ }),
        }
    }
}

/// Runs the plan and prints the closing count; true if nothing failed.
pub(crate) fn run(plan: &Plan) -> Result<bool> {
    let mut total = Tally::default();
    let mut lines = Vec::new();
    for part in &plan.parts {
        println!("== {}", part.name());
        let start = Instant::now();
        let tally = part.run(plan.full).unwrap_or_else(|error| {
            println!("{error:#}");
            Tally::single(false)
        });
        total += tally;
        let line = summary(*part, tally, start.elapsed());
        println!("== {line}\n");
        lines.push(line);
        if tally.failed > 0 && part.is_foundation() {
            println!("stopping: the parts after `{}` need it", part.name());
            break;
        }
    }
    println!("{}", lines.join("\n"));
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

fn summary(part: Part, tally: Tally, took: Duration) -> String {
    let counts = format!("{} passed, {} failed", tally.passed, tally.failed);
    format!("{:<9} {counts:<24} {:>5} s", part.name(), took.as_secs())
}

/// Binaries and tests in one profile; the virtual machines then run these very binaries.
fn build() -> Result<Tally> {
    let binaries = tally::run(&mut cargo(&["build", "--workspace", "--bins"]))?;
    if binaries.failed > 0 {
        return Ok(binaries);
    }
    tally::run(&mut cargo(&["test", "--workspace", "--no-run"]))
}

/// Runs one of the end-to-end binaries, which use the `basalt` that stands beside them.
fn end_to_end(binary: &str, settings: &[(&str, &str)]) -> Result<Tally> {
    let built = tally::run(&mut cargo(&["build", "-q", "--workspace", "--bins"]))?;
    if built.failed > 0 {
        return Ok(built);
    }
    let mut run = cargo(&["run", "-q", "-p", "basalt-tests", "--bin", binary]);
    tally::run(run.envs(settings.iter().copied()))
}

/// The cargo that runs us, in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).args(arguments);
    command
}

/// Seeds of the engine's random model test, of each crash workload, and of the simulated clusters.
const CI_SEEDS: [(&str, &str); 3] =
    [("BASALT_SEEDS", "500"), ("BASALT_CRASH_SEEDS", "4"), ("BASALT_CLUSTER_SEEDS", "1000")];
const FULL_SEEDS: [(&str, &str); 3] =
    [("BASALT_SEEDS", "5000"), ("BASALT_CRASH_SEEDS", "40"), ("BASALT_CLUSTER_SEEDS", "20000")];

/// How long the API document is fuzzed.
const CI_FUZZ: [(&str, &str); 1] = [("BASALT_FUZZ_SECONDS", "60")];
const FULL_FUZZ: [(&str, &str); 1] = [("BASALT_FUZZ_SECONDS", "300")];
