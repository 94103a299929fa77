//! Flags made complete: defaults filled in, contradictions refused.

use std::{
    collections::HashSet,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use control::{AuthSettings, ControlConfig, KnownDrives, Location, Replication, Require, SyslogUrl};
use dataplane::{
    limits::CONNECTIONS_PER_ADDRESS,
    node::{DiscoveryPortalConfig, DriveConfig, DriveMedium, NodeConfig, TestFault},
};

use super::{
    admin_flags::AdminFlags,
    controller_ids::ControllerIds,
    drive_flag::DriveFlag,
    flags::{FaultFlag, LogFormat, ReplicationFlag, RequireFlag, ServeFlags},
    portal_flag::PortalFlag,
    role::{Role, RoleError, location},
    storage_flags::StorageFlags,
};
use crate::{DEFAULT_DATA_DIR, size::ByteSize};

/// What `basalt serve` runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) role: Role,
    /// Where the node stands.
    pub(crate) location: Location,
    pub(crate) drives: Vec<DriveFlag>,
    /// One of `drives`.
    pub(crate) format: Option<PathBuf>,
    pub(crate) accept_drive: Vec<PathBuf>,
    pub(crate) api: Vec<SocketAddr>,
    pub(crate) nvme: Vec<PortalFlag>,
    pub(crate) discovery: Vec<DiscoveryPortal>,
    pub(crate) referrals: Vec<SocketAddr>,
    pub(crate) controller_ids: ControllerIds,
    pub(crate) connections_per_address: usize,
    pub(crate) cores: usize,
    pub(crate) map_memory: ByteSize,
    pub(crate) node_name: String,
    pub(crate) nqn_prefix: String,
    pub(crate) provisioner: Provisioner,
    pub(crate) admin: AdminFlags,
    pub(crate) storage: StorageFlags,
    pub(crate) test_fault: Option<FaultFlag>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
}

/// Where discovery alone is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiscoveryPortal {
    pub(crate) portal: PortalFlag,
    /// Nobody asked for it: it may be missing.
    pub(crate) optional: bool,
}

/// Settings of the provisioner API that are decided in `control`; `None` leaves its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provisioner {
    server_names: Vec<String>,
    require: Option<RequireFlag>,
    open_info: Option<bool>,
    open_metrics: Option<bool>,
    api_socket: Option<PathBuf>,
    session_seconds: Option<NonZeroU32>,
    syslog: Vec<SyslogUrl>,
    trust_ca: Option<PathBuf>,
    license_key: Option<PathBuf>,
    reserve_floor_gib: Option<u64>,
    default_replication: Option<ReplicationFlag>,
}

/// A contradiction between flags; each text names the flag and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error("--cores {0}: from 1 to {MAX_CORES} threads can serve I/O")]
    Cores(usize),
    #[error(
        "--connections-per-address {0}: a host needs {MIN_CONNECTIONS_PER_ADDRESS}, an admin queue and one for I/O"
    )]
    ConnectionsPerAddress(usize),
    #[error("--map-memory {0}: at least {MIN_MAP_MEMORY} are needed for the maps of a drive")]
    MapMemory(ByteSize),
    #[error("--drive {0} is named twice")]
    DriveTwice(String),
    #[error("--api {0} is named twice")]
    ApiTwice(SocketAddr),
    #[error("--nvme {0} is named twice")]
    NvmeTwice(SocketAddr),
    #[error("--discovery {0} is named twice")]
    DiscoveryTwice(SocketAddr),
    #[error("--api and --nvme cannot both listen on {0}")]
    ApiIsNvme(SocketAddr),
    #[error("--discovery {0}: --api or --nvme listens there, which answers discovery too if it is --nvme")]
    DiscoveryIsOther(SocketAddr),
    #[error("--referral {0} is named twice")]
    ReferralTwice(SocketAddr),
    #[error("--format {} names no drive of this server: write its path as --drive does", .0.display())]
    FormatNoDrive(PathBuf),
    #[error("--accept-drive {} names no drive of this server: write its path as --drive does", .0.display())]
    AcceptNoDrive(PathBuf),
    #[error(
        "--nqn-prefix {0}: write nqn.YYYY-MM.REVERSED.DOMAIN: in printable ASCII, {MAX_NQN_PREFIX_BYTES} bytes at most"
    )]
    NqnPrefix(String),
    #[error("BASALT_TEST_FAULT=no-flush is for tests on lossy drives: --drive {0} keeps what it is given")]
    FaultOnRealDrive(String),
    #[error("--node-name: from 1 to 255 characters without control characters")]
    NodeName,
}

