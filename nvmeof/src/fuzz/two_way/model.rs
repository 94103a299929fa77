//! What must come of each command.

use std::collections::BTreeMap;

use super::line::Part;
use crate::{Status, transport::HostTransfer, wire::Cqe};

/// Where bytes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Host,
    Controller,
}

/// The one byte that was changed on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Harm {
    pub(super) to: End,
    pub(super) part: Part,
    pub(super) mask: u8,
}

/// How an end ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended<E> {
    /// It found fault with its peer, and said so.
    Broke(E),
    /// Its peer said so.
    Told(E),
}

/// How the controller answered a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) status: Status,
    pub(super) result: u64,
    /// Bytes of data that it sent.
    pub(super) sent: u32,
}

/// Commands that were begun, answers that were given, and the harm that was done.
#[derive(Debug, Default)]
pub(super) struct Model {
    begun: BTreeMap<u32, HostTransfer>,
    answered: BTreeMap<u32, Answered>,
    pub(super) harm: Option<Harm>,
}

/// Byte `offset` of the data of command `id`, either way.
pub(super) fn byte_of(id: u32, offset: u32) -> u8 {
    (id.wrapping_mul(31) ^ offset ^ offset >> 8) as u8
}

pub(super) fn data_of(id: u32, offset: u32, len: u32) -> Vec<u8> {
    (offset..offset + len).map(|offset| byte_of(id, offset)).collect()
}

impl Model {
    /// Whether no header was changed that no digest covers: nothing can be said of what such a change brings about, but
    /// that neither side loses its footing.
    pub(super) fn is_sure(&self) -> bool {
        !self.harm.is_some_and(|harm| harm.part == Part::Header { checked: false })
    }

    pub(super) fn begin(&mut self, transfer: HostTransfer) -> u32 {
        let id = self.begun.len() as u32;
        self.begun.insert(id, transfer);
        id
    }

    /// The controller got a command.
    pub(super) fn judge_command(&self, id: u32, opcode: u8, len_bytes: u32, in_capsule_len: u32) {
        if self.is_sure() {
            let transfer = self.begun[&id];
            let (in_capsule, len) = match transfer {
                HostTransfer::None => (0, 0),
                HostTransfer::In(len) | HostTransfer::Out(len) => (0, len),
                HostTransfer::InCapsule(len) => (len, len),
            };
            assert_eq!((opcode, in_capsule_len, len_bytes), (super::opcode(transfer), in_capsule, len));
        }
    }

    /// All of a command's data came to one end.
    pub(super) fn judge_data(&self, to: End, id: u32, data: &[u8], intact: bool) {
        if !self.is_sure() {
            return;
        }
        let mut expected = data_of(id, 0, data.len() as u32);
        let mut is_intact = true;
        match self.harm.filter(|harm| harm.to == to) {
            Some(Harm { part: Part::Data { id: hit, offset, checked }, mask, .. }) if hit == id => {
                expected[offset as usize] ^= mask;
                is_intact = !checked;
            }
            Some(Harm { part: Part::DataDigest { id: hit }, .. }) if hit == id => is_intact = false,
            _ => {}
        }
        assert_eq!((data, intact), (&*expected, is_intact), "command {id}");
    }

    pub(super) fn answer(&mut self, id: u32, answer: Answered) {
        let before = self.answered.insert(id, answer);
        assert!(before.is_none() || !self.is_sure(), "a command is answered once");
    }

    /// The host got a response, and `data` before it.
    pub(super) fn judge_response(&mut self, id: u32, cqe: &Cqe, data: &[u8], intact: bool) {
        if self.is_sure() {
            let answer = self.answered[&id];
            let came = Answered { status: cqe.status(), result: cqe.result.get(), sent: data.len() as u32 };
            assert_eq!(came, answer, "command {id}");
            self.judge_data(End::Host, id, data, intact);
        }
    }
}
