//! What the control plane says to a node and hears from it: plain values, no reactor type, no HTTP type.
//! Sizes are bytes unless the name says otherwise.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, path::PathBuf};

pub use nvmeof::controller::AnaState;
use nvmeof::tls::RetainedPsk;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::target::CONTROLLER_IDS;
use crate::{limits, mirror::ReplicaIdentity};

/// Everything a node needs to start.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Reactor threads; queue pairs are spread over them.
    pub cores: usize,
    pub drives: Vec<DriveConfig>,
    pub portals: Vec<PortalConfig>,
    /// Portals for discovery alone, such as on its own port 8009.
    pub discovery_portals: Vec<DiscoveryPortalConfig>,
    /// Discovery services elsewhere that every host is told of.
    pub referrals: Vec<SocketAddr>,
    /// Memory for resident map pages of each drive (E10).
    pub map_memory_bytes: u64,
    /// The NQN that discovery controllers name as their own subsystem is the well-known one; this prefix
    /// (`nqn.2026-11.io.basalt:` by default, provisioner D57) begins the unique ones.
    pub nqn_prefix: String,
    /// Stable name of this node (its persistentID).
    pub node_id: String,
    /// Identifiers that its controllers may have, within [`CONTROLLER_IDS`]: nodes that export the same subsystems
    /// need ranges that do not overlap.
    pub controller_ids: RangeInclusive<u16>,
    /// Connected queue pairs of one address, admin queues included; more are answered with Controller Busy.
    pub connections_per_address: usize,
}

impl NodeConfig {
    /// A node of one core without drives or portals, otherwise as usual.
    pub fn new(node_id: &str) -> Self {
        Self {
            cores: 1,
            drives: Vec::new(),
            portals: Vec::new(),
            discovery_portals: Vec::new(),
            referrals: Vec::new(),
            map_memory_bytes: 64 << 20,
            nqn_prefix: "nqn.2026-11.io.basalt:".to_owned(),
            node_id: node_id.to_owned(),
            controller_ids: CONTROLLER_IDS,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
        }
    }
}

/// Where a drive lives and how far its word is trusted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DriveConfig {
    pub medium: DriveMedium,
    /// Size for creation only; an existing drive keeps its own.
    pub size_bytes: Option<u64>,
    /// Format even if something foreign is there.
    pub format: bool,
    /// Every write durable before its answer (E2). `None`: on where the drive reports no volatile cache.
    pub write_through: Option<bool>,
    /// How torn 4 KiB blocks are met (E8). `None`: `Assume4kAtomic` for files.
    pub torn: Option<TornPolicy>,
    /// Test only: writes stay in the process until a flush or FUA reaches the drive.
    pub lossy: bool,
    /// Test of the tests only: how a lossy drive cheats.
    pub fault: Option<TestFault>,
    /// What was there when it was last open. Anything else, and an older copy of it, is refused.
    pub identity: Option<DriveIdentity>,
    /// If it cannot be opened when the node starts, it is reported as failed and the others are served.
    pub optional: bool,
}

impl DriveConfig {
    /// A drive without any option.
    pub fn new(medium: DriveMedium) -> Self {
        Self {
            medium,
            size_bytes: None,
            format: false,
            write_through: None,
            torn: None,
            lossy: false,
            fault: None,
            identity: None,
            optional: false,
        }
    }
}

/// Tells a drive from every other, and from its own past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveIdentity {
    pub uuid: Uuid,
    /// Of its superblock: grows with every checkpoint, so an older copy has a smaller one.
    pub sequence: u64,
}

