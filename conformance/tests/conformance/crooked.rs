//! The checks can fail: a go-between changes what our target says, and the check that looks there sees it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use conformance::{Options, Outcome, run};
use dataplane::node::{DhGroup, HashFunction};

use crate::site::Site;

const IC_RESP: u8 = 0x01;
const C2H_TERM_REQ: u8 = 0x03;
const CAPSULE_RESP: u8 = 0x05;
const C2H_DATA: u8 = 0x07;
const R2T: u8 = 0x09;

/// Changes a whole PDU of the target's; one that is left empty is not sent.
type Change = fn(&mut Vec<u8>);

fn if_type(pdu: &mut Vec<u8>, pdu_type: u8, change: impl FnOnce(&mut Vec<u8>)) {
    if pdu[0] == pdu_type {
        change(pdu);
    }
}

/// A check, and what makes it fail.
const TABLE: [(&str, Change); 16] = [
    ("handshake/icresp_pfv", |pdu| if_type(pdu, IC_RESP, |pdu| pdu[8] = 1)),
    ("handshake/icresp_reserved_bytes", |pdu| if_type(pdu, IC_RESP, |pdu| pdu[127] = 1)),
    ("handshake/icresp_maxh2cdata_is_in_dwords", |pdu| if_type(pdu, IC_RESP, |pdu| pdu[12] |= 1)),
    ("framing/type_ffh", |pdu| if_type(pdu, C2H_TERM_REQ, |pdu| pdu[8] = 5)),
    ("framing/second_icreq", |pdu| if_type(pdu, C2H_TERM_REQ, Vec::clear)),
    ("framing/icreq_hlen_127", |pdu| if_type(pdu, C2H_TERM_REQ, |pdu| pdu[10] ^= 1)),
    ("termination/c2htermreq_carries_the_wrong_header", |pdu| if_type(pdu, C2H_TERM_REQ, |pdu| pdu[24] ^= 1)),
    ("transfers/r2t_reserved_bytes", |pdu| if_type(pdu, R2T, |pdu| pdu[20] = 1)),
    ("transfers/c2hdata_last_has_last_pdu", |pdu| if_type(pdu, C2H_DATA, |pdu| pdu[1] &= !4)),
    ("transfers/completion_sqid_is_reserved", |pdu| if_type(pdu, CAPSULE_RESP, |pdu| pdu[18] = 1)),
    ("digests/data_of_c2hdata", |pdu| if_type(pdu, C2H_DATA, |pdu| *pdu.last_mut().unwrap() ^= 1)),
    ("digests/wrong_data_in_capsule", succeed),
    ("connect/recfmt_255", succeed),
    ("io/read_first_block_beyond", succeed),
    ("data/write_zeroes_reads_as_zeros", |pdu| if_type(pdu, C2H_DATA, |pdu| pdu[100] = 1)),
    ("reservations/exclusive_access_read_of_stranger", succeed),
];

/// The same of a target that asks for authentication, by changes that let the kit in nevertheless.
const AUTHENTICATING: [(&str, Change); 7] = [
    ("authentication/property_get_before", succeed),
    ("authentication/io_command_before", succeed),
    ("authentication/receive_spsp0_02h", succeed),
    ("authentication/challenge_reserved_bytes", |pdu| if_message(pdu, CHALLENGE, |message| message[7] = 1)),
    ("authentication/success1_reserved_bytes", |pdu| if_message(pdu, SUCCESS1, |message| message[15] = 1)),
    ("authentication/reply_of_zeros", |pdu| if_message(pdu, FAILURE1, |message| message[7] = 2)),
    ("authentication/negotiate_halen_31", |pdu| if_message(pdu, FAILURE1, |message| message[4] ^= 1)),
];

/// AUTH_TYPE and AUTH_ID of what a controller sends.
const CHALLENGE: [u8; 2] = [1, 1];
const SUCCESS1: [u8; 2] = [1, 3];
const FAILURE1: [u8; 2] = [0, 0xF1];

/// Changes a message of authentication. Other data that begins so is changed too, which harms no check above.
fn if_message(pdu: &mut Vec<u8>, kind: [u8; 2], change: impl FnOnce(&mut [u8])) {
    if_type(pdu, C2H_DATA, |pdu| {
        if let Some(message) = pdu.get_mut(24..).filter(|data| data.starts_with(&kind)) {
            change(message);
        }
    });
}

/// Every command is said to have succeeded.
fn succeed(pdu: &mut Vec<u8>) {
    if_type(pdu, CAPSULE_RESP, |pdu| pdu[22..24].fill(0));
}

#[test]
fn a_target_that_is_wrong_in_one_place_fails_the_check_of_that_place() {
    let site = Site::open();
    assert_seen(&TABLE, &site.options());
    let transform = Some(HashFunction::Sha256);
    site.require(HashFunction::Sha256, DhGroup::Null, transform);
    assert_seen(&AUTHENTICATING, &site.options_with(transform, true));
}

fn assert_seen(table: &[(&str, Change)], options: &Options) {
    for &(name, change) in table {
        for (crooked, change) in [(false, (|_| {}) as Change), (true, change)] {
            let mut options = options.clone();
            options.address = between(options.address, change);
            options.only = Some(name.to_owned());
            let report = run(&options).unwrap();
            let row = report.rows.iter().find(|row| row.name == name).expect("there is such a check");
            let failed = matches!(row.outcome, Outcome::Fail { .. });
            assert_eq!(failed, crooked, "{name}: {:?}", row.outcome);
        }
    }
}

#[test]
fn what_cannot_be_run_is_said() {
    let site = Site::open();
    let mut options = site.options();
    options.only = Some("no such check".to_owned());
    assert!(matches!(run(&options), Err(conformance::CannotRun::NoSuchCheck(_))));
    let mut options = site.options();
    options.host = nvmeof::Nqn::new("nqn.2026-11.invalid:stranger").unwrap();
    assert!(matches!(run(&options), Err(conformance::CannotRun::Target(_))));
}

/// An address that leads to `target`, past `change`.
fn between(target: SocketAddr, change: Change) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((host, _)) = listener.accept() {
            let Ok(target) = TcpStream::connect(target) else { break };
            let (mut host_in, mut target_out) = (host.try_clone().unwrap(), target.try_clone().unwrap());
            thread::spawn(move || {
                // Either end may hang up at any time.
                let _ended = std::io::copy(&mut host_in, &mut target_out);
                let _closed = target_out.shutdown(Shutdown::Both);
            });
            thread::spawn(move || pass(target, host, change));
        }
    });
    address
}

/// PDUs from the target to the host, one by one.
fn pass(mut target: TcpStream, mut host: TcpStream, change: Change) {
    loop {
        let mut pdu = vec![0; 8];
        if target.read_exact(&mut pdu).is_err() {
            break;
        }
        let plen = u32::from_le_bytes([pdu[4], pdu[5], pdu[6], pdu[7]]) as usize;
        pdu.resize(plen, 0);
        if target.read_exact(&mut pdu[8..]).is_err() {
            break;
        }
        change(&mut pdu);
        if host.write_all(&pdu).is_err() {
            break;
        }
    }
    let _closed = host.shutdown(Shutdown::Both);
}
