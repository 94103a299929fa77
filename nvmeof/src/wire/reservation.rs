//! Reservation commands, their data, and what is told about reservations (Base §7, §8.1.25).

use zerocopy::little_endian::{U16, U32, U64};

use super::{layout, sqe::SglDescriptor};

layout! { 64,
    /// Reservation Register, Acquire and Release.
    pub struct ReservationSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 16],
        pub sgl: SglDescriptor,
        /// RREGA, RACQA or RRELA in bits 2:0, IEKEY in bit 3.
        pub action: u8,
        /// Reservation Type; of no meaning to Register.
        pub rtype: u8,
        pub reserved42: u8,
        /// Register: CPTPL in bits 7:6.
        pub cptpl: u8,
        pub reserved44: [u8; 20],
    }
}

/// `action`: Ignore Existing Key.
pub const IEKEY: u8 = 1 << 3;

layout! { 64,
    /// Reservation Report.
    pub struct ReservationReportSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        pub reserved8: [u8; 16],
        pub sgl: SglDescriptor,
        /// Number of Dwords, 0's based.
        pub numd_z: U32,
        /// Extended Data Structure in bit 0.
        pub eds: u8,
        pub reserved45: [u8; 19],
    }
}

/// `eds`: registrants are told with their 128-bit host identifiers.
pub const EDS: u8 = 1 << 0;

layout! { 16,
    /// Data of Register, with the new key, and of Acquire, with the key to preempt.
    pub struct ReservationKeys {
        pub crkey: U64,
        /// NRKEY or PRKEY.
        pub other: U64,
    }
}

layout! { 64,
    /// Header of the extended report; its registrants follow.
    pub struct ReservationStatus {
        pub r#gen: U32,
        pub rtype: u8,
        /// Number of Registrants.
        pub regstrnt: U16,
        pub reserved7: [u8; 2],
        /// Persist Through Power Loss State.
        pub ptpls: u8,
        pub reserved10: [u8; 54],
    }
}

layout! { 64,
    /// A registrant in the extended report.
    pub struct RegistrantStatus {
        pub cntlid: U16,
        /// The host holds the reservation, in bit 0.
        pub rcsts: u8,
        pub reserved3: [u8; 5],
        pub rkey: U64,
        pub hostid: [u8; 16],
        pub reserved32: [u8; 32],
    }
}

layout! { 64,
    /// Reservation Notification log.
    pub struct ReservationNotification {
        /// Log Page Count: which notification of the controller this is; zero if there is none.
        pub count: U64,
        /// Reservation Notification Log Page Type.
        pub kind: u8,
        /// Number of Available Log Pages behind this one.
        pub available: u8,
        pub reserved10: [u8; 2],
        pub nsid: U32,
        pub reserved16: [u8; 48],
    }
}

/// RESCAP: persistence through power loss, all six types, and IEKEY as NVMe 1.3 has it.
pub const RESCAP_ALL: u8 = 0xFF;
