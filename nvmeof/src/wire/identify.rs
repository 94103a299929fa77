//! Identify data structures (Base §5.1.13, NVM §4.1.5). Only the fields that we report have names.

use zerocopy::little_endian::{U16, U32, U64};

use super::layout;

layout! { 4096,
    /// Identify Controller (CNS 01h).
    pub struct IdentifyController {
        pub vid: U16,
        pub ssvid: U16,
        pub sn: [u8; 20],
        pub mn: [u8; 40],
        pub fr: [u8; 8],
        pub rab: u8,
        pub ieee: [u8; 3],
        pub cmic: u8,
        /// Maximum Data Transfer Size as 2^n memory pages.
        pub mdts: u8,
        pub cntlid: U16,
        pub ver: U32,
        pub rtd3r: U32,
        pub rtd3e: U32,
        pub oaes: U32,
        pub ctratt: U32,
        pub reserved100: [u8; 11],
        /// Controller Type: 1 I/O, 2 discovery.
        pub cntrltype: u8,
        pub fguid: [u8; 16],
        pub reserved128: [u8; 7],
        /// Controller Instance Uniquifier.
        pub ciu: u8,
        /// Controller Instance Random Number.
        pub cirn: U64,
        pub reserved144: [u8; 112],
        pub oacs: U16,
        /// Abort Command Limit, 0's based.
        pub acl_z: u8,
        /// Asynchronous Event Request Limit, 0's based.
        pub aerl_z: u8,
        pub frmw: u8,
        pub lpa: u8,
        /// Error Log Page Entries, 0's based.
        pub elpe_z: u8,
        /// Number of Power States Support, 0's based.
        pub npss_z: u8,
        pub avscc: u8,
        pub apsta: u8,
        /// Warning Composite Temperature Threshold in kelvins.
        pub wctemp: U16,
        pub cctemp: U16,
        pub reserved270: [u8; 10],
        pub tnvmcap: [u8; 16],
        pub unvmcap: [u8; 16],
        pub reserved312: [u8; 8],
        /// Keep Alive Support: granularity in units of 100 ms.
        pub kas: U16,
        pub reserved322: [u8; 6],
        pub sanicap: U32,
        pub reserved332: [u8; 8],
        /// Endurance Group Identifier Maximum.
        pub endgidmax: U16,
        /// ANA Transition Time in seconds.
        pub anatt: u8,
        pub anacap: u8,
        pub anagrpmax: U32,
        pub nanagrpid: U32,
        pub reserved352: [u8; 34],
        /// Command Quiesce Time in milliseconds.
        pub cqt: U16,
        pub reserved388: [u8; 124],
        pub sqes: u8,
        pub cqes: u8,
        pub maxcmd: U16,
        pub nn: U32,
        pub oncs: U16,
        pub fuses: U16,
        pub fna: u8,
        pub vwc: u8,
        /// Atomic Write Unit Normal, 0's based.
        pub awun_z: U16,
        pub awupf_z: U16,
        pub icsvscc: u8,
        pub nwpc: u8,
        pub acwu_z: U16,
        /// Copy Descriptor Formats Supported.
        pub cdfs: U16,
        pub sgls: U32,
        /// Maximum Number of Allowed Namespaces.
        pub mnan: U32,
        pub reserved544: [u8; 224],
        pub subnqn: [u8; 256],
        pub reserved1024: [u8; 768],
        /// I/O Queue Command Capsule Supported Size in units of 16 bytes.
        pub ioccsz: U32,
        pub iorcsz: U32,
        /// In Capsule Data Offset in units of 16 bytes.
        pub icdoff: U16,
        pub fcatt: u8,
        /// Maximum SGL Data Block Descriptors.
        pub msdbd: u8,
        pub ofcs: U16,
        /// Discovery Controller Type.
        pub dctype: u8,
        /// Cross-Controller Reset Limit.
        pub ccrl: u8,
        pub reserved1808: [u8; 240],
        pub psd: [PowerState; 32],
        pub vs: [u8; 1024],
    }
}

