//! TCP over the core's ring.

mod arrival;
mod batch;
mod stream;
pub mod tls;

use std::{
    io,
    net::SocketAddr,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use self::arrival::{Arrival, Later};
pub use self::batch::SendBatch;
pub(super) use self::batch::{SocketAddress, owned_fd};
pub use self::stream::Stream;
use super::{
    Buf, Nanos, now,
    uring::{Op, Resource},
};
use crate::limits;

/// A listening socket. `Send` until its core takes it.
#[derive(Debug)]
pub struct TcpListener {
    fd: OwnedFd,
    local: SocketAddr,
}

/// A connected socket. It may be handed to another core (as a value in [`spawn_on`](super::spawn_on)) while no
/// operation is under way. At most one receive and one send may be in flight at a time.
#[derive(Debug)]
pub struct TcpStream {
    fd: OwnedFd,
    arrival: Arrival,
}

impl TcpListener {
    /// Binds and listens. An address can be bound again at once after a kill. Blocks for a few seconds where
    /// another process holds the address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let fd = bind_patiently(&address)?;
        let local = SocketAddr::try_from(rustix::net::getsockname(&fd)?)?;
        Ok(Self { fd, local })
    }

    /// The bound address, with the port that the kernel chose if 0 was asked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub async fn accept(&self) -> io::Result<TcpStream> {
        let (resource, result) = Op::accept(self.fd.as_fd()).await;
        check(result)?;
        let Resource::Accepted(fd) = resource else { unreachable!("success gives a connection") };
        TcpStream::new(fd)
    }
}

impl TcpStream {
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let fd = socket_for(&address)?;
        let (_, result) = Op::connect(fd.as_fd(), Box::new(SocketAddress::new(address))).await;
        check(result)?;
        Self::new(fd)
    }

    fn new(fd: OwnedFd) -> io::Result<Self> {
        // Answers are gathered by us; waiting for more would only delay them.
        sockopt::set_tcp_nodelay(&fd, true)?;
        Ok(Self { fd, arrival: Arrival::default() })
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(rustix::net::getpeername(&self.fd)?.ok_or(io::ErrorKind::NotConnected)?)?)
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(rustix::net::getsockname(&self.fd)?)?)
    }

    /// Receives into `buf[range]`, as much as is there; 0 bytes is the end of the stream.
    pub async fn recv(&self, buf: Buf, range: Range<usize>) -> (Buf, io::Result<usize>) {
        let asked = range.len();
        let (resource, received) = self.receive(asked, Op::receive(self.fd.as_fd(), buf, range)).await;
        let Resource::Buf(buf) = resource else { unreachable!("a receive gives its buffer back") };
        (buf, received)
    }

    /// Nothing that the last receive brought came to the socket before.
    fn received_since(&self) -> Nanos {
        self.arrival.received_since()
    }

    /// Sends all of a batch; it comes back empty, its buffers given up, or as it was when the socket failed.
    pub async fn send_all(&self, mut batch: Box<SendBatch>) -> (Box<SendBatch>, io::Result<()>) {
        while !batch.is_empty() {
            let (resource, result) = Op::send(self.fd.as_fd(), batch).await;
            let Resource::Batch(back) = resource else { unreachable!("a send gives its batch back") };
            batch = back;
            match check(result) {
                Ok(count) => batch.advance(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (batch, Err(error)),
            }
        }
        (batch, Ok(()))
    }

    /// Receives ciphertext, as much as is there and fits.
    async fn recv_bytes(&self, bytes: Box<[u8]>) -> (Box<[u8]>, io::Result<usize>) {
        let asked = bytes.len();
        let (resource, received) = self.receive(asked, Op::receive_bytes(self.fd.as_fd(), bytes)).await;
        let Resource::Bytes(bytes) = resource else { unreachable!("a receive gives its buffer back") };
        (bytes, received)
    }

    async fn receive(&self, asked: usize, mut operation: Op<'_>) -> (Resource, io::Result<usize>) {
        let (resource, result) = (&mut operation).await;
        let received = check(result);
        if let Ok(count @ 1..) = received {
            self.arrival.received(asked, count, operation.collection(), || self.look());
        }
        (resource, received)
    }

    /// How much the socket holds.
    fn look(&self) -> Option<Later> {
        let from = now();
        let after_bytes = rustix::io::ioctl_fionread(&self.fd).ok()?;
        Some(Later { after_bytes, from })
    }

    /// Sends the first `count` bytes.
    async fn send_bytes(&self, mut bytes: Box<[u8]>, count: usize) -> (Box<[u8]>, io::Result<()>) {
        let mut at = 0;
        while at < count {
            let (resource, result) = Op::send_bytes(self.fd.as_fd(), bytes, at..count).await;
            let Resource::Bytes(back) = resource else { unreachable!("a send gives its buffer back") };
            bytes = back;
            match check(result) {
                Ok(sent) => at += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (bytes, Err(error)),
            }
        }
        (bytes, Ok(()))
    }

    /// Sends what the socket takes without waiting, for a last word before [`shutdown`](Self::shutdown).
    fn send_now(&self, bytes: &[u8]) {
        use rustix::net::SendFlags;
        // Whether it arrives makes no difference to us.
        let _ = rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    /// Ends both directions: a receive under way answers 0, a send fails. The socket stays open until dropped.
    pub fn shutdown(&self) {
        // A peer that has gone already is just what is wanted.
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
    }
}

/// The kernel ends a killed server's io_uring requests, and with them its listening sockets, some time after the
/// process: a restart has to outwait that.
fn bind_patiently(address: &SocketAddr) -> io::Result<OwnedFd> {
    let deadline = Instant::now() + BIND_PATIENCE;
    loop {
        // A socket whose listen failed is bound already: each attempt takes a new one.
        let fd = socket_for(address)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        let bound =
            rustix::net::bind(&fd, address).and_then(|()| rustix::net::listen(&fd, limits::LISTEN_BACKLOG));
        match bound {
            Ok(()) => return Ok(fd),
            Err(rustix::io::Errno::ADDRINUSE) if Instant::now() < deadline => thread::sleep(BIND_RETRY),
            Err(error) => return Err(error.into()),
        }
    }
}

const BIND_PATIENCE: Duration = Duration::from_secs(5);
const BIND_RETRY: Duration = Duration::from_millis(20);

fn socket_for(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

fn check(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}
