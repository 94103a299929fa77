//! What waits to be sent: everything that became ready in one tick leaves in one gather, one send at a time.

use std::{
    cell::{Cell, RefCell, RefMut},
    future::poll_fn,
    mem,
    task::{Poll, Waker},
};

use crate::rt::{
    self, Buf, Nanos,
    net::{SendBatch, Stream},
};

/// Most that one answer adds: header, payload, digest with response; 128 bytes of aligned header and the rest.
const ANSWER_PIECES: usize = 4;
const ANSWER_BYTES: usize = 256;

/// Answers on their way to the send task.
pub(crate) struct Outbox {
    filling: RefCell<Box<SendBatch>>,
    /// Where headers are encoded before they are copied into the batch.
    scratch: RefCell<Vec<u8>>,
    /// The send task.
    sender: Cell<Option<Waker>>,
    /// Tasks that wait for room, or for everything to be sent.
    waiting: RefCell<Vec<Waker>>,
    /// Since when a send is under way.
    sending_since: Cell<Option<Nanos>>,
    closed: Cell<bool>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            filling: RefCell::new(Box::new(SendBatch::new())),
            scratch: RefCell::new(Vec::with_capacity(ANSWER_BYTES)),
            sender: Cell::new(None),
            waiting: RefCell::new(Vec::new()),
            sending_since: Cell::new(None),
            closed: Cell::new(false),
        }
    }

    /// Waits until one more answer fits, or the outbox is closed.
    pub(crate) async fn room(&self) {
        self.wait(|| self.filling.borrow().has_room(ANSWER_PIECES, ANSWER_BYTES)).await;
    }

    /// Waits until all is sent, or the outbox is closed.
    pub(crate) async fn flushed(&self) {
        self.wait(|| self.filling.borrow().is_empty() && self.sending_since.get().is_none()).await;
    }

    async fn wait(&self, ready: impl Fn() -> bool) {
        poll_fn(|cx| {
            if self.closed.get() || ready() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Adds to the batch, after [`room`](Self::room), without awaiting in between.
    pub(crate) fn fill(&self) -> Fill<'_> {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
        Fill { batch: self.filling.borrow_mut(), scratch: self.scratch.borrow_mut() }
    }

    /// Since when the peer has been taking the present send.
    pub(crate) fn sending_since(&self) -> Option<Nanos> {
        self.sending_since.get()
    }

    /// Sends until it is closed or the socket fails; says whether it failed.
    ///
    /// Run by a task of its own: that is woken by the first answer and runs after whatever else was ready by then,
    /// whose answers leave with it.
    pub(crate) async fn send_all(&self, stream: &Stream) -> std::io::Result<()> {
        let mut spare = Some(Box::new(SendBatch::new()));
        while let Some(batch) = self.next(spare.take()).await {
            self.sending_since.set(Some(rt::now()));
            let (mut batch, result) = stream.send_all(batch).await;
            self.sending_since.set(None);
            result?;
            batch.clear();
            spare = Some(batch);
            self.wake_waiting();
        }
        Ok(())
    }

    /// Nothing more is sent.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
        self.wake_waiting();
    }

    fn wake_waiting(&self) {
        for waker in self.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// The next batch to send, `spare` taking its place; `None` once closed.
    async fn next(&self, mut spare: Option<Box<SendBatch>>) -> Option<Box<SendBatch>> {
        poll_fn(move |cx| {
            if self.closed.get() {
                return Poll::Ready(None);
            }
            if self.filling.borrow().is_empty() {
                self.sender.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            let spare = spare.take().expect("polled no more after it was ready");
            Poll::Ready(Some(mem::replace(&mut *self.filling.borrow_mut(), spare)))
        })
        .await
    }
}

/// Access to the batch that is being filled.
pub(crate) struct Fill<'a> {
    batch: RefMut<'a, Box<SendBatch>>,
    scratch: RefMut<'a, Vec<u8>>,
}

impl Fill<'_> {
    /// Adds what `encode` appends.
    pub(crate) fn header(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        encode(&mut self.scratch);
        self.batch.push_inline(&self.scratch);
    }

    /// Adds payload by reference.
    pub(crate) fn payload(&mut self, buf: Buf) {
        self.batch.push_payload(buf);
    }
}
