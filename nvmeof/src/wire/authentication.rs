//! In-band authentication: its two commands and the heads of its messages (Base §6.1, §6.2, §8.3.4.5).

use zerocopy::little_endian::{U16, U32};

use super::{layout, open_enum, sqe::SglDescriptor};

layout! { 64,
    /// Authentication Send and Authentication Receive commands.
    pub struct AuthenticationSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub fctype: u8,
        pub reserved5: [u8; 19],
        pub sgl: SglDescriptor,
        pub reserved40: u8,
        pub spsp0: u8,
        pub spsp1: u8,
        pub secp: u8,
        /// Transfer Length of a Send, Allocation Length of a Receive; bytes.
        pub length: U32,
        pub reserved48: [u8; 16],
    }
}

/// SECP of in-band authentication.
pub const SECP_NVME: u8 = 0xE9;
/// SPSP0 and SPSP1 of it.
pub const SPSP: u8 = 0x01;

open_enum! {
    /// AUTH_TYPE of a message.
    AuthType: u8 {
        COMMON = 0x00,
        DH_HMAC_CHAP = 0x01,
    }
}

open_enum! {
    /// AUTH_ID of a message: the first and the last two are common messages.
    AuthId: u8 {
        NEGOTIATE = 0x00,
        CHALLENGE = 0x01,
        REPLY = 0x02,
        SUCCESS1 = 0x03,
        SUCCESS2 = 0x04,
        FAILURE2 = 0xF0,
        FAILURE1 = 0xF1,
    }
}

/// AUTHID of DH-HMAC-CHAP in a [`ProtocolDescriptor`].
pub const PROTOCOL_DH_HMAC_CHAP: u8 = 0x01;
/// Failure reason: the one that there is, authentication failure.
pub const REASON_AUTHENTICATION_FAILURE: u8 = 0x01;

layout! { 6,
    /// How every message begins.
    pub struct MessageHead {
        pub auth_type: u8,
        pub auth_id: u8,
        pub reserved2: [u8; 2],
        pub t_id: U16,
    }
}

layout! { 8,
    /// AUTH_Negotiate, before its descriptors.
    pub struct Negotiate {
        pub head: MessageHead,
        /// Secure channel concatenation; zero is none.
        pub sc_c: u8,
        /// Number of [`ProtocolDescriptor`]s.
        pub napd: u8,
    }
}

layout! { 64,
    /// What a host can do, by one protocol.
    pub struct ProtocolDescriptor {
        pub authid: u8,
        pub reserved1: u8,
        /// Entries of `hash_ids`.
        pub halen: u8,
        /// Entries of `dh_group_ids`.
        pub dhlen: u8,
        pub hash_ids: [u8; 30],
        pub dh_group_ids: [u8; 30],
    }
}

layout! { 16,
    /// DH-HMAC-CHAP_Challenge, before `hl` bytes of challenge and `dhvlen` bytes of DH value.
    pub struct Challenge {
        pub head: MessageHead,
        pub hl: u8,
        pub reserved7: u8,
        pub hash_id: u8,
        pub dh_group_id: u8,
        pub dhvlen: U16,
        pub seqnum: U32,
    }
}

layout! { 16,
    /// DH-HMAC-CHAP_Reply, before `hl` bytes of response, `hl` of challenge and `dhvlen` of DH value.
    pub struct Reply {
        pub head: MessageHead,
        pub hl: u8,
        pub reserved7: u8,
        /// One: the host asks the controller to authenticate itself.
        pub cvalid: u8,
        pub reserved9: u8,
        pub dhvlen: U16,
        pub seqnum: U32,
    }
}

layout! { 16,
    /// DH-HMAC-CHAP_Success1, before `hl` bytes of response if `rvalid`.
    pub struct Success1 {
        pub head: MessageHead,
        pub hl: u8,
        pub reserved7: u8,
        pub rvalid: u8,
        pub reserved9: [u8; 7],
    }
}

layout! { 16,
    /// DH-HMAC-CHAP_Success2.
    pub struct Success2 {
        pub head: MessageHead,
        pub reserved6: [u8; 10],
    }
}

layout! { 8,
    /// AUTH_Failure1 and AUTH_Failure2.
    pub struct Failure {
        pub head: MessageHead,
        pub reason: u8,
        pub explanation: u8,
    }
}
