//! Peers that break the transport protocol, fall silent, or only half connect: each is told or cut off, and the
//! node serves on.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use crate::support::Bench;
use dataplane::{
    host::{HostController, HostOptions, Payload},
    node::BlockSize,
};
use nvmeof::host::sqe;

const IC_REQ: u8 = 0x00;
const IC_RESP: u8 = 0x01;
const C2H_TERM_REQ: u8 = 0x03;
const CAPSULE_CMD: u8 = 0x04;
const H2C_DATA: u8 = 0x06;

/// Fatal error status codes (TCP, C2HTermReq).
const INVALID_FIELD: u16 = 0x01;
const SEQUENCE: u16 = 0x02;

fn ic_req() -> Vec<u8> {
    let mut pdu = vec![0; 128];
    pdu[0] = IC_REQ;
    pdu[2] = 128;
    pdu[4..8].copy_from_slice(&128u32.to_le_bytes());
    pdu
}

/// A PDU of `len` bytes with `hlen` of header, zeros but for the common header.
fn pdu(kind: u8, hlen: u8, len: u32) -> Vec<u8> {
    let mut pdu = vec![0; len as usize];
    pdu[0] = kind;
    pdu[2] = hlen;
    pdu[4..8].copy_from_slice(&len.to_le_bytes());
    pdu
}

/// Sends bytes and returns everything that comes until the node hangs up.
fn provoke(bench: &Bench, sent: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(bench.node.portals()[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for bytes in sent {
        // The node may hang up while we still send.
        let _ = stream.write_all(bytes);
    }
    // A refused Connect may be followed by another: the node waits for it until we say that none will come.
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// The FES of a C2HTermReq.
fn fatal_error(answer: &[u8]) -> u16 {
    assert_eq!(answer.first(), Some(&C2H_TERM_REQ), "a TermReq, not {answer:02x?}");
    u16::from_le_bytes([answer[8], answer[9]])
}

fn still_serves(bench: &Bench) {
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        let answer = queue.command(sqe::read(1, 0, 1), Payload::In(4096)).await.unwrap();
        assert!(answer.status().is_success());
    });
}

#[test]
fn broken_pdus_are_answered_with_a_term_req() {
    let bench = Bench::new(2, BlockSize::B4096);
    let mut wrong_version = ic_req();
    wrong_version[8] = 9;
    let mut wrong_length = ic_req();
    wrong_length[4] = 127;
    let table: [(&str, Vec<u8>, u16); 5] = [
        ("an unknown type", pdu(0x3F, 8, 72), INVALID_FIELD),
        ("a capsule before ICReq", pdu(CAPSULE_CMD, 72, 72), SEQUENCE),
        ("data before ICReq", pdu(H2C_DATA, 24, 4120), SEQUENCE),
        ("a wrong length", wrong_length, INVALID_FIELD),
        ("an unknown version", wrong_version, 0x06),
    ];
    for (what, bytes, fes) in table {
        assert_eq!(fatal_error(&provoke(&bench, &[&bytes])), fes, "{what}");
    }
    still_serves(&bench);
}

#[test]
fn after_the_handshake_only_connect_is_let_in() {
    let bench = Bench::new(1, BlockSize::B4096);
    let mut read = pdu(CAPSULE_CMD, 72, 72);
    read[8] = 0x02;
    read[9] = 0x40;
    let answer = provoke(&bench, &[&ic_req(), &read]);
    assert_eq!(answer[0], IC_RESP);
    let response = &answer[128..];
    let status = u16::from_le_bytes([response[22], response[23]]) >> 1 & 0x7FF;
    assert_eq!(status, 0x00C, "Command Sequence Error");
    let stray = provoke(&bench, &[&ic_req(), &pdu(H2C_DATA, 24, 4120)]);
    assert_eq!(fatal_error(&stray[128..]), INVALID_FIELD, "no such transfer tag");
    still_serves(&bench);
}

#[test]
fn garbage_of_any_kind_leaves_the_node_serving() {
    let bench = Bench::new(2, BlockSize::B4096);
    let mut state = 1u64;
    for length in [1, 7, 8, 64, 127, 128, 129, 1000, 70_000] {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let mut stream = TcpStream::connect(bench.node.portals()[0]).unwrap();
        let _ = stream.write_all(&bytes);
        let mut stream = TcpStream::connect(bench.node.portals()[0]).unwrap();
        let _ = stream.write_all(&ic_req());
        let _ = stream.write_all(&bytes);
    }
    still_serves(&bench);
}

#[test]
fn a_silent_host_loses_its_association() {
    let bench = Bench::new(2, BlockSize::B4096);
    let (tell, told) = std::sync::mpsc::channel();
    let address = bench.node.portals()[0];
    bench.host.handle().spawn_on(dataplane::rt::CoreId(0), move || async move {
        let options = HostOptions { kato_ms: 200, ..crate::support::options(address) };
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        tell.send(()).unwrap();
        // It holds its connections and says nothing more.
        dataplane::rt::sleep(Duration::from_secs(600)).await;
        drop((controller, queue));
    });
    told.recv_timeout(Duration::from_secs(60)).unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while !bench.wait(bench.node.controllers()).is_empty() {
        assert!(Instant::now() < patience, "the association never ended");
        std::thread::yield_now();
    }
}
