//! `bench compare`: the ceiling, ours, and any other target, in turns in the same minutes, as ratios.

mod loads;
mod machine;
mod party;
mod report;

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::{Result, ensure};

use self::{
    loads::{LOADS, Load},
    machine::Machine,
    party::Party,
    report::Report,
};
use crate::{
    run::{HOST_NQN, Target, seconds},
    size::Size,
    target::Medium,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where our volume's bytes lie: `mem`, or a file that is created
    #[arg(long, default_value = "mem")]
    drive: Medium,
    /// Size of our volume
    #[arg(long, default_value = "1G")]
    volume: Size,
    /// Threads of our data plane
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    cores: u16,
    /// Another build of this program, whose data plane is measured beside ours
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// Another target; its volume is overwritten
    #[arg(long, value_name = "NAME=ADDR:PORT/NQN[#PID]")]
    other: Vec<Other>,
    /// Only loads whose name contains this, as in `randread` or `x 128`
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    time: f64,
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// First processor of the servers, which take as many as they have cores; the load generator takes the next one
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A target that somebody else started.
#[derive(Debug, Clone)]
struct Other {
    name: String,
    target: Target,
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = || {
            let (name, rest) = text.split_once('=')?;
            let (rest, pid) = match rest.split_once('#') {
                Some((rest, pid)) => (rest, Some(pid.parse().ok()?)),
                None => (rest, None),
            };
            let (address, nqn) = rest.split_once('/')?;
            let addr = address.parse::<SocketAddr>().ok()?;
            let target = Target { addr, nqn: nqn.to_owned(), hostnqn: HOST_NQN.to_owned(), nsid: None, pid };
            (!name.is_empty() && !nqn.is_empty()).then(|| Self { name: name.to_owned(), target })
        };
        parts().ok_or_else(|| "write NAME=ADDR:PORT/NQN, and #PID after it for its CPU time".to_owned())
    }
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let loads: Vec<&Load> = LOADS.iter().filter(|load| load.text().contains(&options.only)).collect();
    ensure!(!loads.is_empty(), "--only: no load's name contains {:?}", options.only);
    let mut machine = Machine::look()?;
    let parties = Party::all(options)?;
    let mut report = Report::new(&loads, &parties);
    for _ in 0..options.rounds {
        for (row, load) in loads.iter().enumerate() {
            for (column, party) in parties.iter().enumerate() {
                report.add(row, column, party.measure(load, options)?);
            }
        }
    }
    machine.look_again()?;
    match options.json {
        true => println!("{:#}", report.json(&machine)),
        false => print!("{}", report.text(&machine)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_named_with_address_subsystem_and_process() {
        let other: Other = "spdk=127.0.0.1:4420/nqn.2016-06.io.spdk:cnode1#77".parse().expect("well formed");
        assert_eq!((other.name.as_str(), other.target.pid), ("spdk", Some(77)));
        assert_eq!(other.target.nqn, "nqn.2016-06.io.spdk:cnode1");
        for text in ["", "spdk", "=127.0.0.1:1/n", "a=127.0.0.1/n", "a=127.0.0.1:1", "a=127.0.0.1:1/n#x"] {
            assert!(text.parse::<Other>().is_err(), "{text}");
        }
    }
}
