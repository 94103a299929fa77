//! Status values (Base §4.2.3).

use super::open_enum;

/// Do Not Retry: the same command would fail again.
pub const DNR: u16 = 1 << 14;

open_enum! {
    /// The 15-bit status field: SC in bits 7:0, SCT in bits 10:8, CRD in 12:11, More in 13, DNR in 14.
    Status: u16 {
        SUCCESS = 0x000,
        INVALID_OPCODE = 0x001 | DNR,
        INVALID_FIELD = 0x002 | DNR,
        DATA_TRANSFER_ERROR = 0x004,
        INTERNAL_ERROR = 0x006,
        ABORT_REQUESTED = 0x007,
        ABORTED_SQ_DELETION = 0x008,
        ABORTED_FAILED_FUSED = 0x009,
        ABORTED_MISSING_FUSED = 0x00A,
        INVALID_NAMESPACE_OR_FORMAT = 0x00B | DNR,
        COMMAND_SEQUENCE_ERROR = 0x00C | DNR,
        INVALID_SGL_SEGMENT_DESCRIPTOR = 0x00D | DNR,
        DATA_SGL_LENGTH_INVALID = 0x00F | DNR,
        SGL_DESCRIPTOR_TYPE_INVALID = 0x011 | DNR,
        ATOMIC_WRITE_UNIT_EXCEEDED = 0x014 | DNR,
        SGL_OFFSET_INVALID = 0x016 | DNR,
        HOST_IDENTIFIER_INCONSISTENT_FORMAT = 0x018 | DNR,
        KEEP_ALIVE_TIMER_EXPIRED = 0x019,
        NAMESPACE_IS_WRITE_PROTECTED = 0x020 | DNR,
        TRANSIENT_TRANSPORT_ERROR = 0x022,
        LBA_OUT_OF_RANGE = 0x080 | DNR,
        /// Retrying at once finds no more space, so not to be retried.
        CAPACITY_EXCEEDED = 0x081 | DNR,
        NAMESPACE_NOT_READY = 0x082,
        RESERVATION_CONFLICT = 0x083 | DNR,

        ABORT_COMMAND_LIMIT_EXCEEDED = 0x103 | DNR,
        ASYNC_EVENT_LIMIT_EXCEEDED = 0x105 | DNR,
        INVALID_LOG_PAGE = 0x109 | DNR,
        FEATURE_NOT_SAVEABLE = 0x10D | DNR,
        FEATURE_NOT_CHANGEABLE = 0x10E | DNR,
        FEATURE_NOT_NAMESPACE_SPECIFIC = 0x10F | DNR,

        CONNECT_INCOMPATIBLE_FORMAT = 0x180 | DNR,
        CONNECT_CONTROLLER_BUSY = 0x181,
        CONNECT_INVALID_PARAMETERS = 0x182 | DNR,
        CONNECT_RESTART_DISCOVERY = 0x183 | DNR,
        CONNECT_INVALID_HOST = 0x184 | DNR,
        AUTHENTICATION_REQUIRED = 0x191 | DNR,

        WRITE_FAULT = 0x280,
        UNRECOVERED_READ_ERROR = 0x281,
        COMPARE_FAILURE = 0x285 | DNR,

        INTERNAL_PATH_ERROR = 0x300,
        ANA_PERSISTENT_LOSS = 0x301,
        ANA_INACCESSIBLE = 0x302,
        ANA_TRANSITION = 0x303,
        CONTROLLER_PATHING_ERROR = 0x360,

        /// Vendor specific, between nodes only: the replica obeys another primary, or another connection of this one.
        REPLICA_REFUSED = 0x7C0 | DNR,
    }
}

/// Command specific values of the NVM command set: they share their numbers with those of Connect.
impl Status {
    pub const COMMAND_SIZE_LIMIT_EXCEEDED: Self = Self(0x183 | DNR);
    pub const INCOMPATIBLE_NAMESPACE_OR_FORMAT: Self = Self(0x185 | DNR);
    pub const FAST_COPY_NOT_POSSIBLE: Self = Self(0x186 | DNR);
    pub const OVERLAPPING_IO_RANGE: Self = Self(0x187 | DNR);
    /// An Unrecovered Read Error that stays until the blocks are written again.
    pub const MARKED_UNCORRECTABLE: Self = Self(0x281 | DNR);
}

impl Status {
    /// Whether the command was done.
    pub fn is_success(self) -> bool {
        self.code() == 0
    }

    /// SCT and SC alone, to compare without CRD, More and DNR.
    pub fn code(self) -> u16 {
        self.0 & 0x7FF
    }

    /// Whether a retry would fail the same way.
    pub fn dnr(self) -> bool {
        self.0 & DNR != 0
    }
}
