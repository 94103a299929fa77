//! Single operations: each submits memory it owns, and gives it back with the result.

use std::{
    future::Future,
    marker::PhantomData,
    ops::Range,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use io_uring::{opcode, squeue, types};
use slab::Slab;

use super::{Turns, Uring};
use crate::rt::{
    Buf, Nanos,
    core::{self, Driver},
    net::{SendBatch, SocketAddress, owned_fd},
};

/// What an operation lends to the kernel.
#[derive(Debug)]
pub(in crate::rt) enum Resource {
    Nothing,
    Buf(Buf),
    Batch(Box<SendBatch>),
    Bytes(Box<[u8]>),
    Address {
        _held: Box<SocketAddress>,
    },
    /// The kernel is to give a connection: [`complete`] makes it [`Accepted`](Self::Accepted).
    Accepting,
    /// Closed when nobody takes it.
    Accepted(OwnedFd),
}

impl Resource {
    /// With what the kernel gave, so that it is owned whoever waits for it.
    fn with(self, result: i32) -> Self {
        match self {
            Self::Accepting if result >= 0 => Self::Accepted(owned_fd(result)),
            other => other,
        }
    }
}

pub(super) enum OpState {
    /// Submitted; the resource is the kernel's.
    InFlight { resource: Resource, waker: Option<Waker> },
    /// Submitted, and nobody waits any more: the resource is dropped when the kernel is done.
    Abandoned { resource: Resource },
    /// The kernel is done; the future takes both.
    Done { resource: Resource, result: i32, turns: Turns },
}

/// When the kernel carried out an operation.
#[derive(Debug, Clone, Copy)]
pub(in crate::rt) struct Collection {
    /// Not before this.
    pub(in crate::rt) after: Nanos,
    /// At this time it had been submitted or was just being, and was not ready. `None`: that is not known of any time.
    pub(in crate::rt) not_ready_at: Option<Nanos>,
}

/// An operation under way. Resolves to its resource and the kernel's result (a count, or a negative errno).
///
/// Dropping it abandons the operation, which still runs to its end in the kernel with memory that stays owned.
#[must_use = "futures do nothing unless awaited"]
pub(in crate::rt) struct Op<'fd> {
    key: usize,
    /// The turn before it.
    started: Turns,
    /// The entry names the descriptor by number until it is submitted: it must not be closed before.
    fd: PhantomData<BorrowedFd<'fd>>,
}

