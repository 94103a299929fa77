//! The side that asks: keeps requests in flight and notes each answer's time, a blocking thread per connection.

use std::{
    collections::VecDeque,
    io::{IoSlice, Read},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use hdrhistogram::Histogram;

use super::{
    exchange::{Exchange, Messages},
    serve::{RECEIVE_BYTES, write_slices},
};

/// One connection's load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) exchange: Exchange,
    pub(super) depth: u16,
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answers {
    /// In nanoseconds, of the measured time.
    pub(super) latencies: Histogram<u64>,
    /// Warm-up included.
    pub(super) count: u64,
}

/// Runs `connections` of them to their end.
pub(super) fn generate(address: SocketAddr, connections: u16, load: Load) -> Result<Answers> {
    let streams = (0..connections).map(|_| TcpStream::connect(address)).collect::<Result<Vec<_>, _>>()?;
    let threads: Vec<_> =
        streams.into_iter().map(|stream| thread::spawn(move || one(stream, load))).collect();
    let mut all = Answers { latencies: Histogram::new(3)?, count: 0 };
    for thread in threads {
        let answers = thread.join().map_err(|_| anyhow!("a generator thread panicked"))??;
        all.latencies.add(&answers.latencies)?;
        all.count += answers.count;
    }
    Ok(all)
}

/// Answers come in order, so one queue of send times is enough.
fn one(mut stream: TcpStream, load: Load) -> Result<Answers> {
    let Load { exchange, depth, warm_up, measured } = load;
    stream.set_nodelay(true)?;
    let largest = vec![0xa5; exchange.largest_request_bytes()];
    let request = |index| IoSlice::new(&largest[..exchange.request_bytes(index)]);
    let mut received = vec![0; RECEIVE_BYTES.max(exchange.largest_answer_bytes())];
    let mut answers = Messages::new(exchange.answer_bytes(0));
    let mut latencies = Histogram::new(3)?;
    let began = Instant::now();
    let mut sent_at = VecDeque::from(vec![began; depth.into()]);
    let mut sent = u64::from(depth);
    write_slices(&mut stream, (0..sent).map(request))?;
    loop {
        let count = stream.read(&mut received)?;
        ensure!(count > 0, "the server hung up");
        let now = Instant::now();
        let complete = answers.complete(count, |index| exchange.answer_bytes(index));
        let last = complete.end;
        let running = now - began;
        for _ in complete.clone() {
            let sent = sent_at.pop_front().context("more answers than requests")?;
            if running >= warm_up {
                latencies.record(u64::try_from((now - sent).as_nanos())?)?;
            }
            sent_at.push_back(now);
        }
        if running >= warm_up + measured {
            return Ok(Answers { latencies, count: last });
        }
        let next = sent..sent + (complete.end - complete.start);
        sent = next.end;
        write_slices(&mut stream, next.map(request))?;
    }
}
