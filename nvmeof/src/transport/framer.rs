//! The incremental framer: bytes in any pieces become checked headers and payload slices.
//!
//! ```text
//! CommonHeader -> Header -> Padding -> Payload -> DataDigest -> CommonHeader ...
//!                   |                     |            an error anywhere: Broken, for ever
//!                   +---- no data --------+--- no data digest ---> CommonHeader
//! ```
//! Only headers and digests are copied, into a buffer for the longest of them; the work is linear in the bytes.

use zerocopy::FromBytes;

use super::{
    Crc32c, Role, TermReq,
    validate::{Rules, Shape, validate},
};
use crate::wire::{
    Cqe, Sqe,
    pdu::{
        CapsuleCmd, CapsuleResp, CommonHeader, DIGEST_BYTES, DataHeader, Fes, HEADER_BYTES_MAX, ICReq,
        ICResp, PduType, R2T, TermReqHeader,
    },
};

/// A PDU's header, typed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pdu {
    ICReq(ICReq),
    ICResp(ICResp),
    TermReq(TermReq),
    CapsuleCmd(Sqe),
    CapsuleResp(Cqe),
    /// H2CData or C2HData: only the one that may come to our role does.
    Data(DataHeader),
    R2T(R2T),
}

/// What the framer found.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    /// A checked header; `payload_bytes` of payload follow, and if any do, a `PayloadEnd`.
    Header { pdu: Pdu, payload_bytes: u32 },
    /// The next piece of payload.
    Payload(&'a [u8]),
    /// All payload of this PDU came; `intact` unless its digest was wrong.
    PayloadEnd { intact: bool },
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    CommonHeader,
    Header(Shape),
    Padding { left: u32, payload: Payload },
    Payload(Payload),
    DataDigest,
    Broken(TermReq),
}

#[derive(Debug, Clone, Copy)]
struct Payload {
    left: u32,
    digest: bool,
}

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Framer {
    rules: Rules,
    stage: Stage,
    /// The header or digest being collected; after an error, the header that was wrong.
    collected: [u8; HEADER_BYTES_MAX],
    /// Bytes of `collected` that came.
    have: usize,
    /// Bytes of the newest header, kept when `have` goes back to zero: the layer above may find fault with it.
    header_len: usize,
    crc: Crc32c,
}

impl Framer {
    pub(super) fn new(role: Role, alignment_bytes: u8) -> Self {
        let rules =
            Rules { role, connected: false, header_digest: false, data_digest: false, alignment_bytes };
        Self {
            rules,
            stage: Stage::CommonHeader,
            collected: [0; HEADER_BYTES_MAX],
            have: 0,
            header_len: 0,
            crc: Crc32c::new(),
        }
    }

    /// The handshake is over: from now on these digests.
    pub(super) fn connected(&mut self, header_digest: bool, data_digest: bool) {
        self.rules = Rules { connected: true, header_digest, data_digest, ..self.rules };
    }

    /// Payload bytes that must come next, if payload is what comes next.
    pub(super) fn payload_left(&self) -> Option<u32> {
        match self.stage {
            Stage::Payload(Payload { left, .. }) if left > 0 => Some(left),
            _ => None,
        }
    }

    /// The header that was wrong, for the TermReq.
    pub(super) fn offending_header(&self) -> &[u8] {
        &self.collected[..self.header_len]
    }

    /// Marks the connection broken: every later call repeats the error.
    pub(super) fn break_off(&mut self, term_req: TermReq) -> TermReq {
        self.stage = Stage::Broken(term_req);
        term_req
    }

