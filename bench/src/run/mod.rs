//! `bench run`: a load of reads and writes over our own host side, and what it measured.

use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use dataplane::{
    host::{HostController, HostError, HostOptions},
    rt::{CoreId, Runtime, RuntimeHandle},
};
use nvmeof::{Nqn, Status, transport::ICRequest, wire::opcode::Cns};
use uuid::Uuid;

use self::{
    connection::{End, Job},
    cpu::CpuSeconds,
    namespace::Namespace,
    report::{Latencies, Report},
    workload::{IoBytes, Pattern, Workload},
};

mod connection;
mod cpu;
pub(crate) mod matrix;
mod namespace;
mod report;
mod workload;

/// Where the load goes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Target {
    /// The target's NVMe/TCP address
    #[arg(long, value_name = "ADDR:PORT")]
    addr: SocketAddr,
    /// The subsystem
    #[arg(long)]
    nqn: String,
    /// The host that the volume is published to
    #[arg(long, default_value = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-4333-8444-555555555555")]
    hostnqn: String,
    /// The namespace [default: the first one]
    #[arg(long)]
    nsid: Option<u32>,
    /// Header and data digests
    #[arg(long)]
    digests: bool,
    /// The target's process, for its CPU seconds
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Order and direction; writes overwrite the volume
    #[arg(long, value_enum)]
    rw: Pattern,
    /// Percentage of reads in randrw
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    rwmixread: u8,
    /// Bytes of each command
    #[arg(long, default_value = "4k")]
    bs: IoBytes,
    /// Commands in flight on each connection
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    qd: u16,
    /// Connections, each with a queue pair of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    conns: u16,
    /// Threads of the load generator; connections are spread over them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    time: f64,
    /// Seconds of load before measuring
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
    /// Write the whole volume once before
    #[arg(long)]
    fill: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why a load did not run to its end.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("the target answered Identify {cns:?} with {status:?}")]
    Identify { cns: Cns, status: Status },
    #[error("the subsystem has no such namespace")]
    NoNamespace,
    #[error("the namespace has blocks smaller than 512 bytes")]
    BlockSize,
    #[error("--conns: the target grants {granted} I/O queues of {wanted}")]
    Queues { granted: u16, wanted: u16 },
    #[error("--qd: the target takes {most} commands on one connection")]
    Depth { most: u32 },
    #[error("the target answered a {} at block {lba} with {status:?}", if *write { "write" } else { "read" })]
    Command { write: bool, lba: u64, status: Status },
    #[error("the data of the read at block {lba} came incomplete or damaged")]
    Damaged { lba: u64 },
}

/// Connects, loads, measures, prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = report(options)?;
    match options.json {
        true => println!("{:#}", report.json()),
        false => print!("{}", report.text()),
    }
    Ok(())
}

fn report(options: &Options) -> Result<Report> {
    let runtime = Runtime::start(usize::from(options.threads))?;
    let load = Load::connect(options, runtime.handle())?;
    if options.fill {
        load.fill()?;
    }
    load.measure()
}

/// A namespace that is there, and the cores to load it from.
struct Load<'a> {
    options: &'a Options,
    cores: RuntimeHandle,
    host: HostOptions,
    namespace: Namespace,
}

impl<'a> Load<'a> {
    fn connect(options: &'a Options, cores: RuntimeHandle) -> Result<Self> {
        let host = host_options(&options.target)?;
        let (tell, told) = channel();
        let (connect, nsid) = (host.clone(), options.target.nsid);
        cores.spawn_on(CoreId(0), move || async move {
            let look = async {
                let controller = HostController::connect(connect).await?;
                Namespace::read(&controller, nsid).await
            };
            // The receiver waits below.
            drop(tell.send(look.await));
        });
        let namespace = told.recv().context("the load generator's core ended")??;
        let load = Self { options, cores, host, namespace };
        load.check(options.bs.0)?;
        Ok(load)
    }

    fn check(&self, io_bytes: u32) -> Result<()> {
        let Namespace { block_bytes, transfer_bytes_max, .. } = self.namespace;
        ensure!(
            io_bytes.is_multiple_of(block_bytes),
            "--bs: the namespace has blocks of {block_bytes} bytes"
        );
        ensure!(io_bytes <= transfer_bytes_max, "--bs: the target takes {transfer_bytes_max} bytes at most");
        ensure!(self.ios(io_bytes) > 0, "--bs: the namespace is smaller than that");
        Ok(())
    }

