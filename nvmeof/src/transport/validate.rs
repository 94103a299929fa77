//! What a common header may say: pure checks, the lowest wrong field first (TCP §3.5).

use super::{Role, TermReq};
use crate::{
    limits,
    wire::pdu::{
        CommonHeader, DDGSTF, DIGEST_BYTES, Fes, HDGSTF, LAST_PDU, PduType, SUCCESS, TERM_REQ_BYTES_MAX,
    },
};

/// Byte offsets of the common header's fields, as FEI tells them.
const TYPE: u32 = 0;
const FLAGS: u32 = 1;
const HLEN: u32 = 2;
const PDO: u32 = 3;
const PLEN: u32 = 4;

/// What a connection expects at this point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) role: Role,
    /// The handshake is over.
    pub(super) connected: bool,
    pub(super) header_digest: bool,
    pub(super) data_digest: bool,
    /// What we announced as CPDA or HPDA, in bytes.
    pub(super) alignment_bytes: u8,
}

/// How a PDU's bytes follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) pdu_type: PduType,
    /// Header with its digest, in bytes.
    pub(super) header_bytes: usize,
    pub(super) header_digest: bool,
    /// Bytes between header and data.
    pub(super) padding_bytes: u32,
    pub(super) payload_bytes: u32,
    pub(super) data_digest: bool,
}

/// Checks a common header and says how the PDU goes on.
pub(super) fn validate(ch: &CommonHeader, rules: &Rules) -> Result<Shape, TermReq> {
    let pdu_type = PduType(ch.pdu_type);
    let header_len = header_len(pdu_type, rules)?;
    let digests = carries_digests(pdu_type);
    let header_digest = digests && rules.header_digest;
    let header_bytes = header_len + if header_digest { DIGEST_BYTES } else { 0 };
    let plen = ch.plen.get();
    let room = data_room(pdu_type);
    let has_data = matches!(room, Data::Some) || plen as usize > header_bytes;
    let data_digest = digests && rules.data_digest && has_data;

    if (ch.flags & HDGSTF != 0) != header_digest
        || (has_data && (ch.flags & DDGSTF != 0) != data_digest)
        || (ch.flags & DDGSTF != 0 && !(digests && rules.data_digest))
        || (pdu_type == PduType::C2H_DATA && ch.flags & SUCCESS != 0 && ch.flags & LAST_PDU == 0)
    {
        return Err(TermReq::header_field(FLAGS));
    }
    if usize::from(ch.hlen) != header_len {
        return Err(TermReq::header_field(HLEN));
    }
    let mut shape =
        Shape { pdu_type, header_bytes, header_digest, padding_bytes: 0, payload_bytes: 0, data_digest };
    let pdo = u32::from(ch.pdo);
    let has_pdo = has_data && matches!(room, Data::Optional | Data::Some);
    if has_pdo && (pdo < header_bytes as u32 || pdo % u32::from(rules.alignment_bytes) != 0) {
        return Err(TermReq::header_field(PDO));
    }
    if (plen as usize) < header_bytes {
        return Err(TermReq::header_field(PLEN));
    }
    match room {
        Data::None if has_data => return Err(TermReq::header_field(PLEN)),
        Data::None => {}
        Data::Optional if !has_data => {}
        Data::Unaligned { bytes_max } => {
            if plen > bytes_max {
                return Err(TermReq::header_field(PLEN));
            }
            shape.payload_bytes = plen - header_bytes as u32;
        }
        Data::Optional | Data::Some => {
            let tail = pdo + if data_digest { DIGEST_BYTES as u32 } else { 0 };
            if plen <= tail {
                return Err(TermReq::header_field(PLEN));
            }
            shape.padding_bytes = pdo - header_bytes as u32;
            shape.payload_bytes = plen - tail;
            check_payload_limit(pdu_type, shape.payload_bytes)?;
        }
    }
    Ok(shape)
}

/// What follows a header.
enum Data {
    None,
    Optional,
    Some,
    /// A TermReq's copy of the wrong header: no PDO, no digest; `bytes_max` for the whole PDU.
    Unaligned {
        bytes_max: u32,
    },
}

fn data_room(pdu_type: PduType) -> Data {
    match pdu_type {
        PduType::CAPSULE_CMD => Data::Optional,
        PduType::H2C_DATA | PduType::C2H_DATA => Data::Some,
        PduType::H2C_TERM_REQ | PduType::C2H_TERM_REQ => Data::Unaligned { bytes_max: TERM_REQ_BYTES_MAX },
        _ => Data::None,
    }
}

fn check_payload_limit(pdu_type: PduType, payload_bytes: u32) -> Result<(), TermReq> {
    match pdu_type {
        PduType::CAPSULE_CMD if payload_bytes > limits::IN_CAPSULE_BYTES_MAX => {
            Err(TermReq::header_field(PLEN))
        }
        PduType::H2C_DATA if payload_bytes > limits::MAXH2CDATA => Err(TermReq::new(Fes::LIMIT_EXCEEDED)),
        _ => Ok(()),
    }
}

fn carries_digests(pdu_type: PduType) -> bool {
    !matches!(pdu_type, PduType::IC_REQ | PduType::IC_RESP | PduType::H2C_TERM_REQ | PduType::C2H_TERM_REQ)
}

/// HLEN of a type that may come now, or why it may not.
fn header_len(pdu_type: PduType, rules: &Rules) -> Result<usize, TermReq> {
    let (sender, opens, len) = match pdu_type {
        PduType::IC_REQ => (Role::Host, true, 128),
        PduType::IC_RESP => (Role::Controller, true, 128),
        PduType::H2C_TERM_REQ => (Role::Host, false, 24),
        PduType::C2H_TERM_REQ => (Role::Controller, false, 24),
        PduType::CAPSULE_CMD => (Role::Host, false, 72),
        PduType::CAPSULE_RESP => (Role::Controller, false, 24),
        PduType::H2C_DATA => (Role::Host, false, 24),
        PduType::C2H_DATA => (Role::Controller, false, 24),
        PduType::R2T => (Role::Controller, false, 24),
        _ => return Err(TermReq::header_field(TYPE)),
    };
    let is_term_req = matches!(pdu_type, PduType::H2C_TERM_REQ | PduType::C2H_TERM_REQ);
    if sender == rules.role {
        return Err(TermReq::header_field(TYPE));
    }
    if opens == rules.connected && !is_term_req {
        return Err(TermReq::new(Fes::PDU_SEQUENCE_ERROR));
    }
    Ok(len)
}