    /// Takes what it can of `bytes` up to one frame. Returns the bytes used; `None` means all were used and
    /// more are needed.
    pub(super) fn receive<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, Option<Frame<'a>>), TermReq> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match self.stage {
                Stage::CommonHeader => {
                    used += self.collect(rest, size_of::<CommonHeader>());
                    self.header_len = self.have;
                    if self.have < size_of::<CommonHeader>() {
                        return Ok((used, None));
                    }
                    let (ch, _) =
                        CommonHeader::read_from_prefix(&self.collected).expect("collected has 128 bytes");
                    let shape = validate(&ch, &self.rules).map_err(|error| self.break_off(error))?;
                    self.stage = Stage::Header(shape);
                }
                Stage::Header(shape) => {
                    used += self.collect(rest, shape.header_bytes);
                    self.header_len = self.have;
                    if self.have < shape.header_bytes {
                        return Ok((used, None));
                    }
                    let pdu = self.finish_header(&shape)?;
                    return Ok((used, Some(Frame::Header { pdu, payload_bytes: shape.payload_bytes })));
                }
                Stage::Padding { left, payload } => {
                    let skipped = rest.len().min(left as usize);
                    used += skipped;
                    let left = left - skipped as u32;
                    if left > 0 {
                        self.stage = Stage::Padding { left, payload };
                        return Ok((used, None));
                    }
                    self.stage = Stage::Payload(payload);
                }
                Stage::Payload(Payload { left: 0, digest: false }) => {
                    self.begin_pdu();
                    return Ok((used, Some(Frame::PayloadEnd { intact: true })));
                }
                Stage::Payload(Payload { left: 0, digest: true }) => {
                    self.have = 0;
                    self.stage = Stage::DataDigest;
                }
                Stage::Payload(Payload { left, digest }) => {
                    let len = rest.len().min(left as usize);
                    if len == 0 {
                        return Ok((used, None));
                    }
                    let piece = &rest[..len];
                    if digest {
                        self.crc.update(piece);
                    }
                    self.stage = Stage::Payload(Payload { left: left - len as u32, digest });
                    return Ok((used + len, Some(Frame::Payload(piece))));
                }
                Stage::DataDigest => {
                    used += self.collect(rest, DIGEST_BYTES);
                    if self.have < DIGEST_BYTES {
                        return Ok((used, None));
                    }
                    let intact = self.collected_digest(0) == self.crc.value();
                    self.begin_pdu();
                    return Ok((used, Some(Frame::PayloadEnd { intact })));
                }
                Stage::Broken(term_req) => return Err(term_req),
            }
        }
    }

    fn begin_pdu(&mut self) {
        self.have = 0;
        self.stage = Stage::CommonHeader;
    }

    /// Collects up to `want` bytes in all; returns how many were taken.
    fn collect(&mut self, bytes: &[u8], want: usize) -> usize {
        let len = bytes.len().min(want - self.have);
        self.collected[self.have..self.have + len].copy_from_slice(&bytes[..len]);
        self.have += len;
        len
    }

    fn collected_digest(&self, at: usize) -> u32 {
        let bytes = &self.collected[at..at + DIGEST_BYTES];
        u32::from_le_bytes(bytes.try_into().expect("a digest has four bytes"))
    }

    /// The header is complete: checks its digest, types it, and sets the stage for what follows it.
    fn finish_header(&mut self, shape: &Shape) -> Result<Pdu, TermReq> {
        if shape.header_digest {
            let len = shape.header_bytes - DIGEST_BYTES;
            let received = self.collected_digest(len);
            if Crc32c::of(&self.collected[..len]) != received {
                return Err(self.break_off(TermReq { fes: Fes::HEADER_DIGEST_ERROR, fei: received }));
            }
        }
        let pdu = typed(shape.pdu_type, &self.collected);
        if shape.payload_bytes == 0 {
            self.begin_pdu();
        } else {
            self.crc = Crc32c::new();
            let payload = Payload { left: shape.payload_bytes, digest: shape.data_digest };
            self.stage = Stage::Padding { left: shape.padding_bytes, payload };
        }
        Ok(pdu)
    }
}

fn typed(pdu_type: PduType, bytes: &[u8; HEADER_BYTES_MAX]) -> Pdu {
    fn view<T: FromBytes>(bytes: &[u8]) -> T {
        T::read_from_prefix(bytes).expect("no header is longer than 128 bytes").0
    }
    match pdu_type {
        PduType::IC_REQ => Pdu::ICReq(view(bytes)),
        PduType::IC_RESP => Pdu::ICResp(view(bytes)),
        PduType::CAPSULE_CMD => Pdu::CapsuleCmd(view::<CapsuleCmd>(bytes).sqe),
        PduType::CAPSULE_RESP => Pdu::CapsuleResp(view::<CapsuleResp>(bytes).cqe),
        PduType::H2C_DATA | PduType::C2H_DATA => Pdu::Data(view(bytes)),
        PduType::R2T => Pdu::R2T(view(bytes)),
        PduType::H2C_TERM_REQ | PduType::C2H_TERM_REQ => {
            let header: TermReqHeader = view(bytes);
            Pdu::TermReq(TermReq { fes: Fes(header.fes.get()), fei: header.fei.get() })
        }
        PduType(other) => unreachable!("validation let type {other:#x} pass"),
    }
}