/// A defect on request, which the tests of durability must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TestFault {
    /// Flushes promise everything and do nothing.
    NoFlush,
    /// First writes are answered before their record is written.
    EarlyAnswer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriveMedium {
    /// A file (created on demand) or a block device.
    Path(PathBuf),
    /// Gone with the process; for benchmarks and tests.
    Memory(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TornPolicy {
    /// The user states that 4 KiB writes are atomic.
    Assume4kAtomic,
    /// Nothing is overwritten in place: a write moves its extent.
    TornSafe,
}

/// One NVMe/TCP listener.
#[derive(Debug, Clone)]
pub struct PortalConfig {
    pub listen: SocketAddr,
    /// What discovery and the API tell hosts; without one, the address the host's connection came in on.
    pub advertise: Option<Advertise>,
}

/// A listener for discovery alone.
#[derive(Debug, Clone)]
pub struct DiscoveryPortalConfig {
    pub portal: PortalConfig,
    /// If its address is in use the node starts without it, and says so in the log.
    pub optional: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise {
    /// An IP address (Linux wants a literal one in a discovery entry).
    pub address: std::net::IpAddr,
    /// `None`: the listener's own port.
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriveState {
    Online,
    /// Serves as before while its volumes move to other drives; takes no new ones.
    Evacuating,
    /// Takes no writes any more; reads go on. The text says why.
    ReadOnly(String),
    /// Nothing can be served. The text says why.
    Failed(String),
}

/// How far the emptying of a drive has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evacuation {
    pub moved_bytes: u64,
    /// May grow while hosts write.
    pub total_bytes: u64,
    /// It has ended with volumes left on the drive; the text says why.
    pub failure: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DriveInfo {
    pub uuid: Uuid,
    /// The path or `mem:NAME`.
    pub name: String,
    pub state: DriveState,
    /// Of its superblock, see [`DriveIdentity`]; 0 if it is not open.
    pub sequence: u64,
    /// Of the medium that the drive divides up; 0 if it is not open.
    pub size_bytes: u64,
    /// Bytes that volumes can use (what the format and its reserve take is already off).
    pub capacity_bytes: u64,
    /// Capacity not yet promised: minus thick sizes and thin reserves.
    pub unreserved_bytes: u64,
    /// Bytes in extents that hold data.
    pub used_bytes: u64,
    pub write_through: bool,
    /// The last one, if somebody asked for one.
    pub evacuation: Option<Evacuation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockSize {
    B512,
    B4096,
}

impl BlockSize {
    /// Of a volume: 512 or 4096 bytes.
    pub(crate) fn of(block_bytes: u32) -> Self {
        if block_bytes == 512 { Self::B512 } else { Self::B4096 }
    }

    pub fn bytes(self) -> u32 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

/// What a new volume shall be. Thick: `reserved_bytes == size_bytes`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeSpec {
    pub uuid: Uuid,
    pub size_bytes: u64,
    pub block_size: BlockSize,
    /// Space that is guaranteed; the rest comes as available.
    pub reserved_bytes: u64,
    /// Drives that may hold it; none named: all. It spans several of them only if no single one has room.
    pub drives: Vec<Uuid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeState {
    Online,
    /// Corruption was found: reads of whole parts go on, writes are refused. The text says what.
    ReadOnly(String),
    /// Its drive cannot serve it. The text says why.
    Offline(String),
    /// Deleted; its extents are still being given back.
    Deleting,
}

impl VolumeState {
    /// What is wrong with the volume, to be read behind its name; `None` if nothing is.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Online | Self::Deleting => None,
            Self::ReadOnly(why) => Some(format!("takes no writes: {why}")),
            Self::Offline(why) => Some(format!("is offline: {why}")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeInfo {
    pub uuid: Uuid,
    /// In the order of what they hold.
    pub parts: Vec<PartInfo>,
    /// All parts are there. A volume that misses one is offline and cannot be exported.
    pub complete: bool,
    pub size_bytes: u64,
    pub block_size: BlockSize,
    pub reserved_bytes: u64,
    /// Extents its head owns, in bytes (E13).
    pub used_bytes: u64,
    /// Extents of the frozen layers below its head, in bytes: shared with snapshots and clones.
    pub shared_bytes: u64,
    /// Which replica it is, if other nodes hold some of the same volume.
    #[serde(default)]
    pub replica: Option<ReplicaIdentity>,
    /// False for a read-only snapshot volume.
    pub writable: bool,
    pub limits: RateLimits,
    pub state: VolumeState,
}

/// What of a volume or snapshot lies on one drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartInfo {
    pub drive: Uuid,
    pub size_bytes: u64,
}

/// What a volume may be given per second; 0 is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimits {
    pub max_iops: u64,
    pub max_bytes_per_second: u64,
}

/// A snapshot to be taken: `snapshot` is the new one's UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSpec {
    pub volume: Uuid,
    pub snapshot: Uuid,
}

/// A volume's content at one instant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotInfo {
    pub uuid: Uuid,
    /// In the order of what they hold.
    pub parts: Vec<PartInfo>,
    /// Of the volume when it was taken.
    pub size_bytes: u64,
    pub block_size: BlockSize,
    /// Extents of its own layer, in bytes.
    pub owned_bytes: u64,
    pub state: VolumeState,
}

/// A volume that shows a snapshot: read-only, or with a head of its own.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SnapshotVolumeSpec {
    pub uuid: Uuid,
    pub snapshot: Uuid,
    pub writable: bool,
    /// At least the snapshot's.
    pub size_bytes: u64,
    /// Guaranteed to its head; 0 for a read-only one.
    pub reserved_bytes: u64,
}

/// A volume that begins with what another holds now, and is independent of it from then on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CloneSpec {
    pub uuid: Uuid,
    pub source: Uuid,
    /// At least the source's.
    pub size_bytes: u64,
    pub reserved_bytes: u64,
}

/// One namespace of a subsystem (H2: the NSID comes from the control plane).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceSpec {
    pub nsid: u32,
    pub volume: Uuid,
    /// The UUID that hosts find it by (provisioner D22); the NGUID is the same 16 bytes.
    pub uuid: Uuid,
}

/// One NVM subsystem as it shall be: publishing a volume to a host adds a namespace here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubsystemSpec {
    pub nqn: String,
    /// Host NQNs that may connect; nobody else sees it, in discovery either.
    pub allowed_hosts: Vec<String>,
    pub namespaces: Vec<NamespaceSpec>,
}

