//! Headers to send, appended to the caller's buffer. Only headers, padding and digests: payload goes by reference.

use zerocopy::{FromZeros, IntoBytes};

use super::{Crc32c, Negotiated, TermReq};
use crate::wire::{
    Cqe, Sqe,
    pdu::{
        CapsuleCmd, CapsuleResp, CommonHeader, DDGSTF, DIGEST_BYTES, DataHeader, HDGSTF, HEADER_BYTES_MAX,
        PduType, R2T, TermReqHeader,
    },
};

/// Bytes of payload that follow a header, and the alignment their receiver asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataPart {
    pub(super) len: u32,
    pub(super) flags: u8,
}

/// A common header for `header_len` bytes and perhaps data.
fn common(pdu_type: PduType, header_len: usize, data: Option<DataPart>, agreed: &Negotiated) -> CommonHeader {
    let header_digest = if agreed.header_digest { DIGEST_BYTES } else { 0 };
    let mut flags = if agreed.header_digest { HDGSTF } else { 0 };
    let mut plen = (header_len + header_digest) as u32;
    let mut pdo = 0;
    if let Some(data) = data {
        let alignment = u32::from(agreed.peer_alignment_bytes);
        let offset = plen.next_multiple_of(alignment);
        // HPDA and CPDA are 128 bytes at most, so that PDO never exceeds its byte.
        pdo = u8::try_from(offset).expect("a header and its padding have at most 128 bytes");
        plen = offset + data.len;
        flags |= data.flags;
        if agreed.data_digest {
            flags |= DDGSTF;
            plen += DIGEST_BYTES as u32;
        }
    }
    CommonHeader { pdu_type: pdu_type.0, flags, hlen: header_len as u8, pdo, plen: plen.into() }
}

/// Appends a header, its digest, and the padding before its data.
fn append(header: &[u8], pdo: u8, agreed: &Negotiated, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(header);
    if agreed.header_digest {
        out.extend_from_slice(&Crc32c::of(header).to_le_bytes());
    }
    if pdo != 0 {
        out.resize(start + usize::from(pdo), 0);
    }
}

pub(super) fn capsule_cmd(sqe: &Sqe, in_capsule_len: u32, agreed: &Negotiated, out: &mut Vec<u8>) {
    let data = (in_capsule_len > 0).then_some(DataPart { len: in_capsule_len, flags: 0 });
    let ch = common(PduType::CAPSULE_CMD, size_of::<CapsuleCmd>(), data, agreed);
    append(CapsuleCmd { ch, sqe: *sqe }.as_bytes(), ch.pdo, agreed, out);
}

pub(super) fn capsule_resp(cqe: &Cqe, agreed: &Negotiated, out: &mut Vec<u8>) {
    let ch = common(PduType::CAPSULE_RESP, size_of::<CapsuleResp>(), None, agreed);
    append(CapsuleResp { ch, cqe: *cqe }.as_bytes(), 0, agreed, out);
}

/// H2CData or C2HData.
pub(super) fn data(
    pdu_type: PduType,
    cccid: u16,
    ttag: u16,
    datao: u32,
    data: DataPart,
    agreed: &Negotiated,
    out: &mut Vec<u8>,
) {
    let ch = common(pdu_type, size_of::<DataHeader>(), Some(data), agreed);
    let header = DataHeader {
        ch,
        cccid: cccid.into(),
        ttag: ttag.into(),
        datao: datao.into(),
        datal: data.len.into(),
        reserved: [0; 4],
    };
    append(header.as_bytes(), ch.pdo, agreed, out);
}

pub(super) fn r2t(cccid: u16, ttag: u16, offset: u32, len: u32, agreed: &Negotiated, out: &mut Vec<u8>) {
    let ch = common(PduType::R2T, size_of::<R2T>(), None, agreed);
    let header = R2T {
        ch,
        cccid: cccid.into(),
        ttag: ttag.into(),
        r2to: offset.into(),
        r2tl: len.into(),
        reserved: [0; 4],
    };
    append(header.as_bytes(), 0, agreed, out);
}

/// A TermReq with as much as fits of the header that was wrong (TCP §3.6.2.4). Never carries digests.
pub(super) fn term_req(pdu_type: PduType, term_req: TermReq, offending: &[u8], out: &mut Vec<u8>) {
    let offending = &offending[..offending.len().min(HEADER_BYTES_MAX)];
    let mut header = TermReqHeader::new_zeroed();
    header.ch.pdu_type = pdu_type.0;
    header.ch.hlen = size_of::<TermReqHeader>() as u8;
    header.ch.plen = ((size_of::<TermReqHeader>() + offending.len()) as u32).into();
    header.fes = term_req.fes.0.into();
    header.fei = term_req.fei.into();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(offending);
}
