//! Headers with two wrong fields, of every PDU type: the error names the lower one, and stays.

use super::super::*;
use crate::wire::{Sqe, pdu::Fes};

/// A field, and bytes for it that are wrong.
type Fault = (u32, &'static [u8]);

/// A PDU that is right where it is received, and what can be wrong with it.
struct Case {
    name: &'static str,
    pdu: Vec<u8>,
    faults: &'static [Fault],
}

const FLAGS: Fault = (1, &[0x01]);
const HLEN: Fault = (2, &[0x20]);
const PDO: Fault = (3, &[0x17]);
/// Shorter than any header, and longer than anything.
const SHORT: Fault = (4, &[0x10, 0, 0, 0]);
const LONG: Fault = (4, &[0, 0, 0x10, 0]);
const PFV: Fault = (8, &[1]);
const PDA: Fault = (10, &[32]);
const CCCID: Fault = (8, &[0x77]);
const TTAG: Fault = (10, &[0x77]);
const DATAL: Fault = (16, &[0x44]);
const NOT_LAST: Fault = (1, &[0x00]);

fn case(name: &'static str, pdu: &[u8], len: usize, faults: &'static [Fault]) -> Case {
    let mut pdu = pdu.to_vec();
    pdu.resize(len, 0);
    Case { name, pdu, faults }
}

/// The case with these faults.
fn broken(case: &Case, faults: &[Fault]) -> Vec<u8> {
    let mut pdu = case.pdu.clone();
    for &(at, bytes) in faults {
        pdu[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    pdu
}

/// Gives each case with no fault, each one and each two of different fields to `error`, which tells how it is received.
fn check(cases: &[Case], error: impl Fn(&[u8]) -> Option<TermReq>) {
    for case in cases {
        assert_eq!(error(&case.pdu), None, "{} is right", case.name);
        for (index, &first) in case.faults.iter().enumerate() {
            for &second in &case.faults[index..] {
                if first.0 == second.0 && first.1 != second.1 {
                    continue;
                }
                let pdu = broken(case, &[first, second]);
                let fei = first.0.min(second.0);
                let is_version = fei == PFV.0 && case.name.starts_with("IC");
                let fes = if is_version { Fes::UNSUPPORTED_PARAMETER } else { Fes::INVALID_PDU_HEADER_FIELD };
                assert_eq!(error(&pdu), Some(TermReq { fes, fei }), "{}: {:x?}", case.name, &pdu[..24]);
            }
        }
    }
}

const IC_REQ: [u8; 8] = [0x00, 0, 128, 0, 128, 0, 0, 0];

/// A controller that waits for 64 bytes of command 5, or one that nobody has spoken to yet.
fn controller(connected: bool) -> ControllerConnection {
    let mut controller = ControllerConnection::new(2);
    if connected {
        controller.receive(&case("", &IC_REQ, 128, &[]).pdu).unwrap();
        let mut capsule = case("", &[0x04, 0, 72, 0, 72, 0, 0, 0], 72, &[]).pdu;
        capsule[8 + 2] = 5;
        let (_, event) = controller.receive(&capsule).unwrap();
        assert!(matches!(event, Some(ControllerEvent::Capsule { slot: Slot(0), .. })));
        controller.encode_r2t(Slot(0), 64, &mut Vec::new());
    }
    controller
}

/// How a controller receives a PDU. After an error it does nothing any more.
fn controller_error(connected: bool, pdu: &[u8]) -> Option<TermReq> {
    let mut controller = controller(connected);
    let in_flight = controller.in_flight();
    let error = controller.receive(pdu).err()?;
    assert_eq!(controller.in_flight(), in_flight);
    assert!(controller.wants_payload().is_none());
    assert_eq!(controller.receive(&case("", &IC_REQ, 128, &[]).pdu).err(), Some(error), "it stays");
    Some(error)
}

#[test]
fn controllers_name_the_lowest_wrong_field() {
    const TYPE: Fault = (0, &[0x0A]);
    let ic_req = case("ICReq", &IC_REQ, 128, &[TYPE, FLAGS, HLEN, SHORT, LONG, PFV, PDA]);
    check(&[ic_req], |pdu| controller_error(false, pdu));
    let h2c_data = [0x06, 4, 24, 24, 88, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 64];
    check(
        &[
            case("CapsuleCmd", &[0x04, 0, 72, 0, 72, 0, 0, 0], 72, &[TYPE, FLAGS, HLEN, SHORT]),
            case("CapsuleCmd", &[0x04, 0, 72, 72, 136, 0, 0, 0], 136, &[TYPE, FLAGS, HLEN, PDO, LONG]),
            // A PDO in front of a PLEN that is too short; a flag that only the command can tell to be wrong.
            case("H2CData", &h2c_data, 88, &[TYPE, FLAGS, HLEN, PDO, SHORT, CCCID, TTAG, DATAL]),
            case("H2CData", &h2c_data, 88, &[NOT_LAST, CCCID, DATAL]),
            case("H2CTermReq", &[0x02, 0, 24, 0, 32, 0, 0, 0], 32, &[TYPE, FLAGS, HLEN, SHORT, LONG]),
        ],
        |pdu| controller_error(true, pdu),
    );
}

/// How a host receives a PDU while it reads by command 0 and writes by command 1.
fn host_error(connected: bool, pdu: &[u8]) -> Option<TermReq> {
    let mut host = HostConnection::new(2, ICRequest::default());
    let ic_resp = ic_resp();
    if connected {
        host.receive(&ic_resp).unwrap();
        host.encode_command(Slot(0), Sqe::new(2), HostTransfer::In(64), &mut Vec::new());
        host.encode_command(Slot(1), Sqe::new(1), HostTransfer::Out(64), &mut Vec::new());
    }
    let error = host.receive(pdu).err()?;
    assert!(host.wants_payload().is_none());
    assert_eq!(host.receive(&ic_resp).err(), Some(error), "it stays");
    Some(error)
}

fn ic_resp() -> Vec<u8> {
    let ic_resp = [0x01, 0, 128, 0, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
    case("", &ic_resp, 128, &[]).pdu
}

#[test]
fn hosts_name_the_lowest_wrong_field() {
    const TYPE: Fault = (0, &[0x0A]);
    const MAXH2CDATA: Fault = (12, &[0, 8]);
    const CID: Fault = (20, &[0x77]);
    let faults: &[Fault] = &[TYPE, FLAGS, HLEN, SHORT, LONG, PFV, PDA, MAXH2CDATA];
    check(&[case("ICResp", &ic_resp(), 128, faults)], |pdu| host_error(false, pdu));
    let c2h_data = [0x07, 4, 24, 24, 88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64];
    let r2t = [0x09, 0, 24, 0, 24, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 64];
    check(
        &[
            case("CapsuleResp", &[0x05, 0, 24, 0, 24, 0, 0, 0], 24, &[TYPE, FLAGS, HLEN, SHORT, LONG, CID]),
            case("C2HData", &c2h_data, 88, &[TYPE, FLAGS, HLEN, PDO, SHORT, CCCID, DATAL]),
            case("R2T", &r2t, 24, &[TYPE, FLAGS, HLEN, SHORT, LONG, CCCID]),
            case("C2HTermReq", &[0x03, 0, 24, 0, 32, 0, 0, 0], 32, &[TYPE, FLAGS, HLEN, SHORT, LONG]),
        ],
        |pdu| host_error(true, pdu),
    );
}
