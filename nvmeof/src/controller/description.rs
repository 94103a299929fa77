//! What the target tells a controller about the world: plain values, given anew with each command.

use std::net::SocketAddr;

use uuid::Uuid;

use super::AnaState;
use crate::{
    Nqn,
    wire::log_page::{WARNING_READ_ONLY, WARNING_SPARE},
};

/// What all controllers of a subsystem have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsystem {
    pub nqn: Nqn,
    /// At most 20 ASCII characters.
    pub serial: String,
    /// At most 40 ASCII characters.
    pub model: String,
    /// At most 8 ASCII characters.
    pub firmware: String,
    /// How long a controller whose association ended may still work on its commands (CQT).
    pub quiesce_ms: u16,
}

/// One namespace. Its ANA group has its own NSID as identifier (H2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace {
    /// 1 to `limits::NAMESPACES_MAX`.
    pub nsid: u32,
    pub size_blocks: u64,
    /// Blocks that take space now.
    pub used_blocks: u64,
    /// 512 or 4096.
    pub block_bytes: u32,
    pub uuid: Uuid,
    pub nguid: [u8; 16],
    pub read_only: bool,
    /// Space comes as it is written.
    pub thin: bool,
    /// A power cut leaves each aligned 4 KiB old or new (E8).
    pub atomic_4k: bool,
    /// A write may be lost by a power cut before a Flush.
    pub volatile_cache: bool,
    pub ana_state: AnaState,
    /// Reservations are supported.
    pub has_reservations: bool,
    /// Its reservations persist through power loss.
    pub reservations_persist: bool,
}

/// What a host may use, looked at only as far as a command asks: there may be a thousand.
pub trait Namespaces: std::fmt::Debug {
    /// Ascending.
    fn nsids(&self) -> Vec<u32>;
    /// The namespace as it is now, if the host may use it.
    fn get(&self, nsid: u32) -> Option<Namespace>;
}

/// In ascending order of their NSIDs.
impl Namespaces for Vec<Namespace> {
    fn nsids(&self) -> Vec<u32> {
        self.iter().map(|namespace| namespace.nsid).collect()
    }

    fn get(&self, nsid: u32) -> Option<Namespace> {
        let index = self.binary_search_by_key(&nsid, |namespace| namespace.nsid).ok()?;
        Some(self[index])
    }
}

/// Real counters and conditions for the SMART log: of the subsystem, over its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// A drive under a namespace takes no writes any more.
    pub read_only: bool,
    /// Composite temperature in kelvins; zero where nothing measures it.
    pub temperature_kelvins: u16,
    /// Free space, in percent.
    pub spare_percent: u8,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub host_reads: u64,
    pub host_writes: u64,
    pub busy_minutes: u64,
    pub power_cycles: u64,
    pub power_on_hours: u64,
    pub unsafe_shutdowns: u64,
    pub media_errors: u64,
    /// Of the drives under the subsystem's namespaces, and what of it is promised to nobody.
    pub capacity_bytes: u64,
    pub unallocated_bytes: u64,
    /// Commands that failed, whichever controller logged them.
    pub error_log_entries: u64,
}

/// Below this much free space hosts are warned.
pub(super) const SPARE_THRESHOLD_PERCENT: u8 = 10;

impl Health {
    /// Of a subsystem that works and has served nothing, as tests and fuzzing begin.
    pub(crate) const UNUSED: Self = Self {
        read_only: false,
        temperature_kelvins: 0,
        spare_percent: 100,
        bytes_read: 0,
        bytes_written: 0,
        host_reads: 0,
        host_writes: 0,
        busy_minutes: 0,
        power_cycles: 1,
        power_on_hours: 0,
        unsafe_shutdowns: 0,
        media_errors: 0,
        capacity_bytes: 0,
        unallocated_bytes: 0,
        error_log_entries: 0,
    };

    /// The Critical Warning field (Base §5.1.12.1.3).
    pub(super) fn critical_warning(&self) -> u8 {
        let spare = u8::from(self.spare_percent < SPARE_THRESHOLD_PERCENT) * WARNING_SPARE;
        spare | (u8::from(self.read_only) * WARNING_READ_ONLY)
    }
}

/// One subsystem at one address, as a host discovers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryRecord {
    pub subsystem_nqn: Nqn,
    pub address: SocketAddr,
    pub port_id: u16,
    pub kind: DiscoveryKind,
    pub security: TransportSecurity,
}

/// Whether a host's connections are in TLS (TCP §3.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportSecurity {
    Off,
    Allowed,
    Required,
}

/// What stands behind a discovery record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscoveryKind {
    /// A subsystem with volumes.
    Storage,
    /// The discovery subsystem itself, by its own name.
    Current,
    /// Another one, elsewhere.
    Referral,
}

/// Everything an admin command may ask about.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub subsystem: &'a Subsystem,
    /// Only what this host may use.
    pub namespaces: &'a dyn Namespaces,
    pub health: Health,
    /// An I/O queue is connected.
    pub has_io_queues: bool,
    /// What a Telemetry Host-Initiated log shall hold that is asked for now; empty with any other command.
    pub telemetry: &'a [u8],
    /// For a discovery controller: what this host may see, and the number of changes so far.
    pub discovery: &'a [DiscoveryRecord],
    pub discovery_generation: u64,
}
