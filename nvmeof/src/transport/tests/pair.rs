//! Host and controller joined in memory: reads and writes of every kind through random pieces, all digests.

use proptest::prelude::*;

use super::super::*;
use crate::{
    Status,
    wire::{Cqe, Sqe},
};

/// A byte pipe that gives at most what `pieces` says, round and round.
struct Pipe {
    bytes: Vec<u8>,
    pieces: Vec<usize>,
    turn: usize,
}

impl Pipe {
    fn new(pieces: &[usize]) -> Self {
        Self { bytes: Vec::new(), pieces: pieces.to_vec(), turn: 0 }
    }

    fn take(&mut self) -> Vec<u8> {
        let piece = self.pieces[self.turn % self.pieces.len()].min(self.bytes.len());
        self.turn += 1;
        self.bytes.drain(..piece).collect()
    }
}

/// The two ends, a pretend drive on the controller's side, and buffers by slot on the host's.
struct Pair {
    host: HostConnection,
    controller: ControllerConnection,
    to_controller: Pipe,
    to_host: Pipe,
    stored: Vec<Vec<u8>>,
    host_data: Vec<Vec<u8>>,
    responses: Vec<(Slot, bool)>,
    controller_data: Vec<Vec<u8>>,
    opcodes: Vec<u8>,
    success_flag: bool,
    /// Payload is taken by `wants_payload` where possible, as a receive in place would.
    in_place: bool,
}

const READ: u8 = 2;
const WRITE: u8 = 1;
const SLOTS: u16 = 4;

fn pattern(slot: u16, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31) ^ (slot as u8) ^ (i >> 8) as u8).collect()
}

impl Pair {
    fn new(request: ICRequest, pieces: &[usize], success_flag: bool, in_place: bool) -> Self {
        let slots = usize::from(SLOTS);
        let mut pair = Self {
            host: HostConnection::new(SLOTS, request),
            controller: ControllerConnection::new(SLOTS),
            to_controller: Pipe::new(pieces),
            to_host: Pipe::new(pieces),
            stored: vec![Vec::new(); slots],
            host_data: vec![Vec::new(); slots],
            responses: Vec::new(),
            controller_data: vec![Vec::new(); slots],
            opcodes: vec![0; slots],
            success_flag,
            in_place,
        };
        pair.host.encode_ic_req(&mut pair.to_controller.bytes);
        while pair.host.negotiated().is_none() {
            pair.step();
        }
        pair
    }

    fn payload(pipe: &mut Pipe, data: &[u8], digest: bool) {
        pipe.bytes.extend_from_slice(data);
        if digest {
            pipe.bytes.extend_from_slice(&Crc32c::of(data).to_le_bytes());
        }
    }

    fn send(&mut self, slot: u16, opcode: u8, transfer: HostTransfer) {
        let mut sqe = Sqe::new(opcode);
        let len = match transfer {
            HostTransfer::None => 0,
            HostTransfer::In(len) | HostTransfer::InCapsule(len) | HostTransfer::Out(len) => len,
        };
        sqe.cdw10 = len.into();
        self.host_data[usize::from(slot)] = match transfer {
            HostTransfer::In(len) => vec![0; len as usize],
            _ => pattern(slot, len as usize),
        };
        self.host.encode_command(Slot(slot), sqe, transfer, &mut self.to_controller.bytes);
        if let HostTransfer::InCapsule(_) = transfer {
            let digest = self.host.negotiated().unwrap().data_digest;
            Self::payload(&mut self.to_controller, &self.host_data[usize::from(slot)], digest);
        }
    }

    /// One piece each way.
    fn step(&mut self) {
        let bytes = self.to_controller.take();
        let mut at = 0;
        loop {
            let end = match self.controller.wants_payload() {
                Some(wanted) if self.in_place => bytes.len().min(at + wanted.len as usize),
                _ => bytes.len(),
            };
            let (used, event) = self.controller.receive(&bytes[at..end]).unwrap();
            at += used;
            match event {
                Some(event) => Self::on_controller(
                    &mut self.controller,
                    &mut self.to_host,
                    &mut self.controller_data,
                    &mut self.opcodes,
                    &mut self.stored,
                    self.success_flag,
                    event,
                ),
                None if at == bytes.len() => break,
                None => {}
            }
        }
        let bytes = self.to_host.take();
        let mut at = 0;
        while let (used, Some(event)) = self.host.receive(&bytes[at..]).unwrap() {
            at += used;
            match event {
                HostEvent::Connected => {}
                HostEvent::Data { slot, offset, bytes } => {
                    self.host_data[slot.index()][offset as usize..][..bytes.len()].copy_from_slice(bytes);
                }
                HostEvent::Requested { slot, ttag, offset, len } => {
                    // In two PDUs, so that both LAST_PDU and offsets are seen.
                    let half = (len / 2).next_multiple_of(4).min(len);
                    for (offset, len) in [(offset, half), (offset + half, len - half)] {
                        if len > 0 {
                            self.host.encode_h2c_data(slot, ttag, offset, len, &mut self.to_controller.bytes);
                            let data = &self.host_data[slot.index()][offset as usize..][..len as usize];
                            let digest = self.host.negotiated().unwrap().data_digest;
                            Self::payload(&mut self.to_controller, data, digest);
                        }
                    }
                }
                HostEvent::Response { slot, cqe, intact, .. } => {
                    assert!(cqe.status().is_success());
                    self.responses.push((slot, intact));
                }
                HostEvent::Terminated(error) => panic!("{error}"),
            }
        }
    }

