//! What the operator decides; `ControlConfig::new` gives every setting its default.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    admin::{AdminConfig, settings::LogFilter},
    syslog::SyslogUrl,
};

/// Everything the control plane needs besides the node itself.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// Holds the store, the credentials and the persistentID; created if it does not exist.
    pub data_dir: PathBuf,
    /// TLS listeners; each serves every API (provisioner D56). Port 0 picks a free one.
    pub api: Vec<SocketAddr>,
    /// A Unix socket that serves the same in plain HTTP.
    pub api_socket: Option<PathBuf>,
    /// DNS names and IP addresses that the server certificate covers besides `localhost`, the loopback
    /// addresses, the host name and the listeners' own addresses.
    pub server_names: Vec<String>,
    /// What people call this node (the `name` of its backend).
    pub node_name: String,
    /// Where the node in this process stands, until `PUT /backends` says otherwise (provisioner D14).
    pub location: Location,
    /// Begins every NQN that is made here (provisioner D57).
    pub nqn_prefix: String,
    pub auth: AuthSettings,
    /// Who keeps the copies of a replicated volume equal, unless its storage class says (provisioner D59).
    pub default_replication: Replication,
    /// Least reserve of a thin volume, in GiB. `None`: 20 where the pool holds 1 TiB or more, else 1
    /// (provisioner D62).
    pub reserve_floor_gib: Option<u64>,
    /// What this node promises to `desiredIOPSPerGB` reservations, in I/O per second; not measured.
    pub declared_iops: u64,
    /// What this node promises to `desiredBWPerGB` reservations, in bytes per second; not measured.
    pub declared_bytes_per_second: u64,
    /// Who hears of events, of what was asked of this server, and of what clients forward.
    pub syslog: Vec<SyslogUrl>,
    /// PEM certificates of the authorities that we trust as a client, of an authorization server for one. `None`:
    /// the operating system's.
    pub trust_ca: Option<PathBuf>,
    /// The public key (PEM) that licenses are signed with. `None`: no license can be installed.
    pub license_key: Option<PathBuf>,
    pub admin: AdminConfig,
    /// `None`: the log level cannot be changed while the server runs.
    pub log_filter: Option<Arc<dyn LogFilter>>,
    /// What this program was built from.
    pub commit: String,
    /// When that was committed (RFC 3339).
    pub commit_date: String,
}

/// Where a node stands, for placement (provisioner §5.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Location {
    pub zone: Option<String>,
    pub rack: Option<String>,
    pub region: Option<String>,
}

/// Who is let in (provisioner D55).
#[derive(Debug, Clone)]
pub struct AuthSettings {
    pub require: Require,
    /// `GET /info` needs no credential.
    pub open_info: bool,
    /// `GET /metrics` needs no credential.
    pub open_metrics: bool,
    /// How long a login is good for; 10 hours by the contract (session.md §4).
    pub session_seconds: u64,
}

/// Which credentials a request must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// A verified client certificate or a valid bearer token.
    Any,
    Certificate,
    Token,
    Both,
}

/// Who keeps the copies of a replicated volume equal (provisioner D59).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Replication {
    /// The storage nodes; the host sees one namespace, under one NQN per host (D60, D61).
    Target,
    /// The host, with md RAID1; one NQN per host and backend (D39).
    Host,
}

impl ControlConfig {
    /// The default port of the provisioner API.
    pub const DEFAULT_PORT: u16 = 30100;

    /// The defaults, listening on 127.0.0.1:30100.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            api: vec![SocketAddr::from(([127, 0, 0, 1], Self::DEFAULT_PORT))],
            api_socket: None,
            server_names: Vec::new(),
            node_name: "basalt".to_owned(),
            location: Location::default(),
            nqn_prefix: "nqn.2026-11.io.basalt:".to_owned(),
            auth: AuthSettings {
                require: Require::Any,
                open_info: true,
                open_metrics: false,
                session_seconds: 36_000,
            },
            syslog: Vec::new(),
            trust_ca: None,
            license_key: None,
            admin: AdminConfig::default(),
            log_filter: None,
            commit: "unknown".to_owned(),
            commit_date: "1970-01-01T00:00:00Z".to_owned(),
            default_replication: Replication::Target,
            reserve_floor_gib: None,
            declared_iops: 1_000_000,
            declared_bytes_per_second: 10 << 30,
        }
    }
}
