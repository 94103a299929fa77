//! What `basalt serve` can be told, by flags or by a TOML file with the same names: one struct reads both.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use control::SyslogUrl;
use serde::Deserialize;

use super::{
    admin_flags::AdminFlags,
    controller_ids::{ControllerIds, ControllerIdsError},
    drive_flag::{DriveFlag, DriveFlagError},
    portal_flag::{PortalFlag, PortalFlagError, parse_listen, parse_referral},
    role::RoleFlag,
    storage_flags::StorageFlags,
};
use crate::size::{ByteSize, SizeError};

/// Absent means "as the other source says, else the default" (`settings::Settings`).
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ServeFlags {
    /// Where state and credentials live [default: ./basalt-data]
    #[arg(skip)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Whether this process is a node and its provisioner, or one of them alone [default: both]
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<RoleFlag>,

    /// Of a node alone: the provisioner that it joins, as https://ADDRESS:30100
    #[arg(long, value_name = "URL")]
    pub(crate) provisioner: Option<String>,

    /// What `basalt node invite` printed there, or a file that holds it; needed once
    #[arg(long, value_name = "INVITE|FILE")]
    pub(crate) invite: Option<String>,

    /// Where a node alone listens for its provisioner [default: 127.0.0.1:30101]
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen)]
    pub(crate) node_api: Option<SocketAddr>,

    /// Where the node stands, until the provisioner is told otherwise
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,

    /// As --zone
    #[arg(long, value_name = "RACK")]
    pub(crate) rack: Option<String>,

    /// As --zone
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,

    /// A drive: PATH (a file, created with size=, or a block device) or mem:NAME,size=SIZE. Options:
    /// size=16G (creation only), write-through, torn-safe or assume-4k-atomic, lossy (tests only).
    /// Repeatable [default: DATA_DIR/drive0.img,size=16G]
    #[arg(long, value_name = "PATH[,size=SIZE][,OPTION]…")]
    pub(crate) drive: Vec<DriveFlag>,

    /// Format this drive, whatever is on it: everything there is lost
    #[arg(long, value_name = "PATH")]
    pub(crate) format: Option<PathBuf>,

    /// Go on with what lies at this place, though it is another drive than was there before, or an older copy of
    /// it. Repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) accept_drive: Vec<PathBuf>,

    /// Where the REST API listens. Repeatable [default: 127.0.0.1:30100]
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen)]
    pub(crate) api: Vec<SocketAddr>,

    /// Serve the API on this Unix socket, too, in plain HTTP; only the owner of the server may connect
    #[arg(long, value_name = "PATH")]
    pub(crate) api_socket: Option<PathBuf>,

    /// Where NVMe/TCP listens, and the address that hosts are told instead of it.
    /// Repeatable [default: 127.0.0.1:4420]
    #[arg(long, value_name = "ADDR:PORT[,advertise=ADDR[:PORT]]")]
    pub(crate) nvme: Vec<PortalFlag>,

    /// Where hosts find this node's subsystems and nothing else, and the address that they are told instead of it.
    /// Repeatable [default: port 8009 beside every --nvme on port 4420, unless it is in use]
    #[arg(long, value_name = "ADDR:PORT[,advertise=ADDR[:PORT]]")]
    pub(crate) discovery: Vec<PortalFlag>,

    /// Another discovery service that every host is told of. Repeatable
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_referral)]
    pub(crate) referral: Vec<SocketAddr>,

    /// Identifiers that this node's controllers have; nodes of one provisioner need ranges that do not overlap
    /// [default: the range that the provisioner has for it]
    #[arg(long, value_name = "FIRST-LAST")]
    pub(crate) controller_ids: Option<ControllerIds>,

    /// Queue pairs that one address may have connected, admin queues included: more where many hosts come through one
    /// gateway [default: 1032]
    #[arg(long, value_name = "N")]
    pub(crate) connections_per_address: Option<usize>,

    /// Threads that serve I/O [default: half of this machine's CPUs]
    #[arg(long, value_name = "N")]
    pub(crate) cores: Option<usize>,

    /// Memory for the block maps of each drive [default: 64M]
    #[arg(long, value_name = "SIZE")]
    pub(crate) map_memory: Option<ByteSize>,

    /// What people call this node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// Another name or address by which people reach the API, for the server certificate. Repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Vec<String>,

    /// What a request must bring: a client certificate, a token, any of them or both [default: any]
    #[arg(long, value_name = "CREDENTIAL")]
    pub(crate) require: Option<RequireFlag>,

    /// Whether GET /info is open to anyone [default: true]
    #[arg(long, value_name = "BOOL")]
    pub(crate) open_info: Option<bool>,

    /// Whether GET /metrics is open to anyone [default: false]
    #[arg(long, value_name = "BOOL")]
    pub(crate) open_metrics: Option<bool>,

    /// How long a login is good for, in seconds [default: 36000]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) session_seconds: Option<NonZeroU32>,

    /// Who hears of events and of requests that change something: udp://HOST[:PORT], tcp://… or tls://…. Repeatable
    #[arg(long, value_name = "URL")]
    pub(crate) syslog: Vec<SyslogUrl>,

    /// Certificates (PEM) of the authorities that are trusted when this server is a client itself: of an authorization
    /// server, of syslog servers in TLS [default: the operating system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) trust_ca: Option<PathBuf>,

    /// The public key (PEM) that licenses are signed with
    #[arg(long, value_name = "FILE")]
    pub(crate) license_key: Option<PathBuf>,

    /// Begins every NQN made here [default: nqn.2026-11.io.basalt:]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) nqn_prefix: Option<String>,

    /// Least reserve of a thin volume, in GiB [default: 20 where the drives hold 1 TiB or more, else 1]
    #[arg(long, value_name = "GIB")]
    pub(crate) reserve_floor_gib: Option<u64>,

    /// Who keeps copies of a volume equal: this node, or the hosts with md RAID1 as OpenStack does it
    /// [default: target]
    #[arg(long, value_name = "MODE")]
    pub(crate) default_replication: Option<ReplicationFlag>,

    #[command(flatten)]
    pub(crate) admin: AdminFlags,

    #[command(flatten)]
    pub(crate) storage: StorageFlags,

    /// A defect that the tests of durability must notice; no-flush on lossy drives only
    #[arg(long, env = "BASALT_TEST_FAULT", hide = true)]
    #[serde(skip)]
    pub(crate) test_fault: Option<FaultFlag>,

    /// Log level, or tracing directives such as info,dataplane=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,

    /// Log lines for people or one JSON object each [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RequireFlag {
    Any,
    Certificate,
    Token,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReplicationFlag {
    Target,
    Host,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultFlag {
    /// The drive's flush does nothing.
    NoFlush,
    /// First writes are answered before their mapping records are written.
    LateRecords,
}

/// Why `--config FILE` cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    #[error("--config {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("--config {}: {source}", path.display())]
    Parse { path: PathBuf, source: toml::de::Error },
}

