//! Measures: the ceiling that raw sockets set on this machine, in the same minutes as everything compared with it.

mod ceiling;
mod engine;
mod run;

use std::process::ExitCode;

use clap::Parser;

/// Load generator and comparisons for Basalt. Absolute times mean little on a shared machine: compare ratios
/// of runs that were interleaved.
#[derive(Debug, Parser)]
enum Command {
    /// Answers fixed-size requests over raw TCP, with no storage protocol at all: the most a target could reach.
    Ceiling(ceiling::Options),
    /// Reads and writes over NVMe/TCP, against any target.
    Run(Box<run::Options>),
    /// What snapshots, clones and size cost, on the engine itself without network.
    Engine(engine::Options),
    /// 4 KiB random reads and writes at several depths, as a table. Overwrites the volume.
    Matrix(run::matrix::MatrixOptions),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Ceiling(options) => ceiling::run(&options),
        Command::Engine(options) => engine::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Matrix(options) => run::matrix::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
