//! A connection as its users see it: plain, or inside TLS.

use std::{io, ops::Range};

use super::{SendBatch, TcpStream, tls::TlsStream};
use crate::rt::{Buf, Nanos};

/// A connected stream. At most one receive and one send may be in flight at a time.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Receives into `buf[range]`, as much as is there; 0 bytes is the end of the stream.
    pub async fn recv(&self, buf: Buf, range: Range<usize>) -> (Buf, io::Result<usize>) {
        match self {
            Self::Plain(tcp) => tcp.recv(buf, range).await,
            Self::Tls(tls) => tls.recv(buf, range).await,
        }
    }

    /// A lower bound of when the bytes of the last receive came: see [`Arrival`](super::arrival::Arrival).
    pub fn received_since(&self) -> Nanos {
        match self {
            Self::Plain(tcp) => tcp.received_since(),
            // What it brought was decrypted from its socket's last receive, or from an earlier one's leftover that is
            // read before there is another.
            Self::Tls(tls) => tls.tcp().received_since(),
        }
    }

    /// Sends all of a batch; it comes back empty, its buffers given up, or as it was when the stream failed.
    pub async fn send_all(&self, batch: Box<SendBatch>) -> (Box<SendBatch>, io::Result<()>) {
        match self {
            Self::Plain(tcp) => tcp.send_all(batch).await,
            Self::Tls(tls) => tls.send_all(batch).await,
        }
    }

    /// Ends both directions: a receive under way answers 0, a send fails. The socket stays open until dropped.
    pub fn shutdown(&self) {
        match self {
            Self::Plain(tcp) => tcp.shutdown(),
            Self::Tls(tls) => tls.shutdown(),
        }
    }
}
