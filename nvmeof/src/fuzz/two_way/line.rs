//! One direction of the connection: bytes in flight, each of which knows what it is.

use std::collections::VecDeque;

use crate::{transport::Crc32c, wire::pdu::HDGSTF};

/// What a byte is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A header, or its digest. Not `checked`: it has none.
    Header {
        checked: bool,
    },
    /// Between a header and its data.
    Padding,
    /// Byte `offset` of a command's data.
    Data {
        id: u32,
        offset: u32,
        checked: bool,
    },
    DataDigest {
        id: u32,
    },
}

#[derive(Debug, Default)]
pub(super) struct Line {
    in_flight: VecDeque<(u8, Part)>,
}

impl Line {
    /// A PDU without data, or what stands before its data.
    pub(super) fn send(&mut self, header: &[u8]) {
        let [_, flags, hlen, pdo, ..] = *header else { unreachable!("a PDU begins with its common header") };
        let checked = flags & HDGSTF != 0;
        let header_len = usize::from(hlen) + if checked { 4 } else { 0 };
        // A TermReq's copy of another header follows its own without PDO; it counts as header.
        let part = |at| if pdo != 0 && at >= header_len { Part::Padding } else { Part::Header { checked } };
        self.in_flight.extend(header.iter().enumerate().map(|(at, &byte)| (byte, part(at))));
    }

    /// The data that belongs behind a header: of command `id` from `offset` on, with a digest if `checked`.
    pub(super) fn send_data(&mut self, id: u32, offset: u32, data: &[u8], checked: bool) {
        let bytes = (offset..).zip(data);
        self.in_flight.extend(bytes.map(|(offset, &byte)| (byte, Part::Data { id, offset, checked })));
        if checked {
            let digest = Crc32c::of(data).to_le_bytes();
            self.in_flight.extend(digest.map(|byte| (byte, Part::DataDigest { id })));
        }
    }

    /// Changes one of the bytes in flight, if there are any; what it was of.
    pub(super) fn corrupt(&mut self, place: usize, mask: u8) -> Option<Part> {
        let len = self.in_flight.len();
        let (byte, part) = self.in_flight.get_mut(place.checked_rem(len)?)?;
        *byte ^= mask;
        Some(*part)
    }

    /// The next byte's.
    pub(super) fn front(&self) -> Option<Part> {
        self.in_flight.front().map(|&(_, part)| part)
    }

    /// Up to `len` bytes arrive.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        let len = len.min(self.in_flight.len());
        self.in_flight.drain(..len).map(|(byte, _)| byte).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }
}