layout! { 32,
    /// Power State Descriptor.
    pub struct PowerState {
        /// Maximum Power in centiwatts; zero is not reported.
        pub mp: U16,
        pub reserved: [u8; 30],
    }
}

layout! { 4096,
    /// Identify Namespace for the NVM command set (CNS 00h).
    pub struct IdentifyNamespace {
        /// Namespace Size in logical blocks.
        pub nsze: U64,
        pub ncap: U64,
        pub nuse: U64,
        pub nsfeat: u8,
        /// Number of LBA Formats, 0's based.
        pub nlbaf_z: u8,
        pub flbas: u8,
        pub mc: u8,
        pub dpc: u8,
        pub dps: u8,
        pub nmic: u8,
        pub rescap: u8,
        pub fpi: u8,
        pub dlfeat: u8,
        pub nawun_z: U16,
        pub nawupf_z: U16,
        pub nacwu_z: U16,
        pub nabsn_z: U16,
        pub nabo: U16,
        pub nabspf_z: U16,
        /// Namespace Optimal I/O Boundary in logical blocks.
        pub noiob: U16,
        pub nvmcap: [u8; 16],
        /// Namespace Preferred Write Granularity in logical blocks, 0's based; so the next three.
        pub npwg_z: U16,
        pub npwa_z: U16,
        pub npdg_z: U16,
        pub npda_z: U16,
        pub nows_z: U16,
        /// Maximum Single Source Range Length of Copy in logical blocks.
        pub mssrl: U16,
        /// Maximum Copy Length in logical blocks.
        pub mcl: U32,
        /// Maximum Source Range Count, 0's based.
        pub msrc_z: u8,
        pub reserved81: [u8; 11],
        pub anagrpid: U32,
        pub reserved96: [u8; 3],
        pub nsattr: u8,
        pub nvmsetid: U16,
        pub endgid: U16,
        pub nguid: [u8; 16],
        pub eui64: [u8; 8],
        pub lbaf: [LbaFormat; 64],
        pub vs: [u8; 3712],
    }
}

layout! { 4,
    /// LBA Format.
    pub struct LbaFormat {
        /// Metadata Size in bytes.
        pub ms: U16,
        /// LBA Data Size as a power of two.
        pub lbads: u8,
        pub rp: u8,
    }
}

layout! { 4096,
    /// I/O Command Set Independent Identify Namespace (CNS 08h).
    pub struct IndependentNamespace {
        pub nsfeat: u8,
        pub nmic: u8,
        pub rescap: u8,
        pub fpi: u8,
        pub anagrpid: U32,
        pub nsattr: u8,
        pub reserved9: u8,
        pub nvmsetid: U16,
        pub endgid: U16,
        pub nstat: u8,
        pub reserved15: [u8; 4081],
    }
}

layout! { 4096,
    /// Identify Controller of the NVM command set (CNS 06h).
    pub struct NvmController {
        /// Verify Size Limit as 2^n memory pages.
        pub vsl: u8,
        /// Write Zeroes Size Limit as 2^n memory pages.
        pub wzsl: u8,
        /// Write Uncorrectable Size Limit as 2^n memory pages.
        pub wusl: u8,
        /// Dataset Management Ranges Limit.
        pub dmrl: u8,
        /// Dataset Management Range Size Limit in logical blocks.
        pub dmrsl: U32,
        /// Dataset Management Size Limit in logical blocks.
        pub dmsl: U64,
        pub reserved16: [u8; 4080],
    }
}

/// CMIC and NMIC: several ports and controllers share the subsystem, with ANA reporting.
pub const CMIC_PORTS: u8 = 1 << 0;
pub const CMIC_CONTROLLERS: u8 = 1 << 1;
pub const CMIC_ANA: u8 = 1 << 3;
/// NMIC: more than one controller may have the namespace.
pub const NMIC_SHARED: u8 = 1 << 0;

/// OAES and Asynchronous Event Configuration.
pub const OAES_NAMESPACE_ATTRIBUTE: u32 = 1 << 8;
pub const OAES_ANA_CHANGE: u32 = 1 << 11;
pub const OAES_DISCOVERY_CHANGE: u32 = 1 << 31;

