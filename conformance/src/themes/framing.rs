//! Common headers that are wrong in one field, before and after ICReq (TCP §3.5, §3.6.2).

use nvmeof::{
    host::sqe,
    wire::pdu::{Fes, PduType},
};

use super::malformed::{self, Fatal, Wrong, field, status};
use crate::{
    check::{Check, Verdict},
    lab::Lab,
    link::Link,
    pdu::{self, Wishes},
};

const IC_REQ: &str = "TCP §3.6.2.2";
const CAPSULE: &str = "TCP §3.6.2.6";
const HEADER: &str = "TCP §3.6.2.1";

/// Byte offsets in the common header and ICReq.
const HLEN: usize = 2;
const PDO: usize = 3;
const PLEN: usize = 4;
const PFV: usize = 8;
const HPDA: usize = 10;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = ic_req_bytes();
    checks.extend(capsule_bytes());
    checks.extend(types());
    checks
}

/// A change of one PDU: which field gets which value, and its number of bytes on the wire.
struct Change {
    name: &'static str,
    at: usize,
    value: u8,
    errors: &'static [Fatal],
}

fn changed(mut pdu: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    pdu[at] = value;
    // A PLEN that says more is kept to, so that a target that reads it all before it judges has it all.
    let plen = u32::from_le_bytes([pdu[4], pdu[5], pdu[6], pdu[7]]) as usize;
    pdu.resize(plen.max(pdu.len()), 0);
    pdu
}

