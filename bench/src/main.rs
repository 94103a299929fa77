//! Measures: the ceiling that raw sockets set on this machine, in the same minutes as everything compared with it.

mod ceiling;
mod compare;
mod engine;
mod measured;
mod pin;
mod replicas;
mod run;
mod size;
mod statistics;
mod target;

use std::process::ExitCode;

use clap::Parser;

/// Load generator and comparisons for Basalt. Absolute times mean little on a shared machine: compare ratios
/// of runs that were interleaved.
#[derive(Debug, Parser)]
enum Command {
    /// Answers fixed-size requests over raw TCP, with no storage protocol at all: the most a target could reach.
    Ceiling(ceiling::Options),
    /// Ceiling, ours, and any other target given, in turns; prints the ratios. Overwrites the others' volumes.
    Compare(Box<compare::Options>),
    /// What copies on other nodes cost, and how fast one that was away is made equal.
    Replicas(replicas::Options),
    /// Reads and writes over NVMe/TCP, against any target.
    Run(Box<run::Options>),
    /// What snapshots, clones and size cost, on the engine itself without network.
    Engine(engine::Options),
    /// A node with one volume and no control plane, to be measured; it ends with its standard input.
    Target(target::Options),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Ceiling(options) => ceiling::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Engine(options) => engine::run(&options),
        Command::Replicas(options) => replicas::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Target(options) => target::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
