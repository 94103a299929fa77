//! Log pages (Base §5.1.12).

use zerocopy::little_endian::{U16, U32, U64};

use super::layout;

layout! { 64,
    /// One entry of the Error Information log.
    pub struct ErrorEntry {
        /// Counts errors of the controller; zero marks an unused entry.
        pub error_count: U64,
        pub sqid: U16,
        pub cid: U16,
        /// Status field in bits 15:1.
        pub status: U16,
        pub parameter_error_location: U16,
        pub lba: U64,
        pub nsid: U32,
        pub vendor: u8,
        pub trtype: u8,
        pub csi: u8,
        pub opcode: u8,
        pub command_specific: U64,
        pub trtype_specific: U16,
        pub reserved: [u8; 22],
    }
}

layout! { 512,
    /// SMART / Health Information.
    pub struct Smart {
        pub critical_warning: u8,
        /// Composite temperature in kelvins.
        pub temperature: U16,
        pub available_spare: u8,
        pub available_spare_threshold: u8,
        pub percentage_used: u8,
        pub endurance_group_warning: u8,
        pub reserved7: [u8; 25],
        /// Thousands of 512-byte units, rounded up, as 128-bit numbers.
        pub data_units_read: [u8; 16],
        pub data_units_written: [u8; 16],
        pub host_reads: [u8; 16],
        pub host_writes: [u8; 16],
        /// Minutes.
        pub controller_busy_time: [u8; 16],
        pub power_cycles: [u8; 16],
        pub power_on_hours: [u8; 16],
        pub unsafe_shutdowns: [u8; 16],
        pub media_errors: [u8; 16],
        pub error_log_entries: [u8; 16],
        pub reserved192: [u8; 320],
    }
}

/// `critical_warning`: spare space is low.
pub const WARNING_SPARE: u8 = 1 << 0;
/// `critical_warning`: media was put in read-only mode.
pub const WARNING_READ_ONLY: u8 = 1 << 3;

layout! { 512,
    /// Endurance Group Information.
    pub struct EnduranceGroup {
        /// As in SMART.
        pub critical_warning: u8,
        pub features: u8,
        pub reserved2: u8,
        pub available_spare: u8,
        pub available_spare_threshold: u8,
        pub percentage_used: u8,
        pub domain: U16,
        pub reserved8: [u8; 24],
        /// Thousands of millions of bytes, rounded up, as 128-bit numbers; so the next three.
        pub endurance_estimate: [u8; 16],
        pub data_read: [u8; 16],
        pub data_written: [u8; 16],
        pub media_written: [u8; 16],
        pub host_reads: [u8; 16],
        pub host_writes: [u8; 16],
        pub media_errors: [u8; 16],
        pub error_log_entries: [u8; 16],
        /// Bytes.
        pub total_capacity: [u8; 16],
        pub unallocated_capacity: [u8; 16],
        pub reserved192: [u8; 320],
    }
}

layout! { 512,
    /// Header of both Telemetry logs.
    pub struct TelemetryHeader {
        pub lid: u8,
        pub reserved1: [u8; 4],
        pub ieee: [u8; 3],
        /// Last block of each data area; the header is block 0.
        pub area1_last_block: U16,
        pub area2_last_block: U16,
        pub area3_last_block: U16,
        pub reserved14: [u8; 2],
        pub area4_last_block: U32,
        pub reserved20: [u8; 360],
        /// What a host-initiated log is about.
        pub host_scope: u8,
        /// Generation of host-initiated data; in the controller-initiated log its scope.
        pub host_generation: u8,
        pub controller_available: u8,
        pub controller_generation: u8,
        pub reason: [u8; 128],
    }
}

/// LSP of Telemetry Host-Initiated: capture anew.
pub const TELEMETRY_CREATE: u8 = 1 << 0;
/// Scope: the NVM subsystem.
pub const TELEMETRY_SCOPE_SUBSYSTEM: u8 = 2;

layout! { 512,
    /// Firmware Slot Information.
    pub struct FirmwareSlots {
        /// Active slot in bits 2:0.
        pub afi: u8,
        pub reserved1: [u8; 7],
        pub frs: [[u8; 8]; 7],
        pub reserved64: [u8; 448],
    }
}

layout! { 4096,
    /// Commands Supported and Effects.
    pub struct CommandEffects {
        pub admin: [U32; 256],
        pub io: [U32; 256],
        pub reserved: [u8; 2048],
    }
}

layout! { 16,
    /// Header of the ANA log.
    pub struct AnaHeader {
        pub change_count: U64,
        /// Number of group descriptors that follow.
        pub groups: U16,
        pub reserved: [u8; 6],
    }
}

layout! { 32,
    /// ANA Group Descriptor; its namespace identifiers follow.
    pub struct AnaGroup {
        pub group_id: U32,
        /// Number of NSID values.
        pub namespaces: U32,
        pub change_count: U64,
        /// ANA state in bits 3:0.
        pub state: u8,
        pub reserved: [u8; 15],
    }
}

/// LSP of the ANA log: Return Groups Only.
pub const ANA_RGO: u8 = 1 << 0;

layout! { 1024,
    /// Header of the Discovery log.
    pub struct DiscoveryHeader {
        pub genctr: U64,
        pub numrec: U64,
        pub recfmt: U16,
        /// Discovery Log Page Flags: which of the forms that were asked for this is.
        pub dlpf: u8,
        pub reserved: [u8; 1005],
    }
}

layout! { 1024,
    /// One entry of the Discovery log.
    pub struct DiscoveryEntry {
        pub trtype: u8,
        pub adrfam: u8,
        pub subtype: u8,
        pub treq: u8,
        pub portid: U16,
        pub cntlid: U16,
        /// Admin Max SQ Size in entries.
        pub asqsz: U16,
        pub eflags: U16,
        pub reserved12: [u8; 20],
        pub trsvcid: [u8; 32],
        pub reserved64: [u8; 192],
        pub subnqn: [u8; 256],
        pub traddr: [u8; 256],
        pub tsas: [u8; 256],
    }
}

/// `trtype`: TCP.
pub const TRTYPE_TCP: u8 = 3;
/// `adrfam`.
pub const ADRFAM_IPV4: u8 = 1;
pub const ADRFAM_IPV6: u8 = 2;
/// `subtype`: a referral to another discovery subsystem.
pub const SUBTYPE_REFERRAL: u8 = 1;
/// `subtype`: an NVM subsystem.
pub const SUBTYPE_NVM: u8 = 2;
/// `subtype`: the discovery subsystem that the log comes from.
pub const SUBTYPE_CURRENT_DISCOVERY: u8 = 3;
/// `eflags`: entries with this flag lead to the same information (Duplicate Returned Information).
pub const EFLAGS_DUPRETINFO: u16 = 1 << 0;
/// `eflags`: a host may stay connected to this discovery subsystem (Explicit Persistent Connection).
pub const EFLAGS_EPCSD: u16 = 1 << 1;
/// `treq`: flow control may be off. Without one of the next two nothing is said of a secure channel.
pub const TREQ_NO_SQ_FLOW_CONTROL: u8 = 1 << 2;
/// `treq`: a secure channel is required.
pub const TREQ_SECURE_CHANNEL_REQUIRED: u8 = 0b01;
/// `treq`: a secure channel is possible, not required.
pub const TREQ_SECURE_CHANNEL_NOT_REQUIRED: u8 = 0b10;
/// First byte of `tsas` for TCP: TLS 1.3 (TCP §3.1.1.1).
pub const SECTYPE_TLS13: u8 = 2;
