//! The sending side of one connection: everything that became ready in a tick leaves in one gather.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use crate::{
    limits,
    rt::{
        self, Buf, Nanos,
        net::{SendBatch, TcpStream},
    },
};

/// What waits to be sent, and the batch that is being sent. One send is in flight at a time: two would interleave.
pub(super) struct Outbox {
    filling: RefCell<Box<SendBatch>>,
    /// The other batch, while it is not with the kernel.
    spare: RefCell<Option<Box<SendBatch>>>,
    scratch: RefCell<Vec<u8>>,
    sender: Cell<Option<Waker>>,
    /// Woken when the filling batch was taken: there is room again, or all is sent.
    waiting: RefCell<Vec<Waker>>,
    closed: Cell<bool>,
    sending_since: Cell<Option<Nanos>>,
}

/// The most that one command adds to a batch: a data header, payload, digest, and a response, with the widest
/// alignment a host may ask for.
const COMMAND_PIECES: usize = 3;
const COMMAND_INLINE_BYTES: usize = 256;

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            filling: RefCell::new(Box::new(SendBatch::new())),
            spare: RefCell::new(Some(Box::new(SendBatch::new()))),
            scratch: RefCell::new(Vec::with_capacity(COMMAND_INLINE_BYTES)),
            sender: Cell::new(None),
            waiting: RefCell::default(),
            closed: Cell::new(false),
            sending_since: Cell::new(None),
        }
    }

    /// Adds the header that `encode` appends.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.closed.get() {
            return;
        }
        let mut scratch = self.scratch.borrow_mut();
        scratch.clear();
        encode(&mut scratch);
        self.filling.borrow_mut().push_inline(&scratch);
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }

    /// Adds payload by reference, given up when it is sent.
    pub(super) fn push_payload(&self, payload: Buf) {
        if !self.closed.get() {
            self.filling.borrow_mut().push_payload(payload);
        }
    }

    /// Whether `commands` more commands may answer. A well-behaved host never finds it false: its queue is smaller.
    pub(super) fn has_room_for(&self, commands: usize) -> bool {
        self.filling.borrow().has_room(commands * COMMAND_PIECES, commands * COMMAND_INLINE_BYTES)
    }

    /// Waits until `commands` more commands may answer, or the connection is closed.
    pub(super) async fn room_for(&self, commands: usize) {
        poll_fn(|cx| self.wait_until(cx.waker(), self.has_room_for(commands))).await;
    }

    /// Waits until everything is with the kernel, or the connection is closed.
    pub(super) async fn drained(&self) {
        let is_drained = || self.filling.borrow().is_empty() && self.sending_since.get().is_none();
        poll_fn(|cx| self.wait_until(cx.waker(), is_drained())).await;
    }

    fn wait_until(&self, waker: &Waker, condition: bool) -> Poll<()> {
        if condition || self.closed.get() {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(waker.clone());
        Poll::Pending
    }

    /// Drops what waits and ends the sender. Nothing is added any more.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.filling.borrow_mut().clear();
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
        self.wake_waiting();
    }

    /// Whether a peer has taken nothing of an answer for longer than it may: its buffers must come free (E7).
    pub(super) fn is_stuck(&self, now: Nanos) -> bool {
        self.sending_since.get().is_some_and(|since| now.since(since) > limits::SEND_PATIENCE)
    }

    fn wake_waiting(&self) {
        for waker in self.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Sends until closed or the socket fails; then the receive side is ended as well.
    pub(super) async fn run(&self, stream: Arc<TcpStream>) {
        loop {
            poll_fn(|cx| {
                if !self.filling.borrow().is_empty() || self.closed.get() {
                    return Poll::Ready(());
                }
                self.sender.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            if self.closed.get() {
                return;
            }
            let next = self.spare.borrow_mut().take().expect("one send in flight");
            let batch = self.filling.replace(next);
            self.sending_since.set(Some(rt::now()));
            let (mut batch, sent) = stream.send_all(batch).await;
            self.sending_since.set(None);
            batch.clear();
            *self.spare.borrow_mut() = Some(batch);
            if sent.is_err() {
                self.close();
                stream.shutdown();
                return;
            }
            self.wake_waiting();
        }
    }
}
