//! The host, which begins commands and gives data in parts.

use super::{
    ENTRIES,
    line::{Line, Part},
    model::{Ended, Model, data_of},
    opcode,
};
use crate::{
    transport::{HostConnection, HostEvent, HostTransfer, ICRequest, Slot, TermReq},
    wire::Sqe,
};

#[derive(Debug)]
pub(super) struct HostEnd {
    connection: HostConnection,
    awaited: [Option<Awaited>; ENTRIES as usize],
    /// R2Ts that are not answered to their end.
    requests: Vec<Request>,
    pub(super) ended: Option<Ended<TermReq>>,
}

#[derive(Debug)]
struct Awaited {
    id: u32,
    transfer: HostTransfer,
    data: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    slot: Slot,
    id: u32,
    ttag: u16,
    offset: u32,
    left: u32,
}

impl HostEnd {
    pub(super) fn new(request: ICRequest, out: &mut Line) -> Self {
        let connection = HostConnection::new(ENTRIES, request);
        let mut pdu = Vec::new();
        connection.encode_ic_req(&mut pdu);
        out.send(&pdu);
        Self { connection, awaited: Default::default(), requests: Vec::new(), ended: None }
    }

    fn data_digest(&self) -> bool {
        self.connection.negotiated().is_some_and(|agreed| agreed.data_digest)
    }

    /// Begins a command if the connection stands and a slot from `first` on is free.
    pub(super) fn begin(&mut self, transfer: HostTransfer, first: u8, model: &mut Model, out: &mut Line) {
        let slots = (0..ENTRIES).map(|slot| Slot((u16::from(first) + slot) % ENTRIES));
        let Some(slot) = slots.into_iter().find(|slot| self.awaited[slot.index()].is_none()) else { return };
        if self.ended.is_some() || self.connection.negotiated().is_none() {
            return;
        }
        let id = model.begin(transfer);
        let mut sqe = Sqe::new(opcode(transfer));
        sqe.cdw10 = id.into();
        let mut pdu = Vec::new();
        self.connection.encode_command(slot, sqe, transfer, &mut pdu);
        out.send(&pdu);
        if let HostTransfer::InCapsule(len) = transfer {
            out.send_data(id, 0, &data_of(id, 0, len), self.data_digest());
        }
        self.awaited[slot.index()] = Some(Awaited { id, transfer, data: Vec::new() });
    }

    /// Answers one of the R2Ts, in whole or in part; whether there was one.
    pub(super) fn give(&mut self, pick: u8, len: u32, out: &mut Line) -> bool {
        if self.ended.is_some() || self.requests.is_empty() {
            return false;
        }
        let pick = usize::from(pick) % self.requests.len();
        let data_digest = self.data_digest();
        let request = &mut self.requests[pick];
        let largest = self.connection.negotiated().map_or(0, |agreed| agreed.h2c_data_bytes_max);
        let len = len.clamp(1, request.left).min(largest);
        let mut pdu = Vec::new();
        self.connection.encode_h2c_data(request.slot, request.ttag, request.offset, len, &mut pdu);
        out.send(&pdu);
        out.send_data(request.id, request.offset, &data_of(request.id, request.offset, len), data_digest);
        request.offset += len;
        request.left -= len;
        if request.left == 0 {
            self.requests.remove(pick);
        }
        true
    }

    /// `next` is what the first of `bytes` is of.
    pub(super) fn receive(&mut self, bytes: &[u8], next: Option<Part>, model: &mut Model, out: &mut Line) {
        if self.ended.is_some() {
            return;
        }
        self.judge_wanted(next, model);
        let mut at = 0;
        while self.ended.is_none() {
            match self.connection.receive(&bytes[at..]) {
                Ok((used, None)) => {
                    assert_eq!(at + used, bytes.len(), "without an event all bytes are used");
                    return;
                }
                Ok((used, Some(event))) => {
                    at += used;
                    self.event(&event, model);
                }
                Err(error) => {
                    let mut pdu = Vec::new();
                    self.connection.encode_term_req(error, &mut pdu);
                    out.send(&pdu);
                    self.ended = Some(Ended::Broke(error));
                }
            }
        }
    }

    /// What may be received in place is what comes.
    fn judge_wanted(&self, next: Option<Part>, model: &Model) {
        if let (Some(wanted), Some(next), true) = (self.connection.wants_payload(), next, model.is_sure()) {
            let Part::Data { id, offset, .. } = next else { panic!("{next:?} comes, not data") };
            let awaited = self.awaited[wanted.slot.index()].as_ref().expect("data of a command in flight");
            assert_eq!((awaited.id, wanted.offset), (id, offset));
        }
    }

    fn event(&mut self, event: &HostEvent<'_>, model: &mut Model) {
        match *event {
            HostEvent::Connected => {}
            HostEvent::Data { slot, offset, bytes } => {
                let awaited = self.awaited[slot.index()].as_mut().expect("data of a command in flight");
                let HostTransfer::In(len) = awaited.transfer else { panic!("data of {awaited:?}") };
                assert_eq!(offset as usize, awaited.data.len(), "in order");
                awaited.data.extend_from_slice(bytes);
                assert!(awaited.data.len() <= len as usize, "within its command");
            }
            HostEvent::Requested { slot, ttag, offset, len } => {
                let awaited = self.awaited[slot.index()].as_ref().expect("an R2T for a command in flight");
                let HostTransfer::Out(total) = awaited.transfer else { panic!("an R2T for {awaited:?}") };
                assert!(len > 0 && offset + len <= total, "within its command");
                self.requests.push(Request { slot, id: awaited.id, ttag, offset, left: len });
            }
            HostEvent::Response { slot, cqe, received, intact } => {
                let awaited = self.awaited[slot.index()].take().expect("a command ends once");
                assert_eq!(received as usize, awaited.data.len());
                self.requests.retain(|request| request.slot != slot);
                model.judge_response(awaited.id, &cqe, &awaited.data, intact);
            }
            HostEvent::Terminated(error) => self.ended = Some(Ended::Told(error)),
        }
    }

    /// No command waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.awaited.iter().all(Option::is_none) && self.requests.is_empty()
    }
}
