//! One queue pair of a host: commands in, answers out, any number in flight up to its size.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::{Rc, Weak},
    task::{Poll, Waker},
};

use nvmeof::{
    limits as protocol_limits,
    transport::{Crc32c, HostConnection, HostEvent, HostTransfer, ICRequest, Slot},
    wire::{Cqe, Sqe},
};

use super::HostError;
use crate::{
    limits,
    outbox::Outbox,
    rt::{self, Buf, net::Stream},
};

/// A command's data.
#[derive(Debug)]
pub enum Payload {
    None,
    /// Bytes to receive.
    In(u32),
    /// Data to send: within the capsule if it is small, else when the controller asks.
    Out(Buf),
}

/// How a command ended.
#[derive(Debug)]
pub struct Answer {
    pub cqe: Cqe,
    /// What was received, for [`Payload::In`]; possibly only in part, see `received`.
    pub data: Option<Buf>,
    /// Bytes of data that came.
    pub received: u32,
    /// No data digest was wrong.
    pub intact: bool,
}

/// A connected queue pair. Dropping the last handle ends the connection.
#[derive(Debug)]
pub struct HostQueue {
    inner: Rc<Inner>,
}

struct Inner {
    stream: Rc<Stream>,
    connection: RefCell<HostConnection>,
    outbox: Outbox,
    slots: Vec<HostSlot>,
    free: RefCell<Vec<Slot>>,
    waiting: RefCell<Vec<Waker>>,
    /// Why the connection ended.
    ended: RefCell<Option<HostError>>,
    connected: Cell<bool>,
}

/// Who a slot belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum SlotState {
    #[default]
    Free,
    /// A caller waits for the answer, or has it to take.
    Awaited,
    /// The caller is gone; the answer, when it comes, frees the slot.
    Abandoned,
}

/// A caller's hold on its slot: gives it back when the answer was taken, else when it comes.
struct InFlight<'a> {
    inner: &'a Inner,
    slot: Slot,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let place = &self.inner.slots[self.slot.index()];
        if place.state.get() == SlotState::Free || place.answer.take().is_some() {
            self.inner.free_slot(self.slot);
        } else {
            place.state.set(SlotState::Abandoned);
        }
    }
}

#[derive(Default)]
struct HostSlot {
    state: Cell<SlotState>,
    /// Where data is received to, or what is left to send.
    data: Cell<Option<Buf>>,
    answer: Cell<Option<Answer>>,
    waker: Cell<Option<Waker>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} slots", self.slots.len())
    }
}

impl HostQueue {
    /// Agrees on a connection's parameters; no Connect command yet.
    pub(super) async fn open(
        stream: Stream,
        request: ICRequest,
        entries: u16,
    ) -> Result<Rc<Self>, HostError> {
        let stream = Rc::new(stream);
        let inner = Rc::new(Inner {
            stream: stream.clone(),
            connection: RefCell::new(HostConnection::new(entries, request)),
            outbox: Outbox::new(),
            slots: (0..entries).map(|_| HostSlot::default()).collect(),
            // One entry stays free: a full queue looks like an empty one.
            free: RefCell::new((0..entries - 1).rev().map(Slot).collect()),
            waiting: RefCell::default(),
            ended: RefCell::default(),
            connected: Cell::new(false),
        });
        let sender = inner.clone();
        rt::spawn(async move {
            if let Err(error) = sender.outbox.send_all(&stream).await {
                sender.end(error.into());
            }
        });
        rt::spawn(receive(Rc::downgrade(&inner), inner.stream.clone()));
        inner.outbox.fill().header(|out| inner.connection.borrow().encode_ic_req(out));
        let queue = Rc::new(Self { inner });
        queue.inner.wait_for(|inner| inner.connected.get()).await?;
        Ok(queue)
    }

