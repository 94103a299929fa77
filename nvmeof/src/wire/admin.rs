//! Admin commands: the last six dwords of their entries (Base §5).

use zerocopy::little_endian::{U16, U32, U64};

use super::{layout, sqe::SglDescriptor};

layout! { 64,
    /// Identify.
    pub struct IdentifySqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 16],
        pub sgl: SglDescriptor,
        /// Controller or Namespace Structure.
        pub cns: u8,
        pub reserved41: u8,
        pub cntid: U16,
        /// CNS Specific Identifier.
        pub cnssid: U16,
        pub reserved46: u8,
        /// Command Set Identifier.
        pub csi: u8,
        pub reserved48: [u8; 8],
        pub uuid_index: u8,
        pub reserved57: [u8; 7],
    }
}

layout! { 64,
    /// Get Log Page.
    pub struct GetLogPageSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 16],
        pub sgl: SglDescriptor,
        /// Log Page Identifier.
        pub lid: u8,
        /// Log Specific Parameter in bits 6:0, RAE in bit 7.
        pub lsp: u8,
        /// Number of Dwords, 0's based, in two halves.
        pub numdl_z: U16,
        pub numdu: U16,
        /// Log Specific Identifier.
        pub lsi: U16,
        /// Log Page Offset in bytes (or an index, where `ot` says so).
        pub lpo: U64,
        pub uuid_index: u8,
        pub reserved57: u8,
        /// Offset Type in bit 7: the offset is an index.
        pub ot: u8,
        /// Command Set Identifier.
        pub csi: u8,
        pub reserved60: [u8; 4],
    }
}

/// `lsp`: Retain Asynchronous Event.
pub const RAE: u8 = 1 << 7;
/// `ot`: the offset is an index.
pub const OFFSET_IS_INDEX: u8 = 1 << 7;

layout! { 64,
    /// Get Features and Set Features.
    pub struct FeaturesSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 16],
        pub sgl: SglDescriptor,
        /// Feature Identifier.
        pub fid: u8,
        /// Get Features: Select, in bits 2:0.
        pub sel: u8,
        pub reserved42: u8,
        /// Set Features: Save, in bit 7.
        pub save: u8,
        /// What the feature says it is.
        pub value: U32,
        pub reserved48: [u8; 16],
    }
}

/// `save`: the value shall survive resets.
pub const SAVE: u8 = 1 << 7;

layout! { 64,
    /// Cross-Controller Reset (Base 2.3 §5.2.6).
    pub struct CrossControllerResetSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub reserved4: [u8; 20],
        pub sgl: SglDescriptor,
        /// Impacted Controller ID.
        pub icid: U16,
        /// Controller Instance Uniquifier of the impacted controller.
        pub ciu: u8,
        pub reserved43: [u8; 5],
        /// Controller Instance Random Number of the impacted controller.
        pub cirn: U64,
        pub reserved56: [u8; 8],
    }
}

layout! { 64,
    /// Abort.
    pub struct AbortSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub reserved4: [u8; 20],
        pub sgl: SglDescriptor,
        /// Queue and identifier of the command to abort.
        pub sqid: U16,
        pub abort_cid: U16,
        pub reserved44: [u8; 20],
    }
}

layout! { 512,
    /// Data of the Host Behavior Support feature.
    pub struct HostBehaviorSupport {
        /// Advanced Command Retry Enable.
        pub acre: u8,
        /// Extended Telemetry Data Area 4 Supported.
        pub etdas: u8,
        /// LBA Format Extension Enable.
        pub lbafee: u8,
        /// Host Dispersed Namespace Support.
        pub hdisns: u8,
        /// Copy Descriptor Formats Enable: bit *n* for format *n*.
        pub cdfe: U16,
        pub reserved6: [u8; 506],
    }
}

impl HostBehaviorSupport {
    /// Its length.
    pub const BYTES: usize = size_of::<Self>();
}

/// `cdfe`: Copy descriptor format 2h.
pub const CDFE_2: u16 = 1 << 2;
