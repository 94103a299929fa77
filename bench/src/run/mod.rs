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
    report::Latencies,
    workload::Workload,
};
pub(crate) use self::{
    report::Report,
    workload::{IoBytes, Pattern},
};

mod connection;
mod cpu;
mod namespace;
mod report;
mod workload;

/// Where the load goes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Target {
    /// The target's NVMe/TCP address
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) addr: SocketAddr,
    /// The subsystem
    #[arg(long)]
    pub(crate) nqn: String,
    /// The host that the volume is published to
    #[arg(long, default_value = HOST_NQN)]
    pub(crate) hostnqn: String,
    /// The namespace [default: the first one]
    #[arg(long)]
    pub(crate) nsid: Option<u32>,
    /// The target's process, for its CPU seconds
    #[arg(long)]
    pub(crate) pid: Option<u32>,
}

/// What goes there.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Shape {
    /// Order and direction; writes overwrite the volume
    #[arg(long, value_enum)]
    pub(crate) rw: Pattern,
    /// Percentage of reads in randrw
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) rwmixread: u8,
    /// Bytes of each command
    #[arg(long, default_value = "4k")]
    pub(crate) bs: IoBytes,
    /// Commands in flight on each connection
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) qd: u16,
    /// Connections, each with a queue pair of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) conns: u16,
    /// Header and data digests
    #[arg(long)]
    pub(crate) digests: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Threads of the load generator; connections are spread over them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) time: f64,
    /// Seconds of load before measuring
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub(crate) warm_up: f64,
    /// Write the whole volume once before
    #[arg(long)]
    pub(crate) fill: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// A load without ceremony: one thread, nothing filled, nothing printed.
    pub(crate) fn new(target: Target, shape: Shape, time: f64) -> Self {
        Self { target, shape, threads: 1, time, warm_up: WARM_UP_SECONDS, fill: false, json: false }
    }
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

/// Connects, loads and measures.
pub(crate) fn report(options: &Options) -> Result<Report> {
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
        let host = host_options(options)?;
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
        load.check(options.shape.bs.0)?;
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
        let (ios, conns) = (self.ios(io_bytes), u64::from(self.options.shape.conns));
        let share = |connection: u64| ios * (connection + 1) / conns - ios * connection / conns;
        let jobs = (0..conns).map(|connection| Job {
            depth: FILL_DEPTH.min(self.options.shape.qd),
            io_bytes,
            workload: Workload::new(Pattern::Write, 0, ios, connection, conns),
            end: End::Commands(share(connection)),
        });
        collect(&self.start(jobs), self.options.shape.conns).map(drop)
    }

    fn measure(&self) -> Result<Report> {
        let Shape { rw, rwmixread, bs: IoBytes(io_bytes), qd, conns, .. } = self.options.shape;
        let (warm_up, measured) = (self.options.warm_up, self.options.time);
        let (warm_up, measured) = (Duration::from_secs_f64(warm_up), Duration::from_secs_f64(measured));
        let jobs = (0..u64::from(conns)).map(|connection| Job {
            depth: qd,
            io_bytes,
            workload: Workload::new(rw, rwmixread, self.ios(io_bytes), connection, conns.into()),
            end: End::Time { warm_up, measured },
        });
        let results = self.start(jobs);
        std::thread::sleep(warm_up);
        let before = CpuSeconds::now(self.options.target.pid)?;
        std::thread::sleep(measured);
        let used = CpuSeconds::now(self.options.target.pid)?.since(before);
        Ok(Report {
            load: self.options.shape.text(),
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
        let mut shares = vec![Vec::new(); usize::from(self.options.threads.min(self.options.shape.conns))];
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

impl Shape {
    /// As people compare it: `randread 4k, 1 x 32`.
    pub(crate) fn text(&self) -> String {
        let Self { rw, rwmixread, bs, qd, conns, digests } = self;
        let pattern = rw.to_possible_value().expect("no pattern is hidden");
        let mix = if *rw == Pattern::RandRw { format!(" {rwmixread}%") } else { String::new() };
        let digests = if *digests { ", digests" } else { "" };
        format!("{}{mix} {bs}, {conns} x {qd}{digests}", pattern.get_name())
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

fn host_options(options: &Options) -> Result<HostOptions> {
    let Options { target, shape, .. } = options;
    // As Linux has it: the host id is mostly the UUID at the end of the NQN.
    let host_id = target.hostnqn.rsplit_once(":uuid:").and_then(|(_, uuid)| uuid.parse().ok());
    let digests =
        ICRequest { header_digest: shape.digests, data_digest: shape.digests, ..ICRequest::default() };
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

/// For clap: seconds of a measurement.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("write seconds, from 0.01 to 86400".to_owned()),
    }
}

/// Whom nobody mistakes for a real host.
pub(crate) const HOST_NQN: &str = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-4333-8444-555555555555";
const WARM_UP_SECONDS: f64 = 0.5;
/// Large enough that filling is quick, small enough that one command is no stall.
const FILL_BYTES: u32 = 128 << 10;
const FILL_DEPTH: u16 = 16;
