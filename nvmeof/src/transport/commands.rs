//! The controller's table of commands in flight: one slot each, which is also the transfer tag of its R2T.
//!
//! ```text
//!           capsule with data        its last byte came
//!   Free ------------------> InCapsule -----> Held <-------+
//!    |  ^                                     |  |         | last byte came
//!    |  +------------- release ---------------+  +--> Solicited
//!    +---- capsule without data -------------> Held    request_data
//! ```

use super::{Slot, TermReq};
use crate::wire::pdu::{DataHeader, Fes, LAST_PDU};

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// Data behind the entry, in its own capsule, is arriving.
    InCapsule,
    /// The layer above has it.
    Held,
    /// An R2T went out and its data is arriving.
    Solicited,
}

#[derive(Debug, Clone, Copy)]
struct Command {
    state: State,
    cid: u16,
    /// Bytes that shall come, and those that came.
    len: u32,
    received: u32,
    /// No data digest was wrong.
    intact: bool,
}

const FREE: Command = Command { state: State::Free, cid: 0, len: 0, received: 0, intact: true };

/// All slots of a queue.
#[derive(Debug)]
pub(super) struct Commands {
    slots: Vec<Command>,
    /// Free slots; the one used last is used next, so that few slots stay warm.
    free: Vec<Slot>,
}

impl Commands {
    /// A table with `entries` slots.
    pub(super) fn new(entries: u16) -> Self {
        let mut commands = Self { slots: Vec::new(), free: Vec::new() };
        commands.grow(entries);
        commands
    }

    /// More slots; existing ones stay as they are.
    pub(super) fn grow(&mut self, entries: u16) {
        let first = self.slots.len() as u16;
        assert!(first <= entries, "a queue does not shrink");
        self.slots.resize(usize::from(entries), FREE);
        self.free.reserve(usize::from(entries));
        self.free.extend((first..entries).rev().map(Slot));
    }

    /// A capsule came. More than the queue holds breaks the peer's own queue size.
    pub(super) fn capsule(&mut self, cid: u16, in_capsule_len: u32) -> Result<Slot, TermReq> {
        let slot = self.free.pop().ok_or(TermReq::new(Fes::PDU_SEQUENCE_ERROR))?;
        let command = &mut self.slots[slot.index()];
        assert_eq!(command.state, State::Free, "the free list holds free slots");
        let state = if in_capsule_len > 0 { State::InCapsule } else { State::Held };
        *command = Command { state, cid, len: in_capsule_len, received: 0, intact: true };
        Ok(slot)
    }

    /// The layer above wants `len` bytes by R2T.
    pub(super) fn request_data(&mut self, slot: Slot, len: u32) {
        let command = &mut self.slots[slot.index()];
        assert_eq!(command.state, State::Held, "data is asked for once, after the capsule");
        assert!(len > 0, "an R2T asks for something");
        *command = Command { state: State::Solicited, len, received: 0, ..*command };
    }

    /// An H2CData header: the slot it belongs to, or its lowest wrong field. The tag says which command is meant, so
    /// without it only the identifier can be judged.
    pub(super) fn h2c_data(&self, header: &DataHeader, payload_bytes: u32) -> Result<Slot, TermReq> {
        const FLAGS: u32 = 1;
        const CCCID: u32 = 8;
        const TTAG: u32 = 10;
        const DATAL: u32 = 16;
        let slot = Slot(header.ttag.get());
        let Some(command) = self.slots.get(slot.index()).filter(|command| command.state == State::Solicited)
        else {
            let is_named =
                |command: &Command| command.state != State::Free && command.cid == header.cccid.get();
            let cccid_is_right = self.slots.iter().any(is_named);
            return Err(TermReq::header_field(if cccid_is_right { TTAG } else { CCCID }));
        };
        // In order and without gaps: TCP §3.3.2.1 leaves the host no other way with one R2T outstanding.
        let left = command.len - command.received;
        let in_range = header.datao.get() == command.received && payload_bytes <= left;
        if in_range && (header.ch.flags & LAST_PDU != 0) != (payload_bytes == left) {
            return Err(TermReq::header_field(FLAGS));
        }
        if header.cccid.get() != command.cid {
            return Err(TermReq::header_field(CCCID));
        }
        if header.datal.get() != payload_bytes {
            return Err(TermReq::header_field(DATAL));
        }
        if !in_range {
            return Err(TermReq::new(Fes::DATA_TRANSFER_OUT_OF_RANGE));
        }
        Ok(slot)
    }

    /// `len` bytes came: the offset where they belong.
    pub(super) fn data(&mut self, slot: Slot, len: u32) -> u32 {
        let command = &mut self.slots[slot.index()];
        let offset = command.received;
        command.received += len;
        assert!(command.received <= command.len, "the headers bound what comes");
        offset
    }

    /// Offset of the next byte of a command.
    pub(super) fn received(&self, slot: Slot) -> u32 {
        self.slots[slot.index()].received
    }

    /// A PDU's payload ended: whether all of the command's data has come, and then whether it is intact.
    pub(super) fn payload_end(&mut self, slot: Slot, intact: bool) -> Option<bool> {
        let command = &mut self.slots[slot.index()];
        command.intact &= intact;
        if command.received < command.len {
            return None;
        }
        assert_ne!(command.state, State::Free, "data belongs to a command in flight");
        command.state = State::Held;
        Some(command.intact)
    }

    /// The command identifier that the host gave.
    pub(super) fn cid(&self, slot: Slot) -> u16 {
        self.slots[slot.index()].cid
    }

    /// The command is answered: the host may use its identifier again.
    pub(super) fn release(&mut self, slot: Slot) {
        let command = &mut self.slots[slot.index()];
        assert_eq!(command.state, State::Held, "only a command without data under way is answered");
        command.state = State::Free;
        self.free.push(slot);
    }

    /// Commands in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[cfg(test)]
    pub(super) fn state(&self, slot: Slot) -> State {
        self.slots[slot.index()].state
    }
}
