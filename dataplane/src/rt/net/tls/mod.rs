//! TLS 1.3 with pre-shared keys over a socket (TCP §3.6.1): s2n-tls does the cryptography, the core's ring the I/O.
//!
//! Neither certificates nor resumption nor early data: a PSK is the only thing that lets a peer in.

mod hello;
mod session;

use std::{cell::RefCell, fmt, io, ops::Range, sync::Arc, task::Poll};

use nvmeof::tls::TlsPsk;
use s2n_tls::{
    callbacks::{ClientHelloCallback, ConnectionFuture},
    config::Config,
    connection::Connection,
    enums::Mode,
    error::Error,
    security::Policy,
};

use self::session::Session;
use super::{SendBatch, TcpStream};
use crate::rt::Buf;

/// Ciphertext that is received or sent at once, each: four of the largest records less a little, one io_uring
/// operation.
const WIRE_BYTES: usize = 64 << 10;
/// TLS 1.3 only; AES before ChaCha20, which is refused after the handshake.
const POLICY: &str = "AWS-CRT-SDK-TLSv1.3-2023";

/// Finds the key of an identity that a client offers.
pub type PskLookup = dyn Fn(&[u8]) -> Option<TlsPsk> + Send + Sync;

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No key that both sides have.
    #[error("the peer proved no known pre-shared key")]
    NoKey,
    #[error("the cipher suite {0} is not one of NVMe/TCP")]
    Suite(String),
    /// The peer broke the protocol, or has another key under the same identity.
    #[error("TLS: {0}")]
    Protocol(Error),
    #[error("the connection failed during the TLS handshake: {0}")]
    Socket(#[from] io::Error),
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        match error.application_error() {
            Some(_) => Self::NoKey,
            None => Self::Protocol(error),
        }
    }
}

/// The server's side: takes connections whose clients have a key that the lookup knows.
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Config,
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

impl TlsAcceptor {
    /// # Errors
    /// If the TLS library cannot be set up.
    pub fn new(lookup: Arc<PskLookup>) -> Result<Self, TlsError> {
        let mut builder = Config::builder();
        builder.set_security_policy(&Policy::from_version(POLICY)?)?;
        builder.set_client_hello_callback(ChoosePsk(lookup))?;
        Ok(Self { config: builder.build()? })
    }

    /// Whether bytes that a client sends first are TLS: a handshake record (RFC 8446 §5.1), which no PDU begins like.
    pub fn is_tls(first_byte: u8) -> bool {
        const HANDSHAKE: u8 = 0x16;
        first_byte == HANDSHAKE
    }

    /// Shakes hands with a client that has sent `received` already, at most 64 KiB.
    ///
    /// # Errors
    /// If the client does not prove to have a known key. It is told nothing of the reason.
    pub async fn accept(&self, tcp: TcpStream, received: &[u8]) -> Result<TlsStream, TlsError> {
        let session = Session::new(Mode::Server, &self.config)?;
        session.take_received(received);
        TlsStream::shake_hands(tcp, session).await
    }
}

/// Gives a server connection the first offered key that is known.
struct ChoosePsk(Arc<PskLookup>);