impl ServeFlags {
    /// Reads a configuration file: the flags' long names as keys, what would follow a flag as values, lists
    /// for those that repeat.
    pub(crate) fn from_file(path: &Path) -> Result<Self, ConfigFileError> {
        let path = || path.to_owned();
        let text = std::fs::read_to_string(path())
            .map_err(|source| ConfigFileError::Read { path: path(), source })?;
        toml::from_str(&text).map_err(|source| ConfigFileError::Parse { path: path(), source })
    }

    /// These flags, and what they leave open from `file`. A list given here replaces the file's whole list.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(file.data_dir),
            role: self.role.or(file.role),
            provisioner: self.provisioner.or(file.provisioner),
            invite: self.invite.or(file.invite),
            node_api: self.node_api.or(file.node_api),
            zone: self.zone.or(file.zone),
            rack: self.rack.or(file.rack),
            region: self.region.or(file.region),
            drive: if self.drive.is_empty() { file.drive } else { self.drive },
            format: self.format.or(file.format),
            accept_drive: if self.accept_drive.is_empty() { file.accept_drive } else { self.accept_drive },
            api: if self.api.is_empty() { file.api } else { self.api },
            nvme: if self.nvme.is_empty() { file.nvme } else { self.nvme },
            discovery: if self.discovery.is_empty() { file.discovery } else { self.discovery },
            referral: if self.referral.is_empty() { file.referral } else { self.referral },
            controller_ids: self.controller_ids.or(file.controller_ids),
            connections_per_address: self.connections_per_address.or(file.connections_per_address),
            cores: self.cores.or(file.cores),
            map_memory: self.map_memory.or(file.map_memory),
            node_name: self.node_name.or(file.node_name),
            server_name: if self.server_name.is_empty() { file.server_name } else { self.server_name },
            require: self.require.or(file.require),
            open_info: self.open_info.or(file.open_info),
            open_metrics: self.open_metrics.or(file.open_metrics),
            api_socket: self.api_socket.or(file.api_socket),
            session_seconds: self.session_seconds.or(file.session_seconds),
            syslog: if self.syslog.is_empty() { file.syslog } else { self.syslog },
            trust_ca: self.trust_ca.or(file.trust_ca),
            license_key: self.license_key.or(file.license_key),
            nqn_prefix: self.nqn_prefix.or(file.nqn_prefix),
            reserve_floor_gib: self.reserve_floor_gib.or(file.reserve_floor_gib),
            default_replication: self.default_replication.or(file.default_replication),
            admin: self.admin.or(file.admin),
            storage: self.storage.or(file.storage),
            test_fault: self.test_fault,
            log: self.log.or(file.log),
            log_format: self.log_format.or(file.log_format),
        }
    }
}

/// The file's strings go through the flags' own parsers.
macro_rules! parse_from_string {
    ($type:ty, $error:ty) => {
        impl TryFrom<String> for $type {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }
    };
}
parse_from_string!(DriveFlag, DriveFlagError);
parse_from_string!(ControllerIds, ControllerIdsError);
parse_from_string!(PortalFlag, PortalFlagError);
parse_from_string!(ByteSize, SizeError);