/// A host's keys for TLS, and whether it must use one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTls {
    /// Its Connects to storage subsystems come in TLS, or are refused.
    pub required: bool,
    /// The one tried first at the front.
    pub keys: Vec<RetainedPsk>,
}

/// A live controller (association) of a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ControllerInfo {
    pub subsystem_nqn: String,
    pub host_nqn: String,
    pub host_id: Uuid,
    pub cntlid: u16,
    pub peer: SocketAddr,
    /// All its connections are in TLS.
    pub secured: bool,
    pub io_queues: u16,
}

/// What went wrong with a request to a node, by whose fault it is.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub enum NodeError {
    #[error("no such {0}")]
    NotFound(NodeObject),
    #[error("{0} exists already")]
    AlreadyExists(NodeObject),
    #[error("{0}")]
    Invalid(String),
    #[error("not enough free space on any drive: {needed_bytes} bytes needed, {available_bytes} available")]
    NoFreeSpace { needed_bytes: u64, available_bytes: u64 },
    #[error("{0} is in use")]
    InUse(NodeObject),
    /// A drive that is to be removed still has these.
    #[error("the drive is not empty: {}", contents(volumes, snapshots))]
    NotEmpty { volumes: Vec<Uuid>, snapshots: Vec<Uuid> },
    /// The disk failed, or stored bytes are wrong.
    #[error("{0}")]
    Drive(String),
    #[error("the node is shutting down")]
    ShuttingDown,
    /// A node in another process did not answer. Whether it has done what it was asked for is unknown.
    #[error("the storage node does not answer: {0}")]
    NoAnswer(String),
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeObject {
    Volume,
    Snapshot,
    Drive,
    Evacuation,
}

impl fmt::Display for NodeObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
            Self::Drive => "drive",
            Self::Evacuation => "evacuation",
        })
    }
}

fn contents(volumes: &[Uuid], snapshots: &[Uuid]) -> String {
    let list = |what: &str, uuids: &[Uuid]| {
        let uuids: Vec<_> = uuids.iter().map(Uuid::to_string).collect();
        (!uuids.is_empty()).then(|| format!("{what} {}", uuids.join(", ")))
    };
    let lists = [list("volumes", volumes), list("snapshots", snapshots)];
    lists.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Why a node could not start; the text names the drive or portal and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);
