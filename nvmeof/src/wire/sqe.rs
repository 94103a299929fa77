//! The submission queue entry and its data pointer (Base §3.3.3.1).

use zerocopy::little_endian::{U16, U32, U64};

use super::layout;

layout! { 64,
    /// Submission queue entry. The last six dwords mean what the opcode says: see `wire::nvm` and others.
    pub struct Sqe {
        pub opcode: u8,
        /// FUSE in bits 1:0, PSDT in bits 7:6.
        pub flags: u8,
        pub cid: U16,
        /// Namespace Identifier. In a Fabrics command its first byte is the FCTYPE.
        pub nsid: U32,
        pub cdw2: U32,
        pub cdw3: U32,
        pub mptr: U64,
        pub sgl: SglDescriptor,
        pub cdw10: U32,
        pub cdw11: U32,
        pub cdw12: U32,
        pub cdw13: U32,
        pub cdw14: U32,
        pub cdw15: U32,
    }
}

layout! { 16,
    /// The one SGL descriptor of a capsule.
    pub struct SglDescriptor {
        /// Address, or offset within the capsule's data.
        pub address: U64,
        /// Bytes of data.
        pub length: U32,
        pub reserved: [u8; 3],
        /// Type in bits 7:4, sub type in bits 3:0.
        pub sgl_id: u8,
    }
}

/// SGL Data Block descriptor whose address is an offset within the capsule: in-capsule data.
pub const SGL_IN_CAPSULE: u8 = 0x01;
/// Transport SGL Data Block: the data moves by the transport's own PDUs.
pub const SGL_TRANSPORT: u8 = 0x5A;
/// PSDT 01b in `flags`: SGLs, as Fabrics demands.
pub const PSDT_SGL: u8 = 0x40;
/// PSDT bits of `flags`.
pub const PSDT_MASK: u8 = 0xC0;
/// FUSE bits of `flags`.
pub const FUSE_MASK: u8 = 0x03;

impl Sqe {
    /// An entry of zeros but for the opcode and, as Fabrics demands, PSDT.
    pub fn new(opcode: u8) -> Self {
        let mut sqe: Self = zerocopy::FromZeros::new_zeroed();
        sqe.opcode = opcode;
        sqe.flags = PSDT_SGL;
        sqe.sgl.sgl_id = SGL_TRANSPORT;
        sqe
    }

    /// FCTYPE of a Fabrics command.
    pub fn fctype(&self) -> u8 {
        self.nsid.to_bytes()[0]
    }
}