/// Two checks for each change: what is told, and that the connection ends.
fn family(
    theme: &'static str,
    section: &'static str,
    changes: Vec<Change>,
    send: fn(&mut Lab<'_>, usize, u8) -> Verdict<Link>,
) -> Vec<Check> {
    let both = |Change { name, at, value, errors }: Change| {
        malformed::pair(format!("framing/{theme}_{name}"), section, &[], errors, move |lab| {
            send(lab, at, value)
        })
    };
    changes.into_iter().flat_map(both).collect()
}

fn ic_req_bytes() -> Vec<Check> {
    const HLEN_ERROR: &[Fatal] = &[field(HLEN as u32)];
    const PLEN_ERROR: &[Fatal] = &[field(PLEN as u32)];
    const HPDA_ERROR: &[Fatal] = &[field(HPDA as u32), status(Fes::UNSUPPORTED_PARAMETER)];
    const PFV_ERROR: &[Fatal] = &[status(Fes::UNSUPPORTED_PARAMETER)];
    let change = |name, at, value, errors| Change { name, at, value, errors };
    let changes = vec![
        change("hlen_0", HLEN, 0, HLEN_ERROR),
        change("hlen_8", HLEN, 8, HLEN_ERROR),
        change("hlen_127", HLEN, 127, HLEN_ERROR),
        change("hlen_129", HLEN, 129, HLEN_ERROR),
        change("hlen_255", HLEN, 255, HLEN_ERROR),
        change("plen_0", PLEN, 0, PLEN_ERROR),
        change("plen_8", PLEN, 8, PLEN_ERROR),
        change("plen_127", PLEN, 127, PLEN_ERROR),
        change("plen_129", PLEN, 129, PLEN_ERROR),
        change("plen_136", PLEN, 136, PLEN_ERROR),
        change("pfv_1", PFV, 1, PFV_ERROR),
        change("pfv_255", PFV, 255, PFV_ERROR),
        change("pfv_256", PFV + 1, 1, PFV_ERROR),
        change("hpda_32", HPDA, 32, HPDA_ERROR),
        change("hpda_255", HPDA, 255, HPDA_ERROR),
    ];
    family("icreq", IC_REQ, changes, |lab, at, value| {
        let mut link = lab.target.open()?;
        link.provoke(&changed(pdu::ic_req(Wishes::default()), at, value));
        Ok(link)
    })
}

fn capsule_bytes() -> Vec<Check> {
    const HLEN_ERROR: &[Fatal] = &[field(HLEN as u32)];
    const PDO_ERROR: &[Fatal] = &[field(PDO as u32)];
    const PLEN_ERROR: &[Fatal] = &[field(PLEN as u32)];
    let change = |name, at, value, errors| Change { name, at, value, errors };
    let mut checks = family(
        "capsule",
        CAPSULE,
        vec![
            change("hlen_0", HLEN, 0, HLEN_ERROR),
            change("hlen_8", HLEN, 8, HLEN_ERROR),
            change("hlen_71", HLEN, 71, HLEN_ERROR),
            change("hlen_73", HLEN, 73, HLEN_ERROR),
            change("hlen_128", HLEN, 128, HLEN_ERROR),
            change("hlen_255", HLEN, 255, HLEN_ERROR),
            change("plen_0", PLEN, 0, PLEN_ERROR),
            change("plen_8", PLEN, 8, PLEN_ERROR),
            change("plen_71", PLEN, 71, PLEN_ERROR),
        ],
        |lab, at, value| {
            let mut link = lab.initialized()?;
            let capsule = pdu::capsule(&sqe::keep_alive(), &[], &link.agreed);
            link.provoke(&changed(capsule, at, value));
            Ok(link)
        },
    );
    checks.extend(family(
        "capsule_with_data",
        CAPSULE,
        vec![
            change("pdo_0", PDO, 0, PDO_ERROR),
            change("pdo_8", PDO, 8, PDO_ERROR),
            change("pdo_68", PDO, 68, PDO_ERROR),
        ],
        |lab, at, value| {
            let mut link = lab.initialized()?;
            let connect = sqe::connect(0, 32, 0, true);
            let data = lab.target.connect_data(u16::MAX);
            let capsule = pdu::capsule(&connect, &data, &link.agreed);
            link.provoke(&changed(capsule, at, value));
            Ok(link)
        },
    ));
    checks
}

/// PDU types that may not come, or not yet.
fn types() -> Vec<Check> {
    /// Of a type that a controller sends: wrong in its first byte, or out of sequence.
    const WRONG_WAY: &[Fatal] = &[field(0), status(Fes::PDU_SEQUENCE_ERROR)];
    const SEQUENCE: &[Fatal] = &[status(Fes::PDU_SEQUENCE_ERROR)];
    const UNKNOWN: &[Fatal] = &[field(0)];
    /// Its tag or command is unknown, or its place in the sequence.
    const UNASKED: &[Fatal] = &[
        status(Fes::INVALID_PDU_HEADER_FIELD),
        status(Fes::PDU_SEQUENCE_ERROR),
        status(Fes::DATA_TRANSFER_OUT_OF_RANGE),
    ];
    fn first(lab: &mut Lab<'_>, pdu: &[u8]) -> Verdict<Link> {
        let mut link = lab.target.open()?;
        link.provoke(pdu);
        Ok(link)
    }
    fn later(lab: &mut Lab<'_>, pdu: &[u8]) -> Verdict<Link> {
        let mut link = lab.initialized()?;
        link.provoke(pdu);
        Ok(link)
    }
    let wrong = |name, errors, send| Wrong { name, section: HEADER, needs: &[], send, errors };
    let table: [Wrong; 13] = [
        wrong("framing/capsule_before_icreq", SEQUENCE, |lab| first(lab, &pdu::bare(4, 72, 72))),
        wrong("framing/h2cdata_before_icreq", SEQUENCE, |lab| first(lab, &pdu::bare(6, 24, 4120))),
        wrong("framing/icresp_before_icreq", WRONG_WAY, |lab| first(lab, &pdu::bare(1, 128, 128))),
        wrong("framing/capsuleresp_before_icreq", WRONG_WAY, |lab| first(lab, &pdu::bare(5, 24, 24))),
        wrong("framing/c2hdata_before_icreq", WRONG_WAY, |lab| first(lab, &pdu::bare(7, 24, 28))),
        wrong("framing/r2t_before_icreq", WRONG_WAY, |lab| first(lab, &pdu::bare(9, 24, 24))),
        wrong("framing/second_icreq", SEQUENCE, |lab| later(lab, &pdu::ic_req(Wishes::default()))),
        wrong("framing/icresp_from_host", WRONG_WAY, |lab| later(lab, &pdu::bare(1, 128, 128))),
        wrong("framing/c2htermreq_from_host", WRONG_WAY, |lab| later(lab, &pdu::bare(3, 24, 32))),
        wrong("framing/capsuleresp_from_host", WRONG_WAY, |lab| later(lab, &pdu::bare(5, 24, 24))),
        wrong("framing/c2hdata_from_host", WRONG_WAY, |lab| later(lab, &pdu::bare(7, 24, 28))),
        wrong("framing/r2t_from_host", WRONG_WAY, |lab| later(lab, &pdu::bare(9, 24, 24))),
        wrong("framing/h2cdata_that_nobody_asked_for", UNASKED, |lab| {
            later(lab, &pdu::bare(PduType::H2C_DATA.0, 24, 4120))
        }),
    ];
    let mut checks: Vec<Check> = table.iter().flat_map(malformed::checks).collect();
    // Types 0Ah and 0Bh are taken by later revisions.
    for pdu_type in [0x08, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x20, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF] {
        let name = format!("framing/type_{pdu_type:02x}h");
        checks.extend(malformed::pair(name, HEADER, &[], UNKNOWN, move |lab| {
            later(lab, &pdu::bare(pdu_type, 24, 24))
        }));
    }
    checks
}