    fn on_controller(
        controller: &mut ControllerConnection,
        to_host: &mut Pipe,
        data: &mut [Vec<u8>],
        opcodes: &mut [u8],
        stored: &mut [Vec<u8>],
        success_flag: bool,
        event: ControllerEvent<'_>,
    ) {
        match event {
            ControllerEvent::Connected => controller.encode_ic_resp(&mut to_host.bytes),
            ControllerEvent::Capsule { slot, sqe, in_capsule_len } => {
                let len = sqe.cdw10.get();
                data[slot.index()] = vec![0; len as usize];
                opcodes[slot.index()] = sqe.opcode;
                if sqe.opcode == READ {
                    let answer = pattern(controller.cid(slot), len as usize);
                    controller.encode_c2h_data(slot, len, success_flag, &mut to_host.bytes);
                    Self::payload(to_host, &answer, controller.negotiated().unwrap().data_digest);
                    if success_flag {
                        controller.release(slot);
                    } else {
                        let cqe = Cqe::new(0, 0, Status::SUCCESS, 0);
                        controller.encode_response(slot, cqe, &mut to_host.bytes);
                    }
                } else if in_capsule_len == 0 {
                    controller.encode_r2t(slot, len, &mut to_host.bytes);
                }
            }
            ControllerEvent::Data { slot, offset, bytes } => {
                data[slot.index()][offset as usize..][..bytes.len()].copy_from_slice(bytes);
            }
            ControllerEvent::DataDone { slot, intact } => {
                assert!(intact);
                let cid = usize::from(controller.cid(slot));
                stored[cid] = data[slot.index()].clone();
                controller.encode_response(slot, Cqe::new(0, 0, Status::SUCCESS, 0), &mut to_host.bytes);
            }
            ControllerEvent::Terminated(error) => panic!("{error}"),
        }
    }

    /// One read, one write in the capsule, one by R2T, all at once; then checks every byte.
    fn exercise(&mut self, len: u32) {
        self.send(0, READ, HostTransfer::In(len));
        self.send(1, WRITE, HostTransfer::InCapsule(len.min(8192)));
        self.send(2, WRITE, HostTransfer::Out(len));
        while self.responses.len() < 3 {
            self.step();
        }
        assert!(self.responses.iter().all(|&(_, intact)| intact));
        assert_eq!(self.host_data[0], pattern(0, len as usize));
        assert_eq!(self.stored[1], pattern(1, len.min(8192) as usize));
        assert_eq!(self.stored[2], pattern(2, len as usize));
        assert_eq!(self.controller.in_flight(), 0);
    }
}

fn requests() -> impl Iterator<Item = ICRequest> {
    (0..8).map(|bits| ICRequest {
        header_digest: bits & 1 != 0,
        data_digest: bits & 2 != 0,
        hpda_z: if bits & 4 != 0 { 31 } else { 0 },
    })
}

#[test]
fn one_byte_at_a_time() {
    for request in requests() {
        Pair::new(request, &[1], true, false).exercise(20);
    }
}

#[test]
fn split_once_at_every_byte() {
    for request in requests() {
        for first in 1..400 {
            Pair::new(request, &[first, usize::MAX], false, false).exercise(24);
        }
    }
}

#[test]
fn a_corrupted_payload_is_not_intact_and_harms_nothing_else() {
    let request = ICRequest { data_digest: true, ..ICRequest::default() };
    let mut pair = Pair::new(request, &[usize::MAX], false, false);
    pair.send(1, WRITE, HostTransfer::InCapsule(64));
    let last = pair.to_controller.bytes.len() - 10;
    pair.to_controller.bytes[last] ^= 1;
    pair.send(2, READ, HostTransfer::In(64));
    let bytes = pair.to_controller.take();
    let mut at = 0;
    let mut seen = Vec::new();
    while let (used, Some(event)) = pair.controller.receive(&bytes[at..]).unwrap() {
        at += used;
        match event {
            ControllerEvent::DataDone { intact, .. } => seen.push(intact),
            ControllerEvent::Capsule { .. } => seen.push(true),
            _ => {}
        }
    }
    assert_eq!(seen, [true, false, true]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_pieces(
        pieces in prop::collection::vec(1_usize..5000, 1..12),
        dwords in 1_u32..8192,
        bits in 0_u8..16,
        hpda_z in 0_u8..32,
        in_place: bool,
    ) {
        let request = ICRequest { header_digest: bits & 1 != 0, data_digest: bits & 2 != 0, hpda_z };
        Pair::new(request, &pieces, bits & 4 != 0, in_place).exercise(dwords * 4);
    }
}