    /// Commands that cover the namespace.
    fn ios(&self, io_bytes: u32) -> u64 {
        let Namespace { blocks, block_bytes, .. } = self.namespace;
        blocks / u64::from(io_bytes / block_bytes)
    }

    /// Writes the whole namespace once.
    fn fill(&self) -> Result<()> {
        let io_bytes = self.namespace.transfer_bytes_max.min(FILL_BYTES);
        let (ios, conns) = (self.ios(io_bytes), u64::from(self.options.conns));
        let share = |connection: u64| ios * (connection + 1) / conns - ios * connection / conns;
        let jobs = (0..conns).map(|connection| Job {
            depth: FILL_DEPTH.min(self.options.qd),
            io_bytes,
            workload: Workload::new(Pattern::Write, 0, ios, connection, conns),
            end: End::Commands(share(connection)),
        });
        collect(&self.start(jobs), self.options.conns).map(drop)
    }

    fn measure(&self) -> Result<Report> {
        let Options { bs: IoBytes(io_bytes), qd, conns, .. } = *self.options;
        let (warm_up, measured) = (self.options.warm_up, self.options.time);
        let (warm_up, measured) = (Duration::from_secs_f64(warm_up), Duration::from_secs_f64(measured));
        let jobs = (0..u64::from(conns)).map(|connection| Job {
            depth: qd,
            io_bytes,
            workload: Workload::new(
                self.options.rw,
                self.options.rwmixread,
                self.ios(io_bytes),
                connection,
                u64::from(conns),
            ),
            end: End::Time { warm_up, measured },
        });
        let results = self.start(jobs);
        std::thread::sleep(warm_up);
        let before = CpuSeconds::now(self.options.target.pid)?;
        std::thread::sleep(measured);
        let used = CpuSeconds::now(self.options.target.pid)?.since(before);
        Ok(Report {
            load: self.options.load_text(),
            seconds: measured.as_secs_f64(),
            io_bytes,
            latencies: collect(&results, conns)?,
            target_cpu_seconds: used.target,
            own_cpu_seconds: used.own,
        })
    }

    /// Spreads the jobs over the cores and starts them.
    fn start(&self, jobs: impl Iterator<Item = Job>) -> Receiver<Result<Latencies, LoadError>> {
        let (tell, results) = channel();
        let mut shares = vec![Vec::new(); usize::from(self.options.threads.min(self.options.conns))];
        for (index, job) in jobs.enumerate() {
            let core = index % shares.len();
            shares[core].push(job);
        }
        for (core, share) in (0..).map(CoreId).zip(shares) {
            let (host, namespace, tell) = (self.host.clone(), self.namespace, tell.clone());
            self.cores.spawn_on(core, move || connection::run(host, namespace, share, tell));
        }
        results
    }
}

impl Options {
    fn load_text(&self) -> String {
        let pattern = self.rw.to_possible_value().expect("no pattern is hidden");
        let digests = if self.target.digests { ", digests" } else { "" };
        let Self { bs, qd, conns, threads, .. } = self;
        format!(
            "{} {} bytes, {conns} connections of {qd} commands on {threads} threads{digests}",
            pattern.get_name(),
            bs.0
        )
    }
}

/// Waits for all connections; the first error ends it.
fn collect(results: &Receiver<Result<Latencies, LoadError>>, conns: u16) -> Result<Latencies> {
    let mut all = Latencies::new();
    for _ in 0..conns {
        all.add(&results.recv().context("a core of the load generator ended")??);
    }
    Ok(all)
}

fn host_options(target: &Target) -> Result<HostOptions> {
    // As Linux has it: the host id is mostly the UUID at the end of the NQN.
    let host_id = target.hostnqn.rsplit_once(":uuid:").and_then(|(_, uuid)| uuid.parse().ok());
    let digests =
        ICRequest { header_digest: target.digests, data_digest: target.digests, ..ICRequest::default() };
    Ok(HostOptions {
        address: target.addr,
        subsystem: Nqn::new(&target.nqn).context("--nqn")?,
        host: Nqn::new(&target.hostnqn).context("--hostnqn")?,
        host_id: host_id.unwrap_or_else(Uuid::new_v4),
        digests,
        // A run is short, and the target notices the end of its connections.
        kato_ms: 0,
        io_queues: 1,
        credentials: None,
        tls: None,
    })
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("write seconds, from 0.01 to 86400".to_owned()),
    }
}

/// Large enough that filling is quick, small enough that one command is no stall.
const FILL_BYTES: u32 = 128 << 10;
const FILL_DEPTH: u16 = 16;
