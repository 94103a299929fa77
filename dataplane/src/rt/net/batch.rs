//! What one send gathers, in the form that the kernel takes.
#![expect(unsafe_code, reason = "I/O vectors and socket addresses are handed to the kernel by address")]

use std::{
    net::SocketAddr,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use rustix::net::{SocketAddrAny, addr::SocketAddrArg};

use crate::{limits, rt::Buf};

/// Bytes on their way to a socket: small ones copied in, payload by reference. Everything added stays owned here
/// until the kernel has taken it. Reused from send to send, it allocates nothing.
pub struct SendBatch {
    /// Copied bytes; its capacity is fixed, so that their addresses are, too.
    inline: Vec<u8>,
    pieces: Vec<Piece>,
    /// Pieces `[0, sent)` are gone; the first one left may be cut.
    sent: usize,
    len_bytes: usize,
    vectors: Vec<libc::iovec>,
    message: Box<libc::msghdr>,
}

enum Piece {
    Inline { start: usize, end: usize },
    Payload(Buf),
}

/// Room for copied bytes: 512 pieces of a header and digests each.
const INLINE_BYTES: usize = limits::SEND_PIECES * 64;

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SendBatch({} bytes in {} pieces)", self.len_bytes, self.pieces.len() - self.sent)
    }
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl SendBatch {
    pub fn new() -> Self {
        // SAFETY: all-zero is msghdr's empty value: null pointers with zero lengths.
        let message: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        Self {
            inline: Vec::with_capacity(INLINE_BYTES),
            pieces: Vec::with_capacity(limits::SEND_PIECES),
            sent: 0,
            len_bytes: 0,
            vectors: Vec::with_capacity(limits::SEND_PIECES),
            message,
        }
    }

    /// Bytes not sent yet.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// Whether `pieces` more pieces with `inline_bytes` of copied bytes in all can still be added.
    pub fn has_room(&self, pieces: usize, inline_bytes: usize) -> bool {
        self.pieces.len() + pieces <= limits::SEND_PIECES && self.inline.len() + inline_bytes <= INLINE_BYTES
    }

    /// Adds a copy of `bytes`.
    ///
    /// # Panics
    /// Without room, see [`has_room`](Self::has_room).
    pub fn push_inline(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        assert!(self.inline.len() + bytes.len() <= INLINE_BYTES, "the batch has no room");
        let start = self.inline.len();
        self.inline.extend_from_slice(bytes);
        let end = self.inline.len();
        self.len_bytes += bytes.len();
        // Neighbours become one piece: fewer vectors for the kernel.
        if let Some(Piece::Inline { end: last, .. }) = self.pieces.last_mut()
            && *last == start
        {
            *last = end;
            return;
        }
        assert!(self.pieces.len() < limits::SEND_PIECES, "the batch has no room");
        self.pieces.push(Piece::Inline { start, end });
    }

    /// Adds payload by reference; the buffer is given up when it is sent.
    ///
    /// # Panics
    /// Without room, see [`has_room`](Self::has_room).
    pub fn push_payload(&mut self, buf: Buf) {
        if buf.is_empty() {
            return;
        }
        assert!(self.pieces.len() < limits::SEND_PIECES, "the batch has no room");
        self.len_bytes += buf.len();
        self.pieces.push(Piece::Payload(buf));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.inline.clear();
        self.pieces.clear();
        self.sent = 0;
        self.len_bytes = 0;
    }

    /// The first bytes not sent yet that lie together; none if the batch is empty.
    pub(in crate::rt) fn front(&self) -> &[u8] {
        match self.pieces.get(self.sent) {
            Some(Piece::Inline { start, end }) => &self.inline[*start..*end],
            Some(Piece::Payload(buf)) => buf,
            None => &[],
        }
    }

    /// Takes `count` sent bytes off the front.
    pub(in crate::rt) fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len_bytes, "sent more than there was");
        self.len_bytes -= count;
        if self.len_bytes == 0 {
            self.clear();
            return;
        }
        while count > 0 {
            let piece = &mut self.pieces[self.sent];
            let len = piece.len();
            if len > count {
                piece.cut_front(count);
                return;
            }
            count -= len;
            // The buffer is free as soon as its last byte is with the kernel.
            *piece = Piece::Inline { start: 0, end: 0 };
            self.sent += 1;
        }
    }

    /// The message for sendmsg. It points into this batch's heap memory, which stays put until the batch changes.
    pub(in crate::rt) fn as_message(&mut self) -> *const libc::msghdr {
        self.vectors.clear();
        for piece in &self.pieces[self.sent..] {
            let (base, len) = match piece {
                Piece::Inline { start, end } => (self.inline[*start..*end].as_ptr(), end - start),
                Piece::Payload(buf) => (buf.as_ptr(), buf.len()),
            };
            self.vectors.push(libc::iovec { iov_base: base.cast_mut().cast(), iov_len: len });
        }
        self.message.msg_iov = self.vectors.as_mut_ptr();
        self.message.msg_iovlen = self.vectors.len();
        &raw const *self.message
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Inline { start, end } => end - start,
            Self::Payload(buf) => buf.len(),
        }
    }

    fn cut_front(&mut self, count: usize) {
        match self {
            Self::Inline { start, .. } => *start += count,
            Self::Payload(buf) => drop(buf.split_to(count)),
        }
    }
}

/// A socket address as the kernel reads it.
#[derive(Debug)]
pub(in crate::rt) struct SocketAddress(SocketAddrAny);

impl SocketAddress {
    pub(in crate::rt) fn new(address: SocketAddr) -> Self {
        Self(address.as_any())
    }

    /// Address and length, valid while this value stays where it is.
    pub(in crate::rt) fn as_kernel_parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        (self.0.as_ptr().cast(), self.0.addr_len())
    }
}

/// Takes over a descriptor that accept returned.
pub(in crate::rt) fn owned_fd(raw: RawFd) -> OwnedFd {
    assert!(raw >= 0, "an error is no descriptor");
    // SAFETY: the kernel has just made it for us and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