/// CTRATT: 128-bit host identifier.
pub const CTRATT_HOST_ID_128: u32 = 1 << 0;
/// CTRATT: Endurance Groups.
pub const CTRATT_ENDURANCE_GROUPS: u32 = 1 << 4;
/// CTRATT: Traffic Based Keep Alive.
pub const CTRATT_TBKAS: u32 = 1 << 6;

/// LPA: effects log, extended data for Get Log Page.
pub const LPA_EFFECTS: u8 = 1 << 1;
pub const LPA_EXTENDED: u8 = 1 << 2;
/// LPA: Telemetry Host-Initiated and Controller-Initiated.
pub const LPA_TELEMETRY: u8 = 1 << 3;
/// LPA: Supported Log Pages, Feature Effects and the like exist.
pub const LPA_SUPPORTED_PAGES: u8 = 1 << 5;

/// OACS: Get LBA Status.
pub const OACS_GET_LBA_STATUS: u16 = 1 << 9;
/// ONCS.
pub const ONCS_COMPARE: u16 = 1 << 0;
pub const ONCS_WRITE_UNCORRECTABLE: u16 = 1 << 1;
pub const ONCS_DSM: u16 = 1 << 2;
pub const ONCS_WRITE_ZEROES: u16 = 1 << 3;
pub const ONCS_SAVE_AND_SELECT: u16 = 1 << 4;
pub const ONCS_RESERVATIONS: u16 = 1 << 5;
pub const ONCS_TIMESTAMP: u16 = 1 << 6;
pub const ONCS_VERIFY: u16 = 1 << 7;
pub const ONCS_COPY: u16 = 1 << 8;
/// FUSES: Compare and Write.
pub const FUSES_COMPARE_AND_WRITE: u16 = 1 << 0;
/// CDFS: Copy takes descriptor formats 0h and 2h.
pub const CDFS_0: u16 = 1 << 0;
pub const CDFS_2: u16 = 1 << 2;

/// VWC: a volatile write cache is present; a Flush may name all namespaces.
pub const VWC_PRESENT: u8 = 1 << 0;
pub const VWC_FLUSH_ALL: u8 = 0b11 << 1;

/// SGLS: supported without alignment; offsets in data blocks (in-capsule data); transport data blocks.
pub const SGLS_SUPPORTED: u32 = 0b01;
pub const SGLS_OFFSET: u32 = 1 << 20;
pub const SGLS_TRANSPORT: u32 = 1 << 21;

/// NSFEAT of CNS 00h: thin provisioning; atomicity fields are the namespace's own; optimal I/O fields valid.
pub const NSFEAT_THIN: u8 = 1 << 0;
pub const NSFEAT_NSABP: u8 = 1 << 1;
pub const NSFEAT_OPTPERF: u8 = 1 << 4;
/// NSFEAT of CNS 08h: this namespace has no volatile cache, whatever VWC says.
pub const NSFEAT_INDEPENDENT_NO_CACHE: u8 = 1 << 5;
/// DLFEAT: deallocated blocks read as zeros, Write Zeroes may deallocate.
pub const DLFEAT_ZEROES: u8 = 0b001 | 1 << 3;
/// NSATTR: write protected.
pub const NSATTR_WRITE_PROTECTED: u8 = 1 << 0;
/// NSTAT: ready.
pub const NSTAT_READY: u8 = 1 << 0;

/// NIDT of the descriptor list (CNS 03h).
pub const NIDT_NGUID: u8 = 2;
pub const NIDT_UUID: u8 = 3;
pub const NIDT_CSI: u8 = 4;

/// CNTRLTYPE.
pub const CNTRLTYPE_IO: u8 = 1;
pub const CNTRLTYPE_DISCOVERY: u8 = 2;
/// DCTYPE: a direct discovery controller, which tells of its own subsystem only.
pub const DCTYPE_DIRECT: u8 = 1;
