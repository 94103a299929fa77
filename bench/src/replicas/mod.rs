//! `bench replicas`: what copies on other nodes cost, and how fast one that was away is made equal. All nodes run in
//! this process, on memory drives and loopback: the ratios tell of our own work, not of a network.

mod cluster;

use anyhow::Result;

use self::cluster::Nodes;
use crate::{
    run::{self, IoBytes, Pattern, Shape},
    size::Size,
    statistics::median,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Size of the volume
    #[arg(long, default_value = "256M")]
    volume: Size,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0, value_parser = run::seconds)]
    time: f64,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Commands in flight
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=250))]
    qd: u16,
    /// Most copies
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=4))]
    copies: u16,
}

/// Measures one to `copies` copies in turns, and prints the medians.
pub(crate) fn run(options: &Options) -> Result<()> {
    let parties = (1..=options.copies).map(|copies| Nodes::start(copies, options.volume.0));
    let parties = parties.collect::<Result<Vec<_>>>()?;
    for nodes in &parties {
        load(options, nodes, Pattern::RandWrite, 0.5, true)?;
    }
    for (name, pattern) in
        [("random write 4 KiB", Pattern::RandWrite), ("random read 4 KiB", Pattern::RandRead)]
    {
        let mut rates = vec![Vec::new(); parties.len()];
        for _ in 0..options.rounds {
            for (nodes, rates) in parties.iter().zip(&mut rates) {
                rates.push(load(options, nodes, pattern, options.time, false)?);
            }
        }
        let medians: Vec<f64> = rates.into_iter().map(median).collect();
        for (copies, rate) in (1..).zip(&medians) {
            println!(
                "{name}, QD {}, {copies} copies: {rate:.0}/s, {:.2} of one",
                options.qd,
                rate / medians[0]
            );
        }
    }
    if let Some(nodes) = parties.last().filter(|_| options.copies > 1) {
        let took = nodes.resync(|| load(options, nodes, Pattern::Write, 0.1, true).map(drop))?;
        let mib = options.volume.0 as f64 / f64::from(1 << 20);
        println!(
            "resync of {mib:.0} MiB: {:.2} s, {:.0} MiB/s",
            took.as_secs_f64(),
            mib / took.as_secs_f64()
        );
    }
    Ok(())
}

fn load(options: &Options, nodes: &Nodes, rw: Pattern, time: f64, fill: bool) -> Result<f64> {
    let shape = Shape { rw, rwmixread: 50, bs: IoBytes(4096), qd: options.qd, conns: 1, digests: false };
    let options = run::Options { fill, ..run::Options::new(nodes.target(), shape, time) };
    Ok(run::report(&options)?.total_iops())
}
