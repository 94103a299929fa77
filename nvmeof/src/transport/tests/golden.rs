//! Bytes written out by hand from the specification's figures.

use super::super::*;
use crate::{
    Status,
    wire::{Cqe, Sqe},
};

/// An ICReq with both digests, HPDA of 8 bytes, one R2T.
fn ic_req(dgst: u8, hpda_z: u8) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes[..8].copy_from_slice(&[0x00, 0x00, 128, 0x00, 128, 0, 0, 0]);
    bytes[10] = hpda_z;
    bytes[11] = dgst;
    bytes
}

fn capsule(cid: u8) -> Vec<u8> {
    let mut bytes = vec![0; 72];
    bytes[..8].copy_from_slice(&[0x04, 0x00, 72, 0x00, 72, 0, 0, 0]);
    bytes[8] = 0x02;
    bytes[9] = 0x40;
    bytes[10] = cid;
    bytes
}

fn connected(dgst: u8, hpda_z: u8) -> ControllerConnection {
    let mut connection = ControllerConnection::new(4);
    let bytes = ic_req(dgst, hpda_z);
    let (used, event) = connection.receive(&bytes).unwrap();
    assert_eq!(used, 128);
    assert!(matches!(event, Some(ControllerEvent::Connected)));
    connection
}

fn take_capsule(connection: &mut ControllerConnection, bytes: &[u8]) -> Slot {
    match connection.receive(bytes).unwrap() {
        (used, Some(ControllerEvent::Capsule { slot, .. })) if used == bytes.len() => slot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ic_resp() {
    let mut out = Vec::new();
    connected(0b11, 0).encode_ic_resp(&mut out);
    let mut expected = vec![0; 128];
    expected[..8].copy_from_slice(&[0x01, 0x00, 128, 0x00, 128, 0, 0, 0]);
    expected[11] = 0b11;
    expected[12..16].copy_from_slice(&[0x00, 0x00, 0x04, 0x00]);
    assert_eq!(out, expected);
}

#[test]
fn the_hosts_own_ic_req() {
    let mut out = Vec::new();
    let request = ICRequest { header_digest: true, data_digest: false, hpda_z: 1 };
    HostConnection::new(1, request).encode_ic_req(&mut out);
    assert_eq!(out, ic_req(0b01, 1));
}

#[test]
fn capsule_resp() {
    let mut connection = connected(0, 0);
    let slot = take_capsule(&mut connection, &capsule(9));
    let mut out = Vec::new();
    connection.encode_response(slot, Cqe::new(0, 3, Status::LBA_OUT_OF_RANGE, 0x1122), &mut out);
    let expected = [0x05, 0, 24, 0, 24, 0, 0, 0, 0x22, 0x11, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0x00, 0x81];
    assert_eq!(out, expected);
    assert_eq!(connection.in_flight(), 0);
}

#[test]
fn c2h_data_with_success() {
    let mut connection = connected(0, 0);
    let slot = take_capsule(&mut connection, &capsule(9));
    let mut out = Vec::new();
    connection.encode_c2h_data(slot, 512, true, &mut out);
    let expected =
        [0x07, 0b1100, 24, 24, 0x18, 0x02, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x02, 0, 0, 0, 0, 0, 0];
    assert_eq!(out, expected);
}

#[test]
fn c2h_data_is_padded_to_hpda_and_counts_its_digests() {
    // HPDA 15: data begins at multiples of 64 bytes.
    let mut connection = connected(0b10, 15);
    let slot = take_capsule(&mut connection, &capsule(9));
    let mut out = Vec::new();
    connection.encode_c2h_data(slot, 512, false, &mut out);
    assert_eq!(out.len(), 64);
    assert_eq!(out[..8], [0x07, 0b0110, 24, 64, 0x44, 0x02, 0, 0]);
    assert!(out[24..].iter().all(|&byte| byte == 0));
}

#[test]
fn r2t_names_the_slot_as_its_tag() {
    let mut connection = connected(0, 0);
    let first = take_capsule(&mut connection, &capsule(7));
    let slot = take_capsule(&mut connection, &capsule(8));
    assert_ne!(first, slot);
    let mut out = Vec::new();
    connection.encode_r2t(slot, 0x1_0000, &mut out);
    let expected = [0x09, 0, 24, 0, 24, 0, 0, 0, 8, 0, slot.0 as u8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    assert_eq!(out, expected);
}

#[test]
fn header_digest_is_little_endian_crc32c_behind_the_header() {
    let mut connection = connected(0b01, 0);
    let mut bytes = capsule(9);
    bytes[1] = 0b01;
    bytes[4] = 76;
    let digest = Crc32c::of(&bytes);
    bytes.extend_from_slice(&digest.to_le_bytes());
    let slot = take_capsule(&mut connection, &bytes);
    let mut out = Vec::new();
    connection.encode_r2t(slot, 4096, &mut out);
    assert_eq!(out.len(), 28);
    assert_eq!(out[24..], Crc32c::of(&out[..24]).to_le_bytes());
}

#[test]
fn in_capsule_data_follows_the_entry() {
    let mut host = HostConnection::new(1, ICRequest::default());
    let mut resp = Vec::new();
    connected(0, 0).encode_ic_resp(&mut resp);
    assert!(matches!(host.receive(&resp).unwrap(), (128, Some(HostEvent::Connected))));
    let mut out = Vec::new();
    host.encode_command(Slot(0), Sqe::new(1), HostTransfer::InCapsule(512), &mut out);
    assert_eq!(out.len(), 72);
    assert_eq!(out[..8], [0x04, 0, 72, 72, 0x48, 0x02, 0, 0]);
    // The SGL: offset 0, 512 bytes, data block with offset.
    assert_eq!(out[8 + 24..8 + 40], [0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x02, 0, 0, 0, 0, 0, 0x01]);
}

#[test]
fn term_req_carries_the_wrong_header() {
    let mut connection = connected(0, 0);
    let mut bytes = capsule(9);
    bytes[2] = 71;
    let error = connection.receive(&bytes).unwrap_err();
    let mut out = Vec::new();
    connection.encode_term_req(error, &mut out);
    let mut expected = vec![0; 32];
    expected[..8].copy_from_slice(&[0x03, 0, 24, 0, 32, 0, 0, 0]);
    expected[8] = 1;
    expected[10] = 2;
    expected[24..].copy_from_slice(&bytes[..8]);
    assert_eq!(out, expected);
}
