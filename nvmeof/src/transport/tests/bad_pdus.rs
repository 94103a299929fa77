//! What a host may do wrong, and the error that the specification names for it.

use super::super::*;
use crate::wire::pdu::Fes;

const IC_REQ: [u8; 8] = [0x00, 0, 128, 0, 128, 0, 0, 0];

fn padded(start: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.resize(len, 0);
    bytes
}

/// The error for `bytes` on a connection with digests as ICReq's `dgst` says, or before ICReq.
fn error(dgst: Option<u8>, bytes: &[u8]) -> TermReq {
    let mut connection = ControllerConnection::new(2);
    if let Some(dgst) = dgst {
        let mut req = padded(&IC_REQ, 128);
        req[11] = dgst;
        connection.receive(&req).unwrap();
    }
    let mut at = 0;
    loop {
        match connection.receive(&bytes[at..]) {
            Err(error) => {
                assert_eq!(connection.receive(&[]).unwrap_err(), error, "an error stays");
                return error;
            }
            Ok((used, event)) => {
                assert!(event.is_some() || at + used < bytes.len(), "no error in {bytes:x?}");
                at += used;
            }
        }
    }
}

#[test]
fn common_header_fields_lowest_first() {
    let field = TermReq::header_field;
    let sequence = TermReq::new(Fes::PDU_SEQUENCE_ERROR);
    let table: &[(Option<u8>, [u8; 8], TermReq)] = &[
        // Unknown type, a type that only controllers send, and all other fields wrong too.
        (Some(0), [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], field(0)),
        (Some(0), [0x05, 0, 24, 0, 24, 0, 0, 0], field(0)),
        // Order of PDUs.
        (None, [0x04, 0, 72, 0, 72, 0, 0, 0], sequence),
        (Some(0), IC_REQ, sequence),
        // A digest that was not agreed on, or is missing.
        (Some(0), [0x04, 1, 72, 0, 72, 0, 0, 0], field(1)),
        (Some(0), [0x04, 2, 72, 72, 80, 0, 0, 0], field(1)),
        (Some(1), [0x04, 0, 72, 0, 76, 0, 0, 0], field(1)),
        (Some(2), [0x04, 0, 72, 72, 80, 0, 0, 0], field(1)),
        // HLEN, PDO, PLEN.
        (None, [0x00, 0, 127, 0, 128, 0, 0, 0], field(2)),
        (Some(0), [0x04, 0, 64, 0, 72, 0, 0, 0], field(2)),
        (Some(0), [0x04, 0, 72, 71, 80, 0, 0, 0], field(3)),
        (Some(0), [0x04, 0, 72, 74, 80, 0, 0, 0], field(3)),
        (Some(1), [0x04, 1, 72, 72, 80, 0, 0, 0], field(3)),
        (None, [0x00, 0, 128, 0, 129, 0, 0, 0], field(4)),
        (Some(0), [0x04, 0, 72, 0, 71, 0, 0, 0], field(4)),
        (Some(0), [0x04, 0, 72, 80, 80, 0, 0, 0], field(4)),
        (Some(2), [0x04, 2, 72, 72, 76, 0, 0, 0], field(4)),
        // 8 KiB and a dword in the capsule; an H2CData without data; one longer than MAXH2CDATA.
        (Some(0), [0x04, 0, 72, 72, 0x4C, 0x20, 0, 0], field(4)),
        (Some(0), [0x06, 4, 24, 24, 24, 0, 0, 0], field(4)),
        (Some(0), [0x06, 4, 24, 24, 0x19, 0, 4, 0], TermReq::new(Fes::LIMIT_EXCEEDED)),
        (Some(0), [0x02, 0, 24, 0, 153, 0, 0, 0], field(4)),
    ];
    for (dgst, header, expected) in table {
        assert_eq!(error(*dgst, header), *expected, "{header:x?} with digests {dgst:?}");
    }
}

#[test]
fn ic_req_fields() {
    let mut bytes = padded(&IC_REQ, 128);
    bytes[8] = 1;
    assert_eq!(error(None, &bytes), TermReq { fes: Fes::UNSUPPORTED_PARAMETER, fei: 8 });
    let mut bytes = padded(&IC_REQ, 128);
    bytes[10] = 32;
    assert_eq!(error(None, &bytes), TermReq::header_field(10));
}

#[test]
fn a_wrong_header_digest_is_fatal_and_told() {
    let mut bytes = padded(&[0x04, 1, 72, 0, 76, 0, 0, 0], 72);
    let digest = !Crc32c::of(&bytes);
    bytes.extend_from_slice(&digest.to_le_bytes());
    assert_eq!(error(Some(1), &bytes), TermReq { fes: Fes::HEADER_DIGEST_ERROR, fei: digest });
}

#[test]
fn more_commands_than_the_queue_holds() {
    let capsule = padded(&[0x04, 0, 72, 0, 72, 0, 0, 0], 72);
    let bytes = capsule.repeat(3);
    assert_eq!(error(Some(0), &bytes), TermReq::new(Fes::PDU_SEQUENCE_ERROR));
}

#[test]
fn unasked_h2c_data() {
    let mut bytes = padded(&[0x04, 0, 72, 0, 72, 0, 0, 0], 72);
    bytes.extend_from_slice(&padded(&[0x06, 4, 24, 24, 28, 0, 0, 0], 24));
    assert_eq!(error(Some(0), &bytes), TermReq::header_field(10));
}

#[test]
fn the_hosts_own_term_req_is_reported() {
    let mut connection = ControllerConnection::new(2);
    connection.receive(&padded(&IC_REQ, 128)).unwrap();
    let mut bytes = padded(&[0x02, 0, 24, 0, 32, 0, 0, 0], 32);
    bytes[8] = 3;
    bytes[10] = 0x44;
    let expected = TermReq { fes: Fes::HEADER_DIGEST_ERROR, fei: 0x44 };
    match connection.receive(&bytes).unwrap() {
        (24, Some(ControllerEvent::Terminated(term_req))) => assert_eq!(term_req, expected),
        other => panic!("{other:?}"),
    }
}
