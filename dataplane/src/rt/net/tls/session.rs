//! s2n-tls over buffers: what it reads was received before, what it writes is sent afterwards.
#![expect(unsafe_code, reason = "s2n-tls reaches its buffers through a pointer given to C callbacks")]

use std::{
    cell::RefCell,
    ffi::c_void,
    io,
    ptr::NonNull,
    task::{Poll, Waker},
};

use nvmeof::tls::{PskHash, TlsPsk};
use s2n_tls::{
    config::Config,
    connection::Connection,
    enums::{Blinding, Mode, PskHmac, Version},
    error::{Error, ErrorType},
    psk::Psk,
};

use super::{TlsError, WIRE_BYTES};

/// The largest record's payload (RFC 8446 §5.1).
pub(super) const RECORD_BYTES: usize = 16 << 10;
/// A record's header, content type and tag, and a KeyUpdate record that may come before it.
const OVERHEAD_BYTES: usize = 256;

/// One end of a TLS connection, without its socket.
pub(super) struct Session {
    connection: Connection,
    /// Shared with the callbacks, which run within calls of `connection` only. Freed after it.
    wire: NonNull<RefCell<Wire>>,
    /// Small pieces on their way into one record.
    record: Vec<u8>,
}

// SAFETY: the wire belongs to this session alone; whoever has the session, on whatever thread, has both.
unsafe impl Send for Session {}

/// Ciphertext, both ways.
struct Wire {
    /// `None` while a receive fills it.
    inbound: Option<Box<[u8]>>,
    /// Received and not yet read: `[at, end)`.
    at: usize,
    end: usize,
    /// The peer sends no more.
    ended: bool,
    /// `None` while it is being sent.
    outbound: Option<Box<[u8]>>,
    written: usize,
}