impl Settings {
    /// Fills in the defaults and checks what one flag alone cannot know.
    pub(crate) fn resolve(flags: ServeFlags) -> Result<Self, SettingsError> {
        let (role, location) = (Role::resolve(&flags)?, location(&flags));
        let data_dir = flags.data_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let nvme = or_one(flags.nvme, || PortalFlag { listen: local(DEFAULT_NVME_PORT), advertise: None });
        let api = or_one(flags.api, || local(DEFAULT_API_PORT));
        let settings = Self {
            role,
            location,
            drives: or_one(flags.drive, || {
                DriveFlag::file(data_dir.join(DEFAULT_DRIVE_FILE), DEFAULT_DRIVE_SIZE)
            }),
            format: flags.format,
            accept_drive: flags.accept_drive,
            discovery: discovery(flags.discovery, &nvme, &api),
            api,
            nvme,
            referrals: flags.referral,
            controller_ids: flags.controller_ids.unwrap_or_default(),
            connections_per_address: flags.connections_per_address.unwrap_or(CONNECTIONS_PER_ADDRESS),
            cores: flags.cores.unwrap_or_else(default_cores),
            map_memory: flags.map_memory.unwrap_or(DEFAULT_MAP_MEMORY),
            node_name: flags.node_name.unwrap_or_else(host_name),
            nqn_prefix: flags.nqn_prefix.unwrap_or_else(|| DEFAULT_NQN_PREFIX.to_owned()),
            provisioner: Provisioner {
                server_names: flags.server_name,
                require: flags.require,
                open_info: flags.open_info,
                open_metrics: flags.open_metrics,
                api_socket: flags.api_socket,
                session_seconds: flags.session_seconds,
                syslog: flags.syslog,
                trust_ca: flags.trust_ca,
                license_key: flags.license_key,
                reserve_floor_gib: flags.reserve_floor_gib,
                default_replication: flags.default_replication,
            },
            admin: flags.admin,
            storage: flags.storage,
            test_fault: flags.test_fault,
            log: flags.log.unwrap_or_else(|| "info".to_owned()),
            log_format: flags.log_format.unwrap_or(LogFormat::Text),
            data_dir,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if !(1..=MAX_CORES).contains(&self.cores) {
            return Err(SettingsError::Cores(self.cores));
        }
        if self.connections_per_address < MIN_CONNECTIONS_PER_ADDRESS {
            return Err(SettingsError::ConnectionsPerAddress(self.connections_per_address));
        }
        if self.map_memory < MIN_MAP_MEMORY {
            return Err(SettingsError::MapMemory(self.map_memory));
        }
        if let Some(name) = first_repeated(self.drives.iter().map(|drive| drive_name(&drive.medium))) {
            return Err(SettingsError::DriveTwice(name));
        }
        // Port 0 is a different free port each time.
        let api = || self.api.iter().copied().filter(|address| address.port() != 0);
        let nvme = || self.nvme.iter().map(|portal| portal.listen).filter(|address| address.port() != 0);
        if let Some(address) = first_repeated(api()) {
            return Err(SettingsError::ApiTwice(address));
        }
        if let Some(address) = first_repeated(nvme()) {
            return Err(SettingsError::NvmeTwice(address));
        }
        if let Some(address) = first_repeated(api().chain(nvme())) {
            return Err(SettingsError::ApiIsNvme(address));
        }
        self.check_discovery()?;
        if !is_nqn_prefix(&self.nqn_prefix) {
            return Err(SettingsError::NqnPrefix(self.nqn_prefix.clone()));
        }
        if self.node_name.is_empty()
            || self.node_name.len() > 255
            || self.node_name.contains(char::is_control)
        {
            return Err(SettingsError::NodeName);
        }
        // Late records show only where the drive itself loses nothing, so they are not bound to lossy ones.
        if self.test_fault == Some(FaultFlag::NoFlush)
            && let Some(real) = self.drives.iter().find(|drive| !drive.lossy)
        {
            return Err(SettingsError::FaultOnRealDrive(drive_name(&real.medium)));
        }
        match &self.format {
            Some(path)
                if !self.drives.iter().any(|drive| drive.medium == DriveMedium::Path(path.clone())) =>
            {
                Err(SettingsError::FormatNoDrive(path.clone()))
            }
            _ => Ok(()),
        }
    }

    fn check_discovery(&self) -> Result<(), SettingsError> {
        let discovery =
            || self.discovery.iter().map(|d| d.portal.listen).filter(|address| address.port() != 0);
        if let Some(address) = first_repeated(discovery()) {
            return Err(SettingsError::DiscoveryTwice(address));
        }
        let is_other = |address: &SocketAddr| {
            self.api.contains(address) || self.nvme.iter().any(|portal| portal.listen == *address)
        };
        if let Some(address) = discovery().find(is_other) {
            return Err(SettingsError::DiscoveryIsOther(address));
        }
        match first_repeated(self.referrals.iter().copied()) {
            Some(address) => Err(SettingsError::ReferralTwice(address)),
            None => Ok(()),
        }
    }

    /// Listens on this address, too, on every port on which it listens elsewhere (admin.md §5.7).
    pub(crate) fn listen_on(&mut self, ip: IpAddr) {
        let covers = |listen: &SocketAddr| {
            listen.ip() == ip || (listen.ip().is_unspecified() && listen.is_ipv4() == ip.is_ipv4())
        };
        let missing = |listens: Vec<SocketAddr>| {
            // Which port the kernel chooses elsewhere nobody could tell a host.
            let mut ports: Vec<u16> =
                listens.iter().map(SocketAddr::port).filter(|port| *port != 0).collect();
            ports.sort_unstable();
            ports.dedup();
            ports.retain(|port| !listens.iter().any(|listen| listen.port() == *port && covers(listen)));
            ports.into_iter().map(move |port| SocketAddr::new(ip, port))
        };
        self.api.extend(missing(self.api.clone()));
        let portals = missing(self.nvme.iter().map(|portal| portal.listen).collect());
        self.nvme.extend(portals.map(|listen| PortalFlag { listen, advertise: None }));
        let discovery = missing(self.discovery.iter().map(|d| d.portal.listen).collect());
        let portal = |listen| PortalFlag { listen, advertise: None };
        self.discovery
            .extend(discovery.map(|listen| DiscoveryPortal { portal: portal(listen), optional: true }));
    }

    /// A drive below /dev that is not there. Elsewhere a missing drive is a file to be made.
    pub(crate) fn missing_device(&self) -> Option<&Path> {
        let mut paths = self.drives.iter().filter_map(|drive| match &drive.medium {
            DriveMedium::Path(path) => Some(path.as_path()),
            DriveMedium::Memory(_) => None,
        });
        paths.find(|path| path.starts_with("/dev") && !path.exists())
    }

    /// What the data plane is told. `node_id` is the node's persistentID.
    pub(crate) fn node_config(
        &self,
        node_id: String,
        known: &KnownDrives,
    ) -> Result<NodeConfig, SettingsError> {
        let mut drives: Vec<_> = self.drives.iter().map(|drive| self.drive_config(drive, known)).collect();
        for added in known.added() {
            // What the command line says about a drive counts.
            if !drives.iter().any(|named| is_same_place(&named.medium, &added.medium)) {
                drives.push(added);
            }
        }
        for path in &self.accept_drive {
            let medium = DriveMedium::Path(path.clone());
            let drive = drives.iter_mut().find(|drive| is_same_place(&drive.medium, &medium));
            drive.ok_or_else(|| SettingsError::AcceptNoDrive(path.clone()))?.identity = None;
        }
        Ok(NodeConfig {
            cores: self.cores,
            drives,
            portals: self.nvme.iter().map(PortalFlag::to_config).collect(),
            discovery_portals: self.discovery.iter().map(DiscoveryPortal::to_config).collect(),
            referrals: self.referrals.clone(),
            map_memory_bytes: self.map_memory.0,
            nqn_prefix: self.nqn_prefix.clone(),
            node_id,
            controller_ids: self.controller_ids.0.clone(),
            connections_per_address: self.connections_per_address,
        })
    }

    fn drive_config(&self, drive: &DriveFlag, known: &KnownDrives) -> DriveConfig {
        let format = match (&drive.medium, &self.format) {
            (DriveMedium::Path(drive), Some(format)) => drive == format,
            _ => false,
        };
        DriveConfig {
            size_bytes: drive.size.map(|size| size.0),
            format,
            // Without the flag the node decides by the drive's cache (E2).
            write_through: drive.write_through.then_some(true),
            torn: drive.torn,
            lossy: drive.lossy,
            fault: self.test_fault.map(TestFault::from),
            identity: known.identity(&drive.medium),
            ..DriveConfig::new(drive.medium.clone())
        }
    }

    /// What the control plane is told.
    pub(crate) fn control_config(&self) -> ControlConfig {
        let defaults = ControlConfig::new(&self.data_dir);
        let given = &self.provisioner;
        ControlConfig {
            api: self.api.clone(),
            api_socket: given.api_socket.clone(),
            server_names: given.server_names.clone(),
            node_name: self.node_name.clone(),
            location: self.location.clone(),
            nqn_prefix: self.nqn_prefix.clone(),
            auth: AuthSettings {
                require: given.require.map_or(defaults.auth.require, Require::from),
                open_info: given.open_info.unwrap_or(defaults.auth.open_info),
                open_metrics: given.open_metrics.unwrap_or(defaults.auth.open_metrics),
                session_seconds: given
                    .session_seconds
                    .map_or(defaults.auth.session_seconds, |seconds| u64::from(seconds.get())),
            },
            default_replication: given
                .default_replication
                .map_or(defaults.default_replication, Replication::from),
            syslog: given.syslog.clone(),
            trust_ca: given.trust_ca.clone(),
            license_key: given.license_key.clone(),
            reserve_floor_gib: given.reserve_floor_gib.or(defaults.reserve_floor_gib),
            commit: env!("BASALT_COMMIT").to_owned(),
            commit_date: env!("BASALT_COMMIT_DATE").to_owned(),
            ..defaults
        }
    }
}

impl From<FaultFlag> for TestFault {
    fn from(flag: FaultFlag) -> Self {
        match flag {
            FaultFlag::NoFlush => Self::NoFlush,
            FaultFlag::LateRecords => Self::EarlyAnswer,
        }
    }
}

impl From<RequireFlag> for Require {
    fn from(flag: RequireFlag) -> Self {
        match flag {
            RequireFlag::Any => Self::Any,
            RequireFlag::Certificate => Self::Certificate,
            RequireFlag::Token => Self::Token,
            RequireFlag::Both => Self::Both,
        }
    }
}

impl From<ReplicationFlag> for Replication {
    fn from(flag: ReplicationFlag) -> Self {
        match flag {
            ReplicationFlag::Target => Self::Target,
            ReplicationFlag::Host => Self::Host,
        }
    }
}

impl DiscoveryPortal {
    fn to_config(&self) -> DiscoveryPortalConfig {
        DiscoveryPortalConfig { portal: self.portal.to_config(), optional: self.optional }
    }
}

/// Those that were asked for; else, beside every portal on the usual port, one on the port where hosts look first.
fn discovery(given: Vec<PortalFlag>, nvme: &[PortalFlag], api: &[SocketAddr]) -> Vec<DiscoveryPortal> {
    if !given.is_empty() {
        return given.into_iter().map(|portal| DiscoveryPortal { portal, optional: false }).collect();
    }
    let beside = |portal: &PortalFlag| {
        // Where an advertised port leads is for a forwarder to know, which forwards only what it was told to.
        let forwarded = portal.advertise.as_ref().is_some_and(|advertise| advertise.port.is_some());
        let listen = SocketAddr::new(portal.listen.ip(), DEFAULT_DISCOVERY_PORT);
        let is_usual = portal.listen.port() == DEFAULT_NVME_PORT && !forwarded;
        let is_free = !api.contains(&listen) && !nvme.iter().any(|other| other.listen == listen);
        (is_usual && is_free).then(|| PortalFlag { listen, advertise: portal.advertise.clone() })
    };
    nvme.iter().filter_map(beside).map(|portal| DiscoveryPortal { portal, optional: true }).collect()
}

/// The drive as the flags name it: its path or `mem:NAME`.
pub(crate) fn drive_name(medium: &DriveMedium) -> String {
    match medium {
        DriveMedium::Path(path) => path.display().to_string(),
        DriveMedium::Memory(name) => format!("mem:{name}"),
    }
}

/// One file under two spellings of its path, links apart.
fn is_same_place(one: &DriveMedium, other: &DriveMedium) -> bool {
    match (one, other) {
        (DriveMedium::Path(one), DriveMedium::Path(other)) => {
            std::path::absolute(one).ok() == std::path::absolute(other).ok()
        }
        (one, other) => one == other,
    }
}

fn or_one<T>(given: Vec<T>, default: impl FnOnce() -> T) -> Vec<T> {
    if given.is_empty() { vec![default()] } else { given }
}

fn first_repeated<T: Clone + Eq + Hash>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = HashSet::new();
    items.into_iter().find(|item| !seen.insert(item.clone()))
}

