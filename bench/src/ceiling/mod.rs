//! What kernel TCP alone allows: requests and answers of NVMe/TCP's sizes, on plain blocking sockets or on our own
//! runtime, with nothing in between.

mod exchange;
mod generate;
mod serve;

use std::time::Duration;

use anyhow::{Result, ensure};

pub(crate) use self::exchange::Exchange;
use self::{
    generate::{Load, generate},
    serve::Server,
};
use crate::{
    measured::Measured,
    pin::pin,
    run::{IoBytes, seconds},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Payload bytes of each exchange
    #[arg(long, default_value = "4k")]
    bs: IoBytes,
    /// Percentage of requests whose answers carry the payload; of the others, the requests do
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(0..=100))]
    reads: u8,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    qd: u16,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    conns: u16,
    /// Seconds to measure
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    time: f64,
    /// Serve with our runtime instead of blocking sockets, reads only: what the runtime itself costs
    #[arg(long)]
    runtime: bool,
    /// Processor of the server (the load generator takes the next one)
    #[arg(long, default_value_t = 0)]
    cpu: usize,
}

/// Prints a line.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { bs, reads, qd, conns, runtime, cpu, .. } = *options;
    ensure!(!runtime || reads == 100, "--runtime: it serves reads only, take --reads 100");
    let exchange = Exchange { read_percent: reads, io_bytes: bs.0 as usize };
    let ceiling = Ceiling { exchange, depth: qd, connections: conns, seconds: options.time, runtime };
    let measured = ceiling.measure([cpu], cpu + 1)?;
    println!(
        "{} {reads}% reads {bs}, {conns} x {qd}: {:.0} per second, p50 {:.1} us, p99 {:.1} us{}",
        if runtime { "runtime" } else { "raw" },
        measured.iops,
        measured.p50_us,
        measured.p99_us,
        measured.target_us.map_or(String::new(), |us| format!(", {us:.2} CPU us each")),
    );
    Ok(())
}

/// One load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceiling {
    pub(crate) exchange: Exchange,
    pub(crate) depth: u16,
    pub(crate) connections: u16,
    pub(crate) seconds: f64,
    pub(crate) runtime: bool,
}

impl Ceiling {
    /// Runs server and load generator in this process, on those processors. The calling thread stays on the latter.
    pub(crate) fn measure(
        self,
        server_cpus: impl IntoIterator<Item = usize>,
        load_cpu: usize,
    ) -> Result<Measured> {
        let Self { exchange, depth, connections, seconds, runtime } = self;
        pin(server_cpus)?;
        let start = if runtime { Server::on_runtime } else { Server::blocking };
        let (address, server) = start(exchange, connections)?;
        pin([load_cpu])?;
        let load = Load { exchange, depth, warm_up: WARM_UP, measured: Duration::from_secs_f64(seconds) };
        let answers = generate(address, connections, load)?;
        let cpu = server.cpu()?;
        let quantile = |quantile| answers.latencies.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Measured {
            iops: answers.latencies.len() as f64 / seconds,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            target_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / answers.count.max(1) as f64),
        })
    }
}

const WARM_UP: Duration = Duration::from_millis(300);
