//! NVMe/TCP protocol data units (TCP §3.6.2).

use zerocopy::little_endian::{U16, U32};

use super::{Cqe, Sqe, layout, open_enum};

open_enum! {
    /// PDU-Type.
    PduType: u8 {
        IC_REQ = 0x00,
        IC_RESP = 0x01,
        H2C_TERM_REQ = 0x02,
        C2H_TERM_REQ = 0x03,
        CAPSULE_CMD = 0x04,
        CAPSULE_RESP = 0x05,
        H2C_DATA = 0x06,
        C2H_DATA = 0x07,
        R2T = 0x09,
    }
}

open_enum! {
    /// Fatal Error Status of a TermReq.
    Fes: u16 {
        INVALID_PDU_HEADER_FIELD = 0x01,
        PDU_SEQUENCE_ERROR = 0x02,
        HEADER_DIGEST_ERROR = 0x03,
        DATA_TRANSFER_OUT_OF_RANGE = 0x04,
        /// R2T Limit Exceeded (from a controller) or Data Transfer Limit Exceeded (from a host).
        LIMIT_EXCEEDED = 0x05,
        UNSUPPORTED_PARAMETER = 0x06,
    }
}

/// Common header FLAGS: a header digest follows the header.
pub const HDGSTF: u8 = 1 << 0;
/// Common header FLAGS: a data digest follows the data.
pub const DDGSTF: u8 = 1 << 1;
/// Common header FLAGS of H2CData and C2HData: the last PDU of this transfer.
pub const LAST_PDU: u8 = 1 << 2;
/// Common header FLAGS of C2HData: the command succeeded and no CapsuleResp follows.
pub const SUCCESS: u8 = 1 << 3;

/// DGST of ICReq and ICResp: header digest.
pub const HDGST_ENABLE: u8 = 1 << 0;
/// DGST of ICReq and ICResp: data digest.
pub const DDGST_ENABLE: u8 = 1 << 1;

/// Bytes of a header or data digest.
pub const DIGEST_BYTES: usize = 4;
/// Longest PDU header, digest included.
pub const HEADER_BYTES_MAX: usize = 128;
/// Longest TermReq: its header and the offending PDU's header, truncated.
pub const TERM_REQ_BYTES_MAX: u32 = 152;

layout! { 8,
    /// What every PDU begins with.
    pub struct CommonHeader {
        pub pdu_type: u8,
        pub flags: u8,
        /// Header Length in bytes, without its digest.
        pub hlen: u8,
        /// PDU Data Offset: bytes from the beginning of the PDU to its data.
        pub pdo: u8,
        /// PDU Length in bytes, digests and padding included.
        pub plen: U32,
    }
}

layout! { 128,
    /// Initialize Connection Request: the first bytes of a connection.
    pub struct ICReq {
        pub ch: CommonHeader,
        pub pfv: U16,
        /// Host PDU Data Alignment in dwords, 0's based.
        pub hpda_z: u8,
        pub dgst: u8,
        /// R2Ts outstanding for one command, 0's based.
        pub maxr2t_z: U32,
        pub reserved: [u8; 112],
    }
}

layout! { 128,
    /// Initialize Connection Response.
    pub struct ICResp {
        pub ch: CommonHeader,
        pub pfv: U16,
        /// Controller PDU Data Alignment in dwords, 0's based.
        pub cpda_z: u8,
        pub dgst: u8,
        /// Largest H2CData payload in bytes.
        pub maxh2cdata: U32,
        pub reserved: [u8; 112],
    }
}

layout! { 24,
    /// H2CTermReq and C2HTermReq; the header that was wrong follows as data.
    pub struct TermReqHeader {
        pub ch: CommonHeader,
        pub fes: U16,
        /// Fatal Error Information: what it means depends on `fes`.
        pub fei: U32,
        pub reserved: [u8; 10],
    }
}

layout! { 72,
    /// Command capsule.
    pub struct CapsuleCmd {
        pub ch: CommonHeader,
        pub sqe: Sqe,
    }
}

layout! { 24,
    /// Response capsule.
    pub struct CapsuleResp {
        pub ch: CommonHeader,
        pub cqe: Cqe,
    }
}

layout! { 24,
    /// H2CData and C2HData (where `ttag` is reserved).
    pub struct DataHeader {
        pub ch: CommonHeader,
        /// Command Capsule CID.
        pub cccid: U16,
        /// Transfer Tag, as the R2T gave it.
        pub ttag: U16,
        /// Offset of this data within the command's data, in bytes.
        pub datao: U32,
        /// Bytes of data in this PDU.
        pub datal: U32,
        pub reserved: [u8; 4],
    }
}

layout! { 24,
    /// Ready to Transfer: the controller asks for a command's data.
    pub struct R2T {
        pub ch: CommonHeader,
        pub cccid: U16,
        pub ttag: U16,
        /// Offset of the wanted data within the command's data, in bytes.
        pub r2to: U32,
        /// Bytes wanted.
        pub r2tl: U32,
        pub reserved: [u8; 4],
    }
}
