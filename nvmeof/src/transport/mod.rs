//! One NVMe/TCP connection, which is one queue pair: capsules above, PDUs below.
//!
//! Both ends have the same shape. Bytes go in by `receive`, which says how many it used and what they meant;
//! headers come out by the `encode_*` methods, which append to a buffer that the caller owns and gathers with its
//! own payload slices into one send. Payload is never copied here: an event names the command and the offset
//! where a slice belongs, and `wants_payload` tells beforehand, so that the rest of a large transfer can be received
//! in its place.
//!
//! Every command in flight has a [`Slot`]. On the controller's side it is also the transfer tag, on the host's side
//! the command identifier, so that no lookup searches.

mod commands;
mod controller_side;
mod digest;
mod encode;
mod framer;
mod host_side;
mod validate;

#[cfg(test)]
mod tests;

pub use controller_side::{ControllerConnection, ControllerEvent};
pub use digest::Crc32c;
pub use host_side::{HostConnection, HostEvent, HostTransfer, ICRequest};

use crate::wire::pdu::{DDGST_ENABLE, Fes, HDGST_ENABLE};

/// Index of a command in flight on one connection, below the queue's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u16);

impl Slot {
    /// For tables with an entry per slot.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Controller,
    Host,
}

/// The peer broke the transport: send this in a TermReq, then close (TCP §3.5).
/// Also what a peer's own TermReq said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fatal NVMe/TCP error {fes:?}, information {fei:#x}")]
pub struct TermReq {
    pub fes: Fes,
    /// Byte offset of the wrong field, or the digest received; what `fes` says.
    pub fei: u32,
}

impl TermReq {
    pub(crate) fn header_field(byte_offset: u32) -> Self {
        Self { fes: Fes::INVALID_PDU_HEADER_FIELD, fei: byte_offset }
    }

    pub(crate) fn new(fes: Fes) -> Self {
        Self { fes, fei: 0 }
    }
}

/// What both ends agreed on by ICReq and ICResp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    pub header_digest: bool,
    pub data_digest: bool,
    /// Data that we send begins at a multiple of this, counted from its PDU's first byte.
    pub peer_alignment_bytes: u8,
    /// R2Ts that may be outstanding for one command.
    pub r2ts_max: u32,
    /// Largest H2CData payload in bytes.
    pub h2c_data_bytes_max: u32,
}

impl Negotiated {
    fn from_dgst(dgst: u8, pda_z: u8, r2ts_max: u32, h2c_data_bytes_max: u32) -> Self {
        Self {
            header_digest: dgst & HDGST_ENABLE != 0,
            data_digest: dgst & DDGST_ENABLE != 0,
            peer_alignment_bytes: (pda_z + 1) * 4,
            r2ts_max,
            h2c_data_bytes_max,
        }
    }

    fn dgst(&self) -> u8 {
        dgst(self.header_digest, self.data_digest)
    }
}

/// The DGST field of ICReq and ICResp.
fn dgst(header_digest: bool, data_digest: bool) -> u8 {
    (u8::from(header_digest) * HDGST_ENABLE) | (u8::from(data_digest) * DDGST_ENABLE)
}

/// Where the next payload bytes of a connection belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedPayload {
    pub slot: Slot,
    /// Offset within the command's data, in bytes.
    pub offset: u32,
    /// Bytes still to come in this PDU; the digest, if any, comes after them.
    pub len: u32,
}
