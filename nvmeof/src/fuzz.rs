//! Fuzz bodies as ordinary functions: `tests/fuzz` runs them without end, a test replays its corpus.

mod authentication;
mod capsules;
mod two_way;

pub use authentication::authentication;
pub use capsules::capsules;
pub use two_way::two_way;

use crate::{
    Status,
    command::{AdminCommand, NvmCommand},
    transport::{
        ControllerConnection, ControllerEvent, HostConnection, HostEvent, HostTransfer, ICRequest, Slot,
    },
    wire::{Cqe, Sqe},
};

const ENTRIES: u16 = 4;

/// Splits fuzz input into a piece length and the bytes that are received in such pieces.
fn pieces(input: &[u8]) -> (usize, &[u8]) {
    match input.split_first() {
        Some((&len, bytes)) => (usize::from(len) + 1, bytes),
        None => (1, input),
    }
}

/// A controller fed with arbitrary bytes, which answers as a target would. Its outcome must not depend on how the
/// bytes are cut: that is the oracle, next to never panicking.
pub fn controller_framing(input: &[u8]) {
    let (piece, bytes) = pieces(input);
    assert_eq!(run_controller(bytes, piece), run_controller(bytes, bytes.len().max(1)));
}

/// All that a target would see and send, in one string of bytes.
fn run_controller(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut connection = ControllerConnection::new(ENTRIES);
    let mut seen = Vec::new();
    for chunk in bytes.chunks(piece) {
        let mut at = 0;
        loop {
            match connection.receive(&chunk[at..]) {
                Ok((used, None)) => {
                    assert_eq!(at + used, chunk.len(), "without an event all bytes are used");
                    break;
                }
                Ok((used, Some(event))) => {
                    at += used;
                    on_controller_event(&mut connection, &event, &mut seen);
                }
                Err(error) => {
                    connection.encode_term_req(error, &mut seen);
                    return seen;
                }
            }
        }
    }
    seen
}

fn on_controller_event(
    connection: &mut ControllerConnection,
    event: &ControllerEvent<'_>,
    seen: &mut Vec<u8>,
) {
    match *event {
        ControllerEvent::Connected => connection.encode_ic_resp(seen),
        ControllerEvent::Capsule { slot, sqe, in_capsule_len } => {
            let parsed = (AdminCommand::parse(&sqe), NvmCommand::parse(&sqe));
            seen.extend_from_slice(format!("{parsed:?}").as_bytes());
            match (in_capsule_len, sqe.sgl.length.get()) {
                (0, len @ 1..=0xFFFF) => connection.encode_r2t(slot, len, seen),
                (0, _) => connection.encode_response(slot, Cqe::new(0, 0, Status::SUCCESS, 0), seen),
                (_, _) => {}
            }
        }
        ControllerEvent::Data { bytes, .. } => seen.extend_from_slice(bytes),
        ControllerEvent::DataDone { slot, intact } => {
            let status = if intact { Status::SUCCESS } else { Status::TRANSIENT_TRANSPORT_ERROR };
            connection.encode_response(slot, Cqe::new(0, 0, status, 0), seen);
        }
        ControllerEvent::Terminated(error) => seen.extend_from_slice(format!("{error:?}").as_bytes()),
    }
}

/// A host with a read and a write under way, fed with arbitrary bytes: never panics, takes no data beyond its
/// read, and its outcome does not depend on how the bytes are cut.
pub fn host_framing(input: &[u8]) {
    let (piece, bytes) = pieces(input);
    assert_eq!(run_host(bytes, piece), run_host(bytes, bytes.len().max(1)));
}

fn run_host(bytes: &[u8], piece: usize) -> Vec<u8> {
    const READ_LEN: u32 = 4096;
    let mut connection = HostConnection::new(ENTRIES, ICRequest::default());
    let mut seen = Vec::new();
    for chunk in bytes.chunks(piece) {
        let mut at = 0;
        loop {
            match connection.receive(&chunk[at..]) {
                Ok((_, None)) => break,
                Err(error) => {
                    connection.encode_term_req(error, &mut seen);
                    return seen;
                }
                Ok((used, Some(event))) => {
                    at += used;
                    match event {
                        HostEvent::Connected => {
                            connection.encode_command(
                                Slot(0),
                                Sqe::new(2),
                                HostTransfer::In(READ_LEN),
                                &mut seen,
                            );
                            connection.encode_command(
                                Slot(1),
                                Sqe::new(1),
                                HostTransfer::Out(READ_LEN),
                                &mut seen,
                            );
                        }
                        HostEvent::Data { offset, bytes, .. } => {
                            assert!(offset as usize + bytes.len() <= READ_LEN as usize);
                            seen.extend_from_slice(bytes);
                        }
                        HostEvent::Requested { slot, ttag, offset, len } => {
                            let limit = connection.negotiated().map_or(0, |agreed| agreed.h2c_data_bytes_max);
                            connection.encode_h2c_data(slot, ttag, offset, len.min(limit), &mut seen);
                        }
                        HostEvent::Response { .. } | HostEvent::Terminated(_) => {
                            seen.extend_from_slice(format!("{event:?}").as_bytes());
                        }
                    }
                }
            }
        }
    }
    seen
}