impl ClientHelloCallback for ChoosePsk {
    fn on_client_hello(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<std::pin::Pin<Box<dyn ConnectionFuture>>>, Error> {
        let hello = connection.client_hello()?.raw_message()?;
        let offered = hello::offered_identities(&hello);
        let found = offered.into_iter().find_map(|identity| Some((identity, (self.0)(identity)?)));
        // Refused here, before a point is multiplied for somebody unknown.
        let (identity, psk) = found.ok_or_else(|| Error::application(Box::new(TlsError::NoKey)))?;
        session::append(connection, identity, &psk)?;
        Ok(None)
    }
}

/// Connects as a client that offers `psks`, best first.
///
/// # Errors
/// If the server takes none of them.
pub async fn connect(tcp: TcpStream, psks: &[(String, TlsPsk)]) -> Result<TlsStream, TlsError> {
    let mut builder = Config::builder();
    builder.set_security_policy(&Policy::from_version(POLICY)?)?;
    builder.with_system_certs(false)?;
    let mut session = Session::new(Mode::Client, &builder.build()?)?;
    for (identity, psk) in psks {
        session.offer(identity.as_bytes(), psk)?;
    }
    TlsStream::shake_hands(tcp, session).await
}

/// A connection after its handshake; used as a [`TcpStream`] is. At most one receive and one send at a time.
#[derive(Debug)]
pub struct TlsStream {
    tcp: TcpStream,
    session: RefCell<Session>,
    identity: Vec<u8>,
}

impl TlsStream {
    async fn shake_hands(tcp: TcpStream, mut session: Session) -> Result<Self, TlsError> {
        loop {
            let done = session.negotiate();
            flush(&tcp, || session.lend_outbound(), |buffer| session.return_outbound(buffer)).await?;
            match done {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    let (buffer, received) = tcp.recv_bytes(session.lend_inbound()).await;
                    session.return_inbound(buffer, received?);
                    continue;
                }
            }
            let identity = session.agreed_identity()?;
            return Ok(Self { tcp, session: RefCell::new(session), identity });
        }
    }

    /// The identity of the PSK that the peer proved to have.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// As [`TcpStream::recv`], in plaintext.
    pub async fn recv(&self, mut buf: Buf, range: Range<usize>) -> (Buf, io::Result<usize>) {
        loop {
            let decrypted = self.session.borrow_mut().decrypt(&mut buf[range.clone()]);
            if let Poll::Ready(result) = decrypted {
                return (buf, result);
            }
            let inbound = self.session.borrow().lend_inbound();
            let (inbound, received) = self.tcp.recv_bytes(inbound).await;
            let count = match received {
                Ok(count) => count,
                Err(error) => return (buf, Err(error)),
            };
            self.session.borrow().return_inbound(inbound, count);
        }
    }

    /// As [`TcpStream::send_all`], in plaintext.
    pub async fn send_all(&self, mut batch: Box<SendBatch>) -> (Box<SendBatch>, io::Result<()>) {
        while !batch.is_empty() {
            if let Err(error) = self.encrypt(&mut batch) {
                return (batch, Err(error));
            }
            let lend = || self.session.borrow().lend_outbound();
            let sent = flush(&self.tcp, lend, |buffer| self.session.borrow().return_outbound(buffer)).await;
            match sent {
                Ok(true) => {}
                // A send that was given up took the buffer along: what it sent of a record nobody knows.
                Ok(false) => return (batch, Err(io::ErrorKind::ConnectionAborted.into())),
                Err(error) => return (batch, Err(error)),
            }
        }
        (batch, Ok(()))
    }

    /// Encrypts what of the batch fits one send, in records as full as they can be.
    fn encrypt(&self, batch: &mut SendBatch) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while !batch.is_empty() && session.has_room() {
            let (count, full) = session.gather(batch.front());
            batch.advance(count);
            if full || batch.is_empty() {
                session.seal()?;
            }
        }
        Ok(())
    }

    /// As [`TcpStream::shutdown`], after close_notify if the socket takes it at once.
    pub fn shutdown(&self) {
        let mut session = self.session.borrow_mut();
        session.close();
        if let Some((buffer, count)) = session.lend_outbound() {
            self.tcp.send_now(&buffer[..count]);
            session.return_outbound(buffer);
        }
        self.tcp.shutdown();
    }

    /// The socket beneath.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

/// Sends what the session wrote, if anything. `lend` and `take_back` borrow it for a moment only: a receive goes on meanwhile.
async fn flush(
    tcp: &TcpStream,
    lend: impl FnOnce() -> Option<(Box<[u8]>, usize)>,
    take_back: impl FnOnce(Box<[u8]>),
) -> io::Result<bool> {
    let Some((buffer, count)) = lend() else { return Ok(false) };
    let (buffer, sent) = tcp.send_bytes(buffer, count).await;
    take_back(buffer);
    sent.map(|()| true)
}
