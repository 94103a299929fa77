//! What kernel TCP alone allows: requests the size of a command capsule, answers the size of a read's, on plain
//! blocking sockets or on our own runtime, with nothing in between.

use std::{
    io::{IoSlice, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use dataplane::rt::{self, Buf, CoreId, Runtime, net};
use hdrhistogram::Histogram;
use rustix::thread::{CpuSet, sched_setaffinity};

/// A CapsuleCmd PDU without data.
const REQUEST_BYTES: usize = 72;
/// A C2HData PDU's header.
const HEADER_BYTES: usize = 24;
const RECEIVE_BYTES: usize = 256 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Payload bytes of each answer.
    #[arg(long, default_value_t = 4096)]
    bs: usize,
    /// Requests in flight.
    #[arg(long, default_value_t = 32)]
    qd: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 5)]
    time: u64,
    /// Serve with our runtime instead of blocking sockets: what the runtime itself costs.
    #[arg(long)]
    runtime: bool,
    /// Processor of the server (the load generator takes the next one).
    #[arg(long, default_value_t = 0)]
    cpu: usize,
}

/// Runs server and load generator in one process, one thread each, and prints a line.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (bs, cpu) = (options.bs, options.cpu);
    pin(cpu)?;
    let (address, keep) = if options.runtime { serve_runtime(bs)? } else { serve_blocking(bs)? };
    pin(cpu + 1)?;
    let latencies = generate(address, options)?;
    drop(keep);
    println!(
        "{} bs {bs} qd {}: {:.0} per second, p50 {:.1} us, p99 {:.1} us",
        if options.runtime { "runtime" } else { "raw" },
        options.qd,
        latencies.len() as f64 / options.time as f64,
        latencies.value_at_quantile(0.5) as f64 / 1e3,
        latencies.value_at_quantile(0.99) as f64 / 1e3,
    );
    Ok(())
}

/// Threads started afterwards inherit the processor.
fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("--cpu {cpu}: no such processor"))
}

fn serve_blocking(bs: usize) -> Result<(SocketAddr, Option<Runtime>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        // The generator hangs up when it is done.
        let _ = listener.accept().and_then(|(stream, _)| answer_blocking(stream, bs));
    });
    Ok((address, None))
}

fn answer_blocking(mut stream: TcpStream, bs: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let answer = vec![0x5a; HEADER_BYTES + bs];
    let mut received = vec![0; RECEIVE_BYTES];
    let mut partial = 0;
    loop {
        let count = stream.read(&mut received)?;
        if count == 0 {
            return Ok(());
        }
        let requests = (partial + count) / REQUEST_BYTES;
        partial = (partial + count) % REQUEST_BYTES;
        for batch in (0..requests).step_by(256) {
            let count = (requests - batch).min(256);
            let mut slices = vec![IoSlice::new(&answer); count];
            let mut left = &mut slices[..];
            while !left.is_empty() {
                let sent = stream.write_vectored(left)?;
                IoSlice::advance_slices(&mut left, sent);
            }
        }
    }
}

fn serve_runtime(bs: usize) -> Result<(SocketAddr, Option<Runtime>)> {
    let runtime = Runtime::start(1)?;
    let (tell, told) = std::sync::mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        let listener = net::TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        tell.send(listener.local_addr()).expect("the starter waits");
        let stream = listener.accept().await.expect("the generator connects");
        answer_runtime(&stream, bs).await;
    });
    Ok((told.recv()?, Some(runtime)))
}

async fn answer_runtime(stream: &net::TcpStream, bs: usize) {
    let mut received = Buf::alloc(RECEIVE_BYTES).await;
    let mut batch = Box::new(net::SendBatch::new());
    let mut partial = 0;
    loop {
        let (back, count) = stream.recv(received, 0..RECEIVE_BYTES).await;
        received = back;
        let Ok(count @ 1..) = count else { return };
        let mut requests = (partial + count) / REQUEST_BYTES;
        partial = (partial + count) % REQUEST_BYTES;
        while requests > 0 {
            while requests > 0 && batch.has_room(2, HEADER_BYTES) {
                batch.push_inline(&[0x5a; HEADER_BYTES]);
                batch.push_payload(Buf::alloc(bs).await);
                requests -= 1;
            }
            let (back, sent) = stream.send_all(batch).await;
            batch = back;
            if sent.is_err() {
                return;
            }
        }
        rt::yield_now().await;
    }
}

/// Keeps `qd` requests in flight and notes each answer's time. Answers come in order, so one queue of send times
/// is enough.
fn generate(address: SocketAddr, options: &Options) -> Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (timer, time) = (stop.clone(), Duration::from_secs(options.time));
    thread::spawn(move || {
        thread::sleep(time);
        timer.store(true, Ordering::Relaxed);
    });
    let answer_bytes = HEADER_BYTES + options.bs;
    let requests = vec![0; options.qd * REQUEST_BYTES];
    let mut sent_at = std::collections::VecDeque::from(vec![Instant::now(); options.qd]);
    let mut latencies = Histogram::new(3)?;
    let mut received = vec![0; RECEIVE_BYTES.max(answer_bytes)];
    let mut partial = 0;
    stream.write_all(&requests)?;
    while !stop.load(Ordering::Relaxed) {
        let count = stream.read(&mut received)?;
        anyhow::ensure!(count > 0, "the server hung up");
        let answers = (partial + count) / answer_bytes;
        partial = (partial + count) % answer_bytes;
        let now = Instant::now();
        for _ in 0..answers {
            let sent = sent_at.pop_front().context("more answers than requests")?;
            latencies.record(u64::try_from((now - sent).as_nanos())?)?;
            sent_at.push_back(now);
        }
        stream.write_all(&requests[..answers * REQUEST_BYTES])?;
    }
    Ok(latencies)
}
