//! Controller properties (Base §3.1.4).

use bitflags::bitflags;

use super::open_enum;

open_enum! {
    /// Offset of a property in bytes.
    Property: u32 {
        CAP = 0x00,
        VS = 0x08,
        CC = 0x14,
        CSTS = 0x1C,
        NSSR = 0x20,
        CRTO = 0x68,
    }
}

/// VS and VER: NVMe 2.1.
pub const VERSION_2_1: u32 = 0x0002_0100;

/// Fields of Controller Configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControllerConfiguration(pub u32);

/// CC.SHN: what kind of shutdown the host asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownNotification {
    None,
    /// Normal or abrupt: we end both the same way.
    Requested,
}

impl ControllerConfiguration {
    /// CC.EN.
    pub const ENABLE: u32 = 1;
    /// What a host writes to enable us: NVM command set, 4 KiB pages, 64 and 16 byte entries.
    pub const USUAL: u32 = Self::ENABLE | 6 << 16 | 4 << 20;

    /// CC.EN.
    pub fn enable(self) -> bool {
        self.0 & Self::ENABLE != 0
    }

    /// CC.CSS.
    pub fn css(self) -> u8 {
        (self.0 >> 4 & 0x7) as u8
    }

    /// CC.MPS: memory page size as 2^(12 + n).
    pub fn mps(self) -> u8 {
        (self.0 >> 7 & 0xF) as u8
    }

    /// CC.AMS.
    pub fn ams(self) -> u8 {
        (self.0 >> 11 & 0x7) as u8
    }

    /// CC.SHN.
    pub fn shn(self) -> ShutdownNotification {
        match self.0 >> 14 & 0x3 {
            0 => ShutdownNotification::None,
            _ => ShutdownNotification::Requested,
        }
    }

    /// CC.IOSQES: submission entries of 2^n bytes.
    pub fn iosqes(self) -> u8 {
        (self.0 >> 16 & 0xF) as u8
    }

    /// CC.IOCQES: completion entries of 2^n bytes.
    pub fn iocqes(self) -> u8 {
        (self.0 >> 20 & 0xF) as u8
    }

    /// CC.CRIME: ready independent of media.
    pub fn crime(self) -> bool {
        self.0 >> 24 & 1 != 0
    }
}

bitflags! {
    /// Controller Status.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ControllerStatus: u32 {
        const READY = 1 << 0;
        /// Controller Fatal Status.
        const FATAL = 1 << 1;
        /// SHST 01b: shutdown is occurring.
        const SHUTDOWN_OCCURRING = 0b01 << 2;
        /// SHST 10b: shutdown complete.
        const SHUTDOWN_COMPLETE = 0b10 << 2;
    }
}

/// Controller Capabilities, built from their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Maximum Queue Entries Supported, 0's based.
    pub mqes_z: u16,
    /// Longest time to ready, in units of 500 ms.
    pub to: u8,
}

impl Capabilities {
    /// CAP: contiguous queues, NVM command set (alone or chosen by CSI), ready with media (CRWMS).
    pub fn encode(self) -> u64 {
        const CQR: u64 = 1 << 16;
        const CSS_NVM: u64 = 1 << 37;
        const CSS_IOCSS: u64 = 1 << 43;
        const CRWMS: u64 = 1 << 59;
        u64::from(self.mqes_z) | CQR | u64::from(self.to) << 24 | CSS_NVM | CSS_IOCSS | CRWMS
    }

    /// CAP.MQES of a peer, 0's based.
    pub fn mqes_z(cap: u64) -> u16 {
        (cap & 0xFFFF) as u16
    }
}
