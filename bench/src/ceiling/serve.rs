//! The side that answers: on plain blocking sockets, a thread per connection, or on our own runtime.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use dataplane::rt::{self, Buf, CoreId, Runtime, net};
use rustix::time::{ClockId, clock_gettime};

use super::exchange::{Exchange, Messages};

pub(super) const RECEIVE_BYTES: usize = 256 << 10;
/// Slices of one write.
const SLICES: usize = 512;

/// A server that takes `connections`, and then waits for their ends.
pub(super) enum Server {
    Blocking(JoinHandle<Result<Duration>>),
    Runtime { _kept: Runtime },
}

impl Server {
    pub(super) fn blocking(exchange: Exchange, connections: u16) -> Result<(SocketAddr, Self)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let accept = move || {
            let threads = (0..connections)
                .map(|_| {
                    let (stream, _) = listener.accept()?;
                    Ok(thread::spawn(move || answer(stream, exchange).map(|()| thread_cpu())))
                })
                .collect::<io::Result<Vec<_>>>()?;
            let mut total = Duration::ZERO;
            for thread in threads {
                total += thread.join().map_err(|_| anyhow!("a server thread panicked"))??;
            }
            Ok(total)
        };
        Ok((address, Self::Blocking(thread::spawn(accept))))
    }

    pub(super) fn on_runtime(exchange: Exchange, connections: u16) -> Result<(SocketAddr, Self)> {
        let runtime = Runtime::start(1)?;
        let (tell, told) = std::sync::mpsc::channel();
        runtime.handle().spawn_on(CoreId(0), move || async move {
            let listener = net::TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
            tell.send(listener.local_addr()).expect("the starter waits");
            for _ in 0..connections {
                let stream = listener.accept().await.expect("the generator connects");
                rt::spawn(async move { answer_on_runtime(&stream, exchange).await });
            }
        });
        Ok((told.recv()?, Self::Runtime { _kept: runtime }))
    }

    /// CPU time of all its threads, once every connection has ended; not known of the runtime's.
    pub(super) fn cpu(self) -> Result<Option<Duration>> {
        match self {
            Self::Blocking(thread) => {
                thread.join().map_err(|_| anyhow!("the server panicked"))?.context("the server").map(Some)
            }
            Self::Runtime { .. } => Ok(None),
        }
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn answer(mut stream: TcpStream, exchange: Exchange) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let largest = vec![0x5a; exchange.largest_answer_bytes()];
    let mut received = vec![0; RECEIVE_BYTES];
    let mut requests = Messages::new(exchange.request_bytes(0));
    loop {
        let count = match stream.read(&mut received) {
            Ok(count @ 1..) => count,
            // The generator hangs up when it is done, with answers still on their way.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        };
        let complete = requests.complete(count, |index| exchange.request_bytes(index));
        let answers = complete.map(|index| IoSlice::new(&largest[..exchange.answer_bytes(index)]));
        match write_slices(&mut stream, answers) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
}

/// Writes all of them, as many as go in one call.
pub(super) fn write_slices<'a>(
    stream: &mut TcpStream,
    mut slices: impl Iterator<Item = IoSlice<'a>>,
) -> io::Result<()> {
    let mut some: Vec<_> = Vec::with_capacity(SLICES);
    loop {
        some.clear();
        some.extend(slices.by_ref().take(SLICES));
        let mut left = &mut some[..];
        if left.is_empty() {
            return Ok(());
        }
        while !left.is_empty() {
            let sent = stream.write_vectored(left)?;
            IoSlice::advance_slices(&mut left, sent);
        }
    }
}

async fn answer_on_runtime(stream: &net::TcpStream, exchange: Exchange) {
    let mut received = Buf::alloc(RECEIVE_BYTES).await;
    let mut batch = Box::new(net::SendBatch::new());
    let mut requests = Messages::new(exchange.request_bytes(0));
    loop {
        let (back, count) = stream.recv(received, 0..RECEIVE_BYTES).await;
        received = back;
        let Ok(count @ 1..) = count else { return };
        let mut complete = requests.complete(count, |index| exchange.request_bytes(index)).peekable();
        while complete.peek().is_some() {
            while batch.has_room(2, HEADER_BYTES)
                && let Some(index) = complete.next()
            {
                batch.push_inline(&[0x5a; HEADER_BYTES]);
                batch.push_payload(Buf::alloc(exchange.answer_bytes(index) - HEADER_BYTES).await);
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

const HEADER_BYTES: usize = 24;