    /// Sends a command and waits for its end. Waits first while the queue is full.
    pub async fn command(&self, sqe: Sqe, payload: Payload) -> Result<Answer, HostError> {
        let inner = &self.inner;
        inner.wait_for(|inner| !inner.free.borrow().is_empty()).await?;
        let (transfer, data) = match payload {
            Payload::None => (HostTransfer::None, None),
            Payload::In(len) => (HostTransfer::In(len), Some(Buf::alloc(len as usize).await)),
            Payload::Out(data) => {
                let len = u32::try_from(data.len()).expect("transfers are far below 4 GiB");
                let small = len <= protocol_limits::IN_CAPSULE_BYTES_MAX;
                (if small { HostTransfer::InCapsule(len) } else { HostTransfer::Out(len) }, Some(data))
            }
        };
        inner.outbox.room().await;
        // All that may have waited, and another command may have taken the place meanwhile.
        inner.wait_for(|inner| !inner.free.borrow().is_empty()).await?;
        let slot = inner.free.borrow_mut().pop().expect("waited for");
        inner.start(slot, sqe, transfer, data);
        let _in_flight = InFlight { inner, slot };
        poll_fn(|cx| {
            let place = &inner.slots[slot.index()];
            if let Some(answer) = place.answer.take() {
                place.state.set(SlotState::Free);
                return Poll::Ready(Ok(answer));
            }
            if inner.ended.borrow().is_some() {
                return Poll::Ready(Err(inner.why_ended()));
            }
            place.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

impl Drop for HostQueue {
    fn drop(&mut self) {
        self.inner.end(HostError::Closed);
    }
}

impl Inner {
    fn start(&self, slot: Slot, sqe: Sqe, transfer: HostTransfer, data: Option<Buf>) {
        self.slots[slot.index()].state.set(SlotState::Awaited);
        self.outbox
            .fill()
            .header(|out| self.connection.borrow_mut().encode_command(slot, sqe, transfer, out));
        match (transfer, data) {
            (HostTransfer::InCapsule(_), Some(data)) => self.push_data(data),
            (_, data) => self.slots[slot.index()].data.set(data),
        }
    }

    fn push_data(&self, data: Buf) {
        let digests = self.connection.borrow().negotiated().is_some_and(|agreed| agreed.data_digest);
        let digest = digests.then(|| Crc32c::of(&data));
        let mut outbox = self.outbox.fill();
        outbox.payload(data);
        if let Some(digest) = digest {
            outbox.header(|out| out.extend_from_slice(&digest.to_le_bytes()));
        }
    }

    async fn wait_for(&self, condition: impl Fn(&Self) -> bool) -> Result<(), HostError> {
        poll_fn(|cx| {
            if self.ended.borrow().is_some() {
                return Poll::Ready(Err(self.why_ended()));
            }
            if condition(self) {
                return Poll::Ready(Ok(()));
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The first who asks hears the reason; it is not a value that can be copied.
    fn why_ended(&self) -> HostError {
        self.ended.borrow_mut().replace(HostError::Closed).unwrap_or(HostError::Closed)
    }

    fn end(&self, reason: HostError) {
        self.ended.borrow_mut().get_or_insert(reason);
        self.outbox.close();
        self.stream.shutdown();
        for place in &self.slots {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
        self.wake_waiting();
    }

    /// Interprets received bytes to the last.
    async fn take(&self, mut bytes: &[u8]) -> Result<(), HostError> {
        loop {
            let (used, event) = self.connection.borrow_mut().receive(bytes).map_err(HostError::Protocol)?;
            let Some(event) = event else { return Ok(()) };
            match event {
                HostEvent::Connected => {
                    self.connected.set(true);
                    self.wake_waiting();
                }
                HostEvent::Data { slot, offset, bytes } => {
                    let place = &self.slots[slot.index()];
                    let mut data = place.data.take().expect("data comes for a buffer that waits");
                    data[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
                    place.data.set(Some(data));
                }
                HostEvent::Requested { slot, ttag, offset, len } => {
                    self.send_requested(slot, ttag, offset, len).await;
                }
                HostEvent::Response { slot, cqe, received, intact } => {
                    let place = &self.slots[slot.index()];
                    let data = place.data.take();
                    if place.state.get() == SlotState::Abandoned {
                        self.free_slot(slot);
                    } else {
                        place.answer.set(Some(Answer { cqe, data, received, intact }));
                        if let Some(waker) = place.waker.take() {
                            waker.wake();
                        }
                    }
                }
                HostEvent::Terminated(reason) => return Err(HostError::Terminated(reason)),
            }
            bytes = &bytes[used..];
        }
    }

    fn free_slot(&self, slot: Slot) {
        self.slots[slot.index()].state.set(SlotState::Free);
        self.free.borrow_mut().push(slot);
        self.wake_waiting();
    }

    /// Everybody looks again: a waiter that has gone would swallow a wake meant for one.
    fn wake_waiting(&self) {
        for waker in self.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Answers an R2T, in as many pieces as MAXH2CDATA asks for. R2Ts come in order, so the data is used up from
    /// its front.
    async fn send_requested(&self, slot: Slot, ttag: u16, offset: u32, len: u32) {
        let largest = self.connection.borrow().negotiated().map_or(len, |agreed| agreed.h2c_data_bytes_max);
        let place = &self.slots[slot.index()];
        let mut data = place.data.take().expect("an R2T is for a command with data");
        let mut at = offset;
        while at < offset + len {
            let piece = largest.min(offset + len - at);
            self.outbox.room().await;
            self.outbox.fill().header(|out| {
                self.connection.borrow_mut().encode_h2c_data(slot, ttag, at, piece, out);
            });
            self.push_data(data.split_to(piece as usize));
            at += piece;
        }
        place.data.set(Some(data));
    }
}

/// Receives until the connection ends or the queue is dropped.
async fn receive(queue: Weak<Inner>, stream: Rc<Stream>) {
    let mut buf = Buf::alloc(limits::STREAM_BYTES).await;
    loop {
        let in_place = queue.upgrade().and_then(|inner| wanted_in_place(&inner));
        let result = match in_place {
            Some((slot, data, start, end)) => {
                let (data, received) = stream.recv(data, start..end).await;
                let Some(inner) = queue.upgrade() else { return };
                match received {
                    Ok(count) => took_in_place(&inner, slot, data, start, count).await,
                    Err(error) => Err(error.into()),
                }
            }
            None => {
                let (back, received) = stream.recv(buf, 0..limits::STREAM_BYTES).await;
                buf = back;
                let Some(inner) = queue.upgrade() else { return };
                match received {
                    Ok(0) => Err(HostError::Closed),
                    Ok(count) => inner.take(&buf[..count]).await,
                    Err(error) => Err(error.into()),
                }
            }
        };
        if let Err(reason) = result {
            if let Some(inner) = queue.upgrade() {
                inner.end(reason);
            }
            return;
        }
    }
}

/// A large piece of payload that comes next: whose, its buffer, and the range of it.
fn wanted_in_place(inner: &Inner) -> Option<(Slot, Buf, usize, usize)> {
    let wanted = inner.connection.borrow().wants_payload()?;
    if (wanted.len as usize) < limits::RECEIVE_IN_PLACE_BYTES {
        return None;
    }
    let data = inner.slots[wanted.slot.index()].data.take().expect("data comes for a buffer that waits");
    Some((wanted.slot, data, wanted.offset as usize, (wanted.offset + wanted.len) as usize))
}

async fn took_in_place(
    inner: &Inner,
    slot: Slot,
    data: Buf,
    start: usize,
    count: usize,
) -> Result<(), HostError> {
    if count == 0 {
        return Err(HostError::Closed);
    }
    let taken = inner.connection.borrow_mut().receive(&data[start..start + count]).map(|(used, _)| used);
    inner.slots[slot.index()].data.set(Some(data));
    let used = taken.map_err(HostError::Protocol)?;
    assert_eq!(used, count, "payload is used up at once");
    inner.take(&[]).await
}
