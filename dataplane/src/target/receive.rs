//! The receiving side of one connection: bytes become commands, data lands in their buffers.

use std::rc::Rc;

use nvmeof::transport::{ControllerEvent, Slot, TermReq};

use super::qpair::{Command, Execute, Qpair};
use crate::{
    limits,
    rt::{self, Buf, Nanos},
};

/// A capsule whose in-capsule data is arriving.
struct Arriving {
    slot: Slot,
    sqe: nvmeof::wire::Sqe,
    len: u32,
}

/// Receives until the host or we end the connection. `first` holds bytes that came behind the Connect capsule.
pub(super) async fn run<E: Execute>(qpair: Rc<Qpair>, queue: Rc<E>, first: Vec<u8>) {
    let mut receiver = Receiver { qpair: qpair.clone(), queue, arriving: None, now: rt::now() };
    if let Err(error) = receiver.take(&first).await {
        return receiver.terminate(error).await;
    }
    let mut stream_buf = Buf::alloc(limits::RECEIVE_BYTES).await;
    while !qpair.is_closing() {
        let result = match receiver.receive_in_place().await {
            Some(result) => result,
            None => {
                let (back, received) = qpair.stream.recv(stream_buf, 0..limits::RECEIVE_BYTES).await;
                stream_buf = back;
                let Ok(count @ 1..) = received else { return };
                receiver.now = rt::now();
                receiver.take(&stream_buf[..count]).await
            }
        };
        match result {
            Ok(Flow::On) => {}
            Ok(Flow::End) => return,
            Err(error) => return receiver.terminate(error).await,
        }
    }
}

/// Whether to receive on.
enum Flow {
    On,
    End,
}

struct Receiver<E> {
    qpair: Rc<Qpair>,
    queue: Rc<E>,
    arriving: Option<Arriving>,
    /// When the present bytes came.
    now: Nanos,
}

impl<E: Execute> Receiver<E> {
    /// Interprets received bytes to the last.
    async fn take(&mut self, mut bytes: &[u8]) -> Result<Flow, TermReq> {
        loop {
            // Commands in flight keep their place in the batch; a host that floods its queue waits here.
            let in_flight = self.qpair.connection.borrow().in_flight();
            if !self.qpair.outbox.has_room_for(in_flight + 1) {
                self.qpair.outbox.room_for(in_flight + 1).await;
            }
            if self.qpair.is_closing() {
                return Ok(Flow::End);
            }
            let (used, event) = self.qpair.connection.borrow_mut().receive(bytes)?;
            let Some(event) = event else { return Ok(Flow::On) };
            match event {
                ControllerEvent::Capsule { slot, sqe, in_capsule_len } => {
                    self.capsule(slot, sqe, in_capsule_len).await;
                }
                ControllerEvent::Data { slot, offset, bytes } => self.copy(slot, offset as usize, bytes),
                ControllerEvent::DataDone { slot, intact } => self.data_done(slot, intact),
                ControllerEvent::Terminated(reason) => {
                    tracing::warn!(%reason, "the host ended its connection");
                    return Ok(Flow::End);
                }
                ControllerEvent::Connected => unreachable!("ICReq came before Connect"),
            }
            bytes = &bytes[used..];
        }
    }

    async fn capsule(&mut self, slot: Slot, sqe: nvmeof::wire::Sqe, in_capsule_len: u32) {
        self.qpair.count_taken();
        let place = self.qpair.slot(slot, &self.queue);
        if in_capsule_len == 0 {
            let command = Command { sqe, in_capsule_len, data: None, intact: true, arrived: self.now };
            self.qpair.start(&place, command);
        } else {
            place.data.set(Some(Buf::alloc(in_capsule_len as usize).await));
            self.arriving = Some(Arriving { slot, sqe, len: in_capsule_len });
        }
    }

    fn copy(&self, slot: Slot, offset: usize, bytes: &[u8]) {
        let place = self.qpair.slot(slot, &self.queue);
        let mut data = place.data.take().expect("data comes for a buffer that waits");
        data[offset..offset + bytes.len()].copy_from_slice(bytes);
        place.data.set(Some(data));
    }

    fn data_done(&mut self, slot: Slot, intact: bool) {
        let place = self.qpair.slot(slot, &self.queue);
        match self.arriving.take() {
            Some(Arriving { slot: arriving, sqe, len }) => {
                assert_eq!(arriving, slot, "a capsule's data follows it at once");
                let data = place.data.take();
                let command = Command { sqe, in_capsule_len: len, data, intact, arrived: self.now };
                self.qpair.start(&place, command);
            }
            None => self.qpair.solicited(&place, intact),
        }
    }

    /// If a large piece of payload comes next, receives it where it belongs. `None`: receive into the stream
    /// buffer.
    async fn receive_in_place(&mut self) -> Option<Result<Flow, TermReq>> {
        let wanted = self.qpair.connection.borrow().wants_payload()?;
        if wanted.len < limits::IN_PLACE_BYTES {
            return None;
        }
        let place = self.qpair.slot(wanted.slot, &self.queue);
        let data = place.data.take().expect("data comes for a buffer that waits");
        let (start, end) = (wanted.offset as usize, (wanted.offset + wanted.len) as usize);
        let (data, received) = self.qpair.stream.recv(data, start..end).await;
        let Ok(count @ 1..) = received else { return Some(Ok(Flow::End)) };
        let event =
            self.qpair.connection.borrow_mut().receive(&data[start..start + count]).map(|(used, _)| used);
        place.data.set(Some(data));
        match event {
            Ok(used) => {
                assert_eq!(used, count, "payload is used up at once");
                // The end of the data is reported without taking bytes, unless a digest follows.
                Some(self.take(&[]).await)
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Tells the host what it did wrong, then ends the connection.
    async fn terminate(&self, error: TermReq) {
        tracing::warn!(%error, "a host broke the transport protocol");
        self.qpair.outbox.push(|out| self.qpair.connection.borrow().encode_term_req(error, out));
        self.qpair.outbox.drained().await;
    }
}
