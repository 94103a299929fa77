//! NVM command set commands (NVM §3).

use zerocopy::little_endian::{U16, U32, U64};

use super::{layout, sqe::SglDescriptor};

layout! { 64,
    /// Read, Write, Write Zeroes, Compare and Verify.
    pub struct RwSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 8],
        pub mptr: U64,
        pub sgl: SglDescriptor,
        /// Starting LBA.
        pub slba: U64,
        /// Number of Logical Blocks, 0's based.
        pub nlb_z: U16,
        pub control: U16,
        pub cdw13: U32,
        pub cdw14: U32,
        pub cdw15: U32,
    }
}

/// `control`: Limited Retry.
pub const CONTROL_LR: u16 = 1 << 15;
/// `control`: Force Unit Access.
pub const CONTROL_FUA: u16 = 1 << 14;
/// `control`: PRINFO, which needs protection information.
pub const CONTROL_PRINFO: u16 = 0xF << 10;
/// `control` of Write Zeroes: Deallocate.
pub const CONTROL_DEAC: u16 = 1 << 9;
/// `control`: Storage Tag Check.
pub const CONTROL_STC: u16 = 1 << 8;

layout! { 64,
    /// Dataset Management.
    pub struct DsmSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 16],
        pub sgl: SglDescriptor,
        /// Number of Ranges, 0's based.
        pub nr_z: u8,
        pub reserved41: [u8; 3],
        pub attributes: U32,
        pub reserved48: [u8; 16],
    }
}

/// `attributes`: Deallocate.
pub const DSM_DEALLOCATE: u32 = 1 << 2;

layout! { 16,
    /// One range of Dataset Management.
    pub struct DsmRange {
        pub context_attributes: U32,
        /// Length in logical blocks.
        pub length: U32,
        /// Starting LBA.
        pub slba: U64,
    }
}

layout! { 64,
    /// Copy.
    pub struct CopySqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 8],
        pub mptr: U64,
        pub sgl: SglDescriptor,
        /// Starting Destination LBA.
        pub sdlba: U64,
        /// Number of Ranges, 0's based.
        pub nr_z: u8,
        /// Descriptor Format in bits 3:0, PRINFOR in bits 7:4.
        pub format: u8,
        /// As `control` of a write, but for Directive Type in bits 7:4.
        pub control: U16,
        pub cdw13: U32,
        pub cdw14: U32,
        pub cdw15: U32,
    }
}

/// `control` of Copy: Directive Type, PRINFOW and both Storage Tag Checks, none of which we have.
pub const COPY_CONTROL_UNSUPPORTED: u16 = 0x3FF0;

layout! { 32,
    /// One source range of Copy, in descriptor format 0h or 2h.
    pub struct CopyRange {
        /// Source Namespace Identifier, in format 2h.
        pub snsid: U32,
        pub reserved4: [u8; 4],
        /// Starting LBA.
        pub slba: U64,
        /// Number of Logical Blocks, 0's based.
        pub nlb_z: U16,
        pub reserved18: [u8; 4],
        /// Source Options, in format 2h.
        pub sopt: U16,
        pub reserved24: [u8; 8],
    }
}

/// `format` of Copy: the Descriptor Format.
pub const COPY_FORMAT_MASK: u8 = 0x0F;
/// `sopt`: Fast Copy Only.
pub const COPY_SOPT_FCO: u16 = 1 << 15;

layout! { 64,
    /// Get LBA Status, an admin command.
    pub struct GetLbaStatusSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 16],
        pub sgl: SglDescriptor,
        /// Starting LBA.
        pub slba: U64,
        /// Maximum Number of Dwords, 0's based.
        pub mndw_z: U32,
        /// Range Length in logical blocks; 0: up to the end of the namespace.
        pub rl: U16,
        pub reserved54: u8,
        /// Action Type.
        pub atype: u8,
        pub reserved56: [u8; 8],
    }
}

layout! { 8,
    /// Begins the LBA Status Descriptor List.
    pub struct LbaStatusHeader {
        /// Number of LBA Status Descriptors.
        pub nlsd: U32,
        /// Completion Condition.
        pub cmpc: u8,
        pub reserved5: [u8; 3],
    }
}

layout! { 16,
    /// LBA Status Descriptor.
    pub struct LbaStatusDescriptor {
        /// Starting LBA.
        pub dslba: U64,
        /// Number of Logical Blocks, 0's based.
        pub nlb_z: U32,
        pub reserved12: u8,
        /// LBA Range Status in bits 2:0.
        pub status: u8,
        pub reserved14: [u8; 2],
    }
}

/// `cmpc`: there is more, or not all was looked at; all is there.
pub const CMPC_INCOMPLETE: u8 = 1;
pub const CMPC_COMPLETE: u8 = 2;
/// `status`: the blocks cannot be read, or Write Uncorrectable wrote them; some of them are allocated.
pub const LBARS_UNRECOVERABLE: u8 = 0b001;
pub const LBARS_ALLOCATED: u8 = 0b010;
