//! The controller, which asks for data and answers commands in any order.

use super::{
    ENTRIES, READ, WRITE,
    line::{Line, Part},
    model::{Answered, End, Ended, Model, data_of},
};
use crate::{
    Status,
    transport::{ControllerConnection, ControllerEvent, Slot, TermReq},
    wire::{Cqe, Sqe, cqe::SQHD_DISABLED},
};

/// Longest transfer that it takes part in.
const TRANSFER_BYTES_MAX: u32 = 8192;

#[derive(Debug)]
pub(super) struct ControllerEnd {
    connection: ControllerConnection,
    pending: Vec<Pending>,
    pub(super) ended: Option<Ended<TermReq>>,
}

#[derive(Debug)]
struct Pending {
    slot: Slot,
    id: u32,
    opcode: u8,
    /// As the entry says.
    len_bytes: u32,
    state: State,
    /// That came.
    data: Vec<u8>,
    intact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// An R2T may ask for its data.
    WantsData,
    Receiving,
    Ready,
}

impl ControllerEnd {
    pub(super) fn new() -> Self {
        Self { connection: ControllerConnection::new(ENTRIES), pending: Vec::new(), ended: None }
    }

    fn data_digest(&self) -> bool {
        self.connection.negotiated().is_some_and(|agreed| agreed.data_digest)
    }

    /// As of the host.
    pub(super) fn receive(&mut self, bytes: &[u8], next: Option<Part>, model: &Model, out: &mut Line) {
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
                    self.event(&event, model, out);
                    assert_eq!(self.connection.in_flight(), self.pending.len());
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

    fn judge_wanted(&self, next: Option<Part>, model: &Model) {
        if let (Some(wanted), Some(next), true) = (self.connection.wants_payload(), next, model.is_sure()) {
            let Part::Data { id, offset, .. } = next else { panic!("{next:?} comes, not data") };
            let pending = self.pending.iter().find(|pending| pending.slot == wanted.slot);
            assert_eq!((pending.map(|pending| pending.id), wanted.offset), (Some(id), offset));
        }
    }

    fn event(&mut self, event: &ControllerEvent<'_>, model: &Model, out: &mut Line) {
        match *event {
            ControllerEvent::Connected => {
                let mut pdu = Vec::new();
                self.connection.encode_ic_resp(&mut pdu);
                out.send(&pdu);
            }
            ControllerEvent::Capsule { slot, sqe, in_capsule_len } => {
                self.capsule(slot, &sqe, in_capsule_len, model);
            }
            ControllerEvent::Data { slot, offset, bytes } => {
                let pending = self.of(slot);
                assert_eq!((pending.state, offset as usize), (State::Receiving, pending.data.len()));
                pending.data.extend_from_slice(bytes);
                assert!(pending.data.len() <= TRANSFER_BYTES_MAX as usize);
            }
            ControllerEvent::DataDone { slot, intact } => {
                let pending = self.of(slot);
                assert_eq!(pending.state, State::Receiving);
                pending.state = State::Ready;
                pending.intact = intact;
                model.judge_data(End::Controller, pending.id, &pending.data, intact);
            }
            ControllerEvent::Terminated(error) => self.ended = Some(Ended::Told(error)),
        }
    }

    fn capsule(&mut self, slot: Slot, sqe: &Sqe, in_capsule_len: u32, model: &Model) {
        assert!(self.pending.iter().all(|pending| pending.slot != slot), "a slot carries one command");
        let (id, opcode, len_bytes) = (sqe.cdw10.get(), sqe.opcode, sqe.sgl.length.get());
        model.judge_command(id, opcode, len_bytes, in_capsule_len);
        let state = match (opcode, len_bytes) {
            _ if in_capsule_len > 0 => State::Receiving,
            (WRITE, 1..=TRANSFER_BYTES_MAX) => State::WantsData,
            _ => State::Ready,
        };
        self.pending.push(Pending { slot, id, opcode, len_bytes, state, data: Vec::new(), intact: true });
    }

    fn of(&mut self, slot: Slot) -> &mut Pending {
        self.pending.iter_mut().find(|pending| pending.slot == slot).expect("data of a command in flight")
    }

    /// Goes on with one of the commands that do not wait for data; whether there was one.
    pub(super) fn go_on(&mut self, pick: u8, choice: u8, model: &mut Model, out: &mut Line) -> bool {
        let waiting =
            self.pending.iter().enumerate().filter(|(_, pending)| pending.state != State::Receiving);
        let waiting: Vec<usize> = waiting.map(|(index, _)| index).collect();
        if self.ended.is_some() || waiting.is_empty() {
            return false;
        }
        let index = waiting[usize::from(pick) % waiting.len()];
        let pending = &mut self.pending[index];
        let refuses = choice & 3 == 3;
        if pending.state == State::WantsData && !refuses {
            pending.state = State::Receiving;
            let mut pdu = Vec::new();
            self.connection.encode_r2t(pending.slot, pending.len_bytes, &mut pdu);
            out.send(&pdu);
            return true;
        }
        let pending = self.pending.remove(index);
        if pending.opcode == READ && (1..=TRANSFER_BYTES_MAX).contains(&pending.len_bytes) && !refuses {
            self.answer_with_data(&pending, choice & 3 == 1, model, out);
        } else {
            let status = match (pending.intact, refuses) {
                (false, _) => Status::TRANSIENT_TRANSPORT_ERROR,
                (true, true) => Status::INVALID_FIELD,
                (true, false) => Status::SUCCESS,
            };
            self.respond(&pending, status, 0, model, out);
        }
        true
    }

    /// `by_data`: without a response of its own.
    fn answer_with_data(&mut self, pending: &Pending, by_data: bool, model: &mut Model, out: &mut Line) {
        let mut pdu = Vec::new();
        self.connection.encode_c2h_data(pending.slot, pending.len_bytes, by_data, &mut pdu);
        out.send(&pdu);
        let data = data_of(pending.id, 0, pending.len_bytes);
        out.send_data(pending.id, 0, &data, self.data_digest());
        if by_data {
            self.connection.release(pending.slot);
            let answer = Answered { status: Status::SUCCESS, result: 0, sent: pending.len_bytes };
            model.answer(pending.id, answer);
        } else {
            self.respond(pending, Status::SUCCESS, pending.len_bytes, model, out);
        }
    }

    fn respond(&mut self, pending: &Pending, status: Status, sent: u32, model: &mut Model, out: &mut Line) {
        let result = u64::from(pending.id) << 7 | 5;
        let mut pdu = Vec::new();
        self.connection.encode_response(pending.slot, Cqe::new(0, SQHD_DISABLED, status, result), &mut pdu);
        out.send(&pdu);
        model.answer(pending.id, Answered { status, result, sent });
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.connection.in_flight() == 0
    }
}
