//! Fabrics commands (Base §6).

use zerocopy::little_endian::{U16, U32, U64};

use super::{layout, sqe::SglDescriptor};

layout! { 64,
    /// Connect command.
    pub struct ConnectSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub fctype: u8,
        pub reserved5: [u8; 19],
        pub sgl: SglDescriptor,
        pub recfmt: U16,
        pub qid: U16,
        /// Submission queue size in entries, 0's based.
        pub sqsize_z: U16,
        pub cattr: u8,
        pub reserved47: u8,
        /// Keep Alive Timeout in milliseconds; zero is off.
        pub kato: U32,
        pub reserved52: [u8; 12],
    }
}

/// CATTR: the host does not want submission queue flow control.
pub const CATTR_DISABLE_SQ_FLOW_CONTROL: u8 = 1 << 2;

layout! { 1024,
    /// Connect data.
    pub struct ConnectData {
        pub hostid: [u8; 16],
        pub cntlid: U16,
        pub reserved18: [u8; 238],
        pub subnqn: [u8; 256],
        pub hostnqn: [u8; 256],
        pub reserved768: [u8; 256],
    }
}

/// CNTLID by which a host asks for any controller (dynamic model).
pub const CNTLID_DYNAMIC: u16 = 0xFFFF;

/// AUTHREQ.ATR in the response to a Connect: the host shall authenticate this queue.
pub const AUTHENTICATION_REQUIRED: u32 = 1 << 17;

layout! { 64,
    /// Property Get and Property Set commands.
    pub struct PropertySqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub fctype: u8,
        pub reserved5: [u8; 35],
        /// Size in bits 2:0: 0 is four bytes, 1 is eight.
        pub attrib: u8,
        pub reserved41: [u8; 3],
        /// Offset of the property in bytes.
        pub ofst: U32,
        /// Property Set: the value.
        pub value: U64,
        pub reserved56: [u8; 8],
    }
}