pub(super) fn complete(ops: &mut Slab<OpState>, key: usize, result: i32, turns: Turns) {
    let state = ops.get_mut(key).expect("a completion has its operation");
    match std::mem::replace(state, OpState::Done { resource: Resource::Nothing, result, turns }) {
        OpState::InFlight { resource, waker } => {
            *state = OpState::Done { resource: resource.with(result), result, turns };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        OpState::Abandoned { resource } => {
            drop(resource.with(result));
            ops.remove(key);
        }
        OpState::Done { .. } => unreachable!("an operation completes once"),
    }
}

impl<'fd> Op<'fd> {
    /// Fills `buf[from..]`, or less, from a file.
    pub(in crate::rt) fn read(fd: BorrowedFd<'fd>, buf: Buf, from: usize, offset: u64) -> Self {
        buf.assert_exclusive();
        let (to, len) = part(&buf, from..buf.len());
        Self::start(opcode::Read::new(raw(fd), to, len).offset(offset).build(), Resource::Buf(buf))
    }

    /// Writes `buf[from..]`, or less, to a file; `flags` are pwritev2's.
    pub(in crate::rt) fn write(fd: BorrowedFd<'fd>, buf: Buf, from: usize, offset: u64, flags: i32) -> Self {
        let (at, len) = part(&buf, from..buf.len());
        let entry = opcode::Write::new(raw(fd), at, len).offset(offset).rw_flags(flags).build();
        Self::start(entry, Resource::Buf(buf))
    }

    /// fdatasync.
    pub(in crate::rt) fn sync(fd: BorrowedFd<'fd>) -> Self {
        let entry = opcode::Fsync::new(raw(fd)).flags(types::FsyncFlags::DATASYNC).build();
        Self::start(entry, Resource::Nothing)
    }

    pub(in crate::rt) fn allocate(fd: BorrowedFd<'fd>, mode: i32, offset: u64, len: u64) -> Self {
        let entry = opcode::Fallocate::new(raw(fd), len).offset(offset).mode(mode).build();
        Self::start(entry, Resource::Nothing)
    }

    /// Receives into `buf[range]`; resolves to how many bytes came, 0 at the end of the stream.
    pub(in crate::rt) fn receive(fd: BorrowedFd<'fd>, buf: Buf, range: Range<usize>) -> Self {
        buf.assert_exclusive();
        let (to, len) = part(&buf, range);
        Self::start(opcode::Recv::new(raw(fd), to, len).build(), Resource::Buf(buf))
    }

    /// Receives into `bytes`; resolves as [`receive`](Self::receive).
    pub(in crate::rt) fn receive_bytes(fd: BorrowedFd<'fd>, mut bytes: Box<[u8]>) -> Self {
        let len = u32::try_from(bytes.len()).expect("transfers are far below 4 GiB");
        Self::start(opcode::Recv::new(raw(fd), bytes.as_mut_ptr(), len).build(), Resource::Bytes(bytes))
    }

    /// Sends `bytes[range]`, or the front of it.
    pub(in crate::rt) fn send_bytes(fd: BorrowedFd<'fd>, bytes: Box<[u8]>, range: Range<usize>) -> Self {
        let part = &bytes[range];
        let len = u32::try_from(part.len()).expect("transfers are far below 4 GiB");
        let entry = opcode::Send::new(raw(fd), part.as_ptr(), len).flags(libc::MSG_NOSIGNAL).build();
        Self::start(entry, Resource::Bytes(bytes))
    }

    /// Sends what is left of a batch, or a part of it.
    pub(in crate::rt) fn send(fd: BorrowedFd<'fd>, mut batch: Box<SendBatch>) -> Self {
        let message = batch.as_message();
        let entry = opcode::SendMsg::new(raw(fd), message).flags(libc::MSG_NOSIGNAL as u32).build();
        Self::start(entry, Resource::Batch(batch))
    }

    /// Accepts a connection; resolves to [`Resource::Accepted`], or an error.
    pub(in crate::rt) fn accept(fd: BorrowedFd<'fd>) -> Self {
        let flags = libc::SOCK_CLOEXEC;
        let entry =
            opcode::Accept::new(raw(fd), std::ptr::null_mut(), std::ptr::null_mut()).flags(flags).build();
        Self::start(entry, Resource::Accepting)
    }

    pub(in crate::rt) fn connect(fd: BorrowedFd<'fd>, address: Box<SocketAddress>) -> Self {
        let (at, len) = address.as_kernel_parts();
        Self::start(opcode::Connect::new(raw(fd), at, len).build(), Resource::Address { _held: address })
    }

    fn start(entry: squeue::Entry, resource: Resource) -> Self {
        let (key, started) = with_uring(|uring| {
            let key = uring.ops.insert(OpState::InFlight { resource, waker: None });
            // SAFETY: every entry made above points into its resource's heap memory, which moving the resource
            // into the slab does not move, and which the slab keeps until the completion.
            unsafe { uring.push(&entry.user_data(key as u64)) };
            (key, uring.turns)
        });
        Self { key, started, fd: PhantomData }
    }

    /// When the kernel carried it out.
    ///
    /// # Panics
    /// If it has not resolved yet.
    pub(in crate::rt) fn collection(&self) -> Collection {
        with_uring(|uring| match uring.ops[self.key] {
            OpState::Done { turns, .. } => Collection {
                after: turns.began,
                // Submitted at the latest by the first turn after it was started.
                not_ready_at: (turns.collected > self.started.began).then_some(turns.collected),
            },
            _ => unreachable!("asked of what has resolved"),
        })
    }
}

impl Future for Op<'_> {
    type Output = (Resource, i32);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        with_uring(|uring| match &mut uring.ops[self.key] {
            OpState::InFlight { waker, .. } => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            OpState::Done { resource, result, .. } => {
                Poll::Ready((std::mem::replace(resource, Resource::Nothing), *result))
            }
            OpState::Abandoned { .. } => unreachable!("only drop abandons"),
        })
    }
}

impl Drop for Op<'_> {
    fn drop(&mut self) {
        with_uring(|uring| {
            match std::mem::replace(
                &mut uring.ops[self.key],
                OpState::Abandoned { resource: Resource::Nothing },
            ) {
                OpState::InFlight { resource, .. } => {
                    uring.ops[self.key] = OpState::Abandoned { resource };
                    // The descriptor may be closed, and its number reused, as soon as this returns.
                    uring.submit();
                }
                OpState::Done { .. } => drop(uring.ops.remove(self.key)),
                OpState::Abandoned { .. } => unreachable!("only drop abandons"),
            }
        });
    }
}

fn with_uring<T>(f: impl FnOnce(&mut Uring) -> T) -> T {
    core::with(|c| match &c.driver {
        Driver::Uring(uring) => f(&mut uring.borrow_mut()),
        Driver::Sim(_) => panic!("files and sockets are not part of the simulator"),
    })
}

fn raw(fd: BorrowedFd<'_>) -> types::Fd {
    let fd: RawFd = fd.as_raw_fd();
    types::Fd(fd)
}

/// Address and length of a part of a buffer.
fn part(buf: &Buf, range: Range<usize>) -> (*mut u8, u32) {
    assert!(range.start <= range.end && range.end <= buf.len(), "{range:?} of {}", buf.len());
    let len = u32::try_from(range.len()).expect("transfers are far below 4 GiB");
    (buf.as_kernel_ptr().wrapping_add(range.start), len)
}