/// The other half is for the control plane, and on a laptop for its owner.
fn default_cores() -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    (cpus / 2).clamp(1, MAX_CORES)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn is_nqn_prefix(text: &str) -> bool {
    text.len() <= MAX_NQN_PREFIX_BYTES
        && text.starts_with("nqn.")
        && text.ends_with(':')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

const DEFAULT_NQN_PREFIX: &str = "nqn.2026-11.io.basalt:";
/// An NQN has 223 bytes at most; what follows the prefix is one UUID or two.
const MAX_NQN_PREFIX_BYTES: usize = 223 - 2 * 37;
const DEFAULT_DRIVE_FILE: &str = "drive0.img";
const DEFAULT_DRIVE_SIZE: ByteSize = ByteSize(16 << 30);
const DEFAULT_API_PORT: u16 = 30100;
const DEFAULT_NVME_PORT: u16 = 4420;
const DEFAULT_DISCOVERY_PORT: u16 = 8009;
const DEFAULT_MAP_MEMORY: ByteSize = ByteSize(64 << 20);
/// Below, no host could connect.
const MIN_CONNECTIONS_PER_ADDRESS: usize = 2;
/// A leaf page maps 32 MiB of a volume, so this keeps the maps of 8 GiB in memory: less would only thrash.
const MIN_MAP_MEMORY: ByteSize = ByteSize(1 << 20);
/// More threads than any machine this was tried on.
const MAX_CORES: usize = 256;

#[cfg(test)]
#[path = "settings_test.rs"]
mod tests;