impl Wire {
    fn read(&mut self, into: &mut [u8]) -> Poll<usize> {
        let Some(inbound) = self.inbound.as_ref().filter(|_| self.at < self.end) else {
            return if self.ended { Poll::Ready(0) } else { Poll::Pending };
        };
        let count = into.len().min(self.end - self.at);
        into[..count].copy_from_slice(&inbound[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(count)
    }

    fn write(&mut self, from: &[u8]) -> Poll<usize> {
        let Some(outbound) = &mut self.outbound else { return Poll::Pending };
        let count = from.len().min(outbound.len() - self.written);
        outbound[self.written..self.written + count].copy_from_slice(&from[..count]);
        self.written += count;
        if count == 0 { Poll::Pending } else { Poll::Ready(count) }
    }
}

impl Session {
    pub(super) fn new(mode: Mode, config: &Config) -> Result<Self, TlsError> {
        let buffer = || Some(vec![0; WIRE_BYTES].into_boxed_slice());
        let wire = Wire { inbound: buffer(), at: 0, end: 0, ended: false, outbound: buffer(), written: 0 };
        let wire = NonNull::from(Box::leak(Box::new(RefCell::new(wire))));
        let record = Vec::with_capacity(RECORD_BYTES);
        let mut session = Self { connection: Connection::new(mode), wire, record };
        let context = wire.as_ptr().cast();
        let connection = &mut session.connection;
        connection.set_config(config.clone())?;
        // A failed connection is dropped at once: there is nothing to be timed.
        connection.set_blinding(Blinding::SelfService)?;
        // The client-hello callback answers at once: nothing is ever woken, but s2n-tls asks for somebody to wake.
        connection.set_waker(Some(Waker::noop()))?;
        connection.prefer_throughput()?;
        connection.set_receive_callback(Some(receive))?.set_send_callback(Some(send))?;
        // SAFETY: the wire is freed in drop, after which the connection makes no call any more.
        unsafe { connection.set_receive_context(context)?.set_send_context(context)? };
        Ok(session)
    }

    /// Offers a PSK.
    pub(super) fn offer(&mut self, identity: &[u8], psk: &TlsPsk) -> Result<(), TlsError> {
        Ok(append(&mut self.connection, identity, psk)?)
    }

    /// Goes on with the handshake as far as what was received allows.
    pub(super) fn negotiate(&mut self) -> Poll<Result<(), TlsError>> {
        self.connection.poll_negotiate().map(|result| result.map(drop).map_err(TlsError::from))
    }

    /// The identity of the PSK that both sides proved to have.
    ///
    /// # Errors
    /// If the handshake ended without one, or below TLS 1.3, or with a cipher suite that NVMe/TCP does not name.
    pub(super) fn agreed_identity(&self) -> Result<Vec<u8>, TlsError> {
        let mut identity = vec![0; self.connection.negotiated_psk_identity_length()?];
        if identity.is_empty() || self.connection.actual_protocol_version()? != Version::TLS13 {
            return Err(TlsError::NoKey);
        }
        let suite = self.connection.cipher_suite()?;
        if !SUITES.contains(&suite) {
            return Err(TlsError::Suite(suite.to_owned()));
        }
        self.connection.negotiated_psk_identity(&mut identity)?;
        Ok(identity)
    }

    /// Decrypts into `into` as much as was received; 0 at the peer's close_notify.
    pub(super) fn decrypt(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut count = 0;
        while count < into.len() {
            match self.connection.poll_recv(&mut into[count..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(count)),
                Poll::Ready(Ok(more)) => count += more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(failure(error))),
                Poll::Pending if count == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Whether one more record fits the buffer of what is to be sent.
    pub(super) fn has_room(&self) -> bool {
        let wire = self.wire().borrow();
        wire.outbound
            .as_ref()
            .is_some_and(|buffer| buffer.len() - wire.written >= RECORD_BYTES + OVERHEAD_BYTES)
    }

    /// Adds a piece to the present record, or a part of it; whether it is full now.
    pub(super) fn gather(&mut self, piece: &[u8]) -> (usize, bool) {
        let count = piece.len().min(RECORD_BYTES - self.record.len());
        self.record.extend_from_slice(&piece[..count]);
        (count, self.record.len() == RECORD_BYTES)
    }

    /// Encrypts the present record, for which there must be room.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        let mut at = 0;
        while at < self.record.len() {
            match self.connection.poll_send(&self.record[at..]) {
                Poll::Ready(Ok(count)) => at += count,
                Poll::Ready(Err(error)) => return Err(failure(error)),
                Poll::Pending => return Err(io::ErrorKind::OutOfMemory.into()),
            }
        }
        self.record.clear();
        Ok(())
    }

    /// Writes close_notify, if nothing else is being sent.
    pub(super) fn close(&mut self) {
        // A peer that gets none sees the connection end.
        let _ = self.connection.poll_shutdown_send();
    }

    /// Lends the buffer to receive into. All that was in it was read.
    pub(super) fn lend_inbound(&self) -> Box<[u8]> {
        let mut wire = self.wire().borrow_mut();
        debug_assert_eq!(wire.at, wire.end, "s2n-tls reads all that it is given");
        // A receive that was given up took the buffer along.
        wire.inbound.take().unwrap_or_else(|| vec![0; WIRE_BYTES].into_boxed_slice())
    }

    /// Takes it back with `count` received bytes; 0 is the end of the stream.
    pub(super) fn return_inbound(&self, buffer: Box<[u8]>, count: usize) {
        let mut wire = self.wire().borrow_mut();
        wire.inbound = Some(buffer);
        (wire.at, wire.end) = (0, count);
        wire.ended = count == 0;
    }

    /// Takes bytes that were received before there was a session.
    ///
    /// # Panics
    /// If they do not fit the buffer.
    pub(super) fn take_received(&self, bytes: &[u8]) {
        let mut buffer = self.lend_inbound();
        buffer[..bytes.len()].copy_from_slice(bytes);
        self.return_inbound(buffer, bytes.len());
    }

    /// Lends what is to be sent, if there is any.
    pub(super) fn lend_outbound(&self) -> Option<(Box<[u8]>, usize)> {
        let mut wire = self.wire().borrow_mut();
        let count = wire.written;
        (count > 0).then(|| wire.outbound.take()).flatten().map(|buffer| (buffer, count))
    }

    /// Takes it back when it was sent.
    pub(super) fn return_outbound(&self, buffer: Box<[u8]>) {
        let mut wire = self.wire().borrow_mut();
        wire.outbound = Some(buffer);
        wire.written = 0;
    }

    fn wire(&self) -> &RefCell<Wire> {
        // SAFETY: made in `new`, freed in drop; only ever used by shared reference.
        unsafe { self.wire.as_ref() }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The connection, which is dropped later, is not to call back any more.
        let cleared = self.connection.set_receive_callback(None).and_then(|c| c.set_send_callback(None));
        if cleared.is_ok() {
            // SAFETY: made by Box::leak in `new`; no callback can reach it now.
            drop(unsafe { Box::from_raw(self.wire.as_ptr()) });
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// The cipher suites of NVMe/TCP (TCP §3.6.1.2), by s2n-tls' names.
const SUITES: [&str; 2] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"];

/// Lets a connection use a PSK.
pub(super) fn append(connection: &mut Connection, identity: &[u8], psk: &TlsPsk) -> Result<(), Error> {
    let mut builder = Psk::builder()?;
    builder.set_identity(identity)?.set_secret(psk.bytes())?.set_hmac(match psk.hash {
        PskHash::Sha256 => PskHmac::SHA256,
        PskHash::Sha384 => PskHmac::SHA384,
    })?;
    connection.append_psk(&builder.build()?)
}

/// An error of s2n-tls as the socket's users see it.
fn failure(error: Error) -> io::Error {
    match error.kind() {
        ErrorType::ConnectionClosed => io::ErrorKind::ConnectionAborted.into(),
        _ => io::Error::new(io::ErrorKind::InvalidData, TlsError::from(error)),
    }
}

/// s2n-tls reads ciphertext.
unsafe extern "C" fn receive(context: *mut c_void, buffer: *mut u8, len: u32) -> i32 {
    // SAFETY: `context` is the session's wire, and s2n-tls lends `len` bytes of its own to be written.
    let (wire, into) =
        unsafe { (&*context.cast::<RefCell<Wire>>(), std::slice::from_raw_parts_mut(buffer, len as usize)) };
    answer(wire.borrow_mut().read(into))
}

/// s2n-tls writes ciphertext.
unsafe extern "C" fn send(context: *mut c_void, buffer: *const u8, len: u32) -> i32 {
    // SAFETY: `context` is the session's wire, and s2n-tls lends `len` bytes of its own to be read.
    let (wire, from) =
        unsafe { (&*context.cast::<RefCell<Wire>>(), std::slice::from_raw_parts(buffer, len as usize)) };
    answer(wire.borrow_mut().write(from))
}

/// A count, or that it would block.
fn answer(count: Poll<usize>) -> i32 {
    if let Poll::Ready(count) = count {
        return i32::try_from(count).expect("less than the buffer");
    }
    // SAFETY: the C library's own errno, of this thread.
    unsafe { *libc::__errno_location() = libc::EAGAIN };
    -1
}
