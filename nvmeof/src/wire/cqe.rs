//! The completion queue entry (Base §3.3.3.2).

use zerocopy::little_endian::{U16, U64};

use super::{layout, status::Status};

layout! { 16,
    /// Completion queue entry.
    pub struct Cqe {
        /// Command specific result (dwords 0 and 1).
        pub result: U64,
        /// Submission Queue Head pointer; all ones where flow control is off.
        pub sqhd: U16,
        pub sqid: U16,
        pub cid: U16,
        /// Status field in bits 15:1; bit 0, the phase tag, is reserved over fabrics.
        pub status_and_phase: U16,
    }
}

/// SQHD on a queue whose flow control is off (Base §3.3.1.2.1).
pub const SQHD_DISABLED: u16 = 0xFFFF;

impl Cqe {
    /// An entry for command `cid`.
    pub fn new(cid: u16, sqhd: u16, status: Status, result: u64) -> Self {
        Self {
            result: result.into(),
            sqhd: sqhd.into(),
            sqid: 0.into(),
            cid: cid.into(),
            status_and_phase: (status.0 << 1).into(),
        }
    }

    /// The status field.
    pub fn status(&self) -> Status {
        Status(self.status_and_phase.get() >> 1)
    }
}
