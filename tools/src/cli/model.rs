//! What we read of the API's objects: the contract's names, only the fields that are printed or decided by.

use std::net::IpAddr;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Volume {
    pub(crate) alias: String,
    pub(crate) uuid: String,
    /// Bytes.
    pub(crate) capacity: u64,
    pub(crate) provisioning_type: String,
    pub(crate) block_size: String,
    #[serde(default)]
    pub(crate) reserved_space: Option<u64>,
    #[serde(default)]
    pub(crate) used_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) shared_bytes: Option<u64>,
    /// What is wrong with it, if anything is.
    #[serde(default)]
    pub(crate) trouble: Option<String>,
    /// The snapshot that it shows.
    #[serde(default, rename = "snapshotID")]
    pub(crate) snapshot_id: Option<String>,
    pub(crate) writable: bool,
    pub(crate) in_use: bool,
    #[serde(default)]
    pub(crate) location: Vec<Location>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    pub(crate) task_id: String,
    pub(crate) state: String,
    #[serde(rename = "type")]
    pub(crate) task_type: String,
    /// Percent.
    pub(crate) progress: f64,
    /// Whose agent works on it; `None`: the server itself.
    #[serde(default)]
    pub(crate) host_id: Option<String>,
    #[serde(default)]
    pub(crate) task_status: Option<String>,
    #[serde(default)]
    pub(crate) status_description: Option<String>,
    /// UTC.
    pub(crate) start_date: String,
    #[serde(default)]
    pub(crate) end_date: Option<String>,
    pub(crate) task_configuration: Vec<TaskSetting>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TaskSetting {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssuedToken {
    pub(crate) id: String,
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Milliseconds since the epoch.
    pub(crate) created_ms: u64,
    #[serde(default)]
    pub(crate) expires_ms: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tenant {
    pub(crate) tenant_id: String,
    pub(crate) name: String,
    /// GiB.
    pub(crate) capacity: u64,
    pub(crate) consumed_capacity: u64,
    /// 0: no limit.
    #[serde(rename = "totalIOPS")]
    pub(crate) total_iops: u64,
    #[serde(rename = "consumedIOPS")]
    pub(crate) consumed_iops: u64,
    /// Bytes per second; 0: no limit.
    #[serde(rename = "totalBW")]
    pub(crate) total_bw: u64,
    #[serde(rename = "consumedBW")]
    pub(crate) consumed_bw: u64,
}

/// `POST /basalt/v1/placements:explain`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Placement {
    pub(crate) copies: u64,
    pub(crate) capacity_bytes: u64,
    /// Of each copy.
    pub(crate) reserved_bytes: u64,
    pub(crate) backends: Vec<Verdict>,
    pub(crate) chosen: Vec<BackendId>,
    pub(crate) refusal: Option<Refusal>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Verdict {
    #[serde(rename = "persistentID")]
    pub(crate) persistent_id: String,
    pub(crate) fits: bool,
    pub(crate) failed: Vec<BrokenRule>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BrokenRule {
    pub(crate) rule: String,
    pub(crate) wanted: serde_json::Value,
    pub(crate) has: serde_json::Value,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// How hosts see a volume through the node.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathState {
    /// One per copy.
    pub(crate) paths: Vec<VolumePath>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumePath {
    #[serde(rename = "persistentID")]
    pub(crate) persistent_id: String,
    /// None while the node does not answer.
    #[serde(default)]
    pub(crate) ana_state: Option<String>,
}

/// One copy of a volume on one node.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Location {
    /// Also the namespace UUID, by which a host finds the disk (provisioner D22).
    pub(crate) uuid: String,
    pub(crate) replica_state: String,
    pub(crate) backend: BackendId,
    /// Exported as a namespace.
    pub(crate) in_use: bool,
    /// What of it lies on which drive; only in `volume_extended`.
    #[serde(default)]
    pub(crate) sub_volumes: Vec<SubVolume>,
    /// Hosts connected now; only in `volume_extended`.
    #[serde(default)]
    pub(crate) sessions: Vec<Session>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubVolume {
    /// Bytes.
    pub(crate) capacity: u64,
    pub(crate) ssd_name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Session {
    #[serde(rename = "hostID")]
    pub(crate) host_id: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Snapshot {
    pub(crate) alias: String,
    #[serde(rename = "snapshotID")]
    pub(crate) uuid: String,
    #[serde(rename = "volumeID")]
    pub(crate) volume_id: String,
    /// Bytes.
    pub(crate) capacity: u64,
    /// Milliseconds since the epoch.
    pub(crate) timestamp: u64,
    /// Bytes that come back when it is deleted.
    #[serde(default)]
    pub(crate) unique_bytes: Option<u64>,
}

/// `POST /basalt/v1/snapshot-groups`: in the order of the request's volumes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SnapshotGroup {
    pub(crate) snapshots: Vec<Taken>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Taken {
    #[serde(rename = "snapshotID")]
    pub(crate) snapshot_id: String,
}

/// `GET /basalt/v1/events`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    /// Milliseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) kind: String,
    pub(crate) message: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Host {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) nqn: String,
}

/// A subsystem as one host sees it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    /// The subsystem's NQN.
    pub(crate) name: String,
    pub(crate) host_target_connected_to: String,
    pub(crate) connected_backends: Vec<BackendId>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BackendId {
    #[serde(rename = "persistentID")]
    pub(crate) persistent_id: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Backend {
    pub(crate) portals: Vec<Portal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Portal {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) transport: String,
}

/// `GET /basalt/v1/nodes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StorageNode {
    #[serde(rename = "persistentID")]
    pub(crate) persistent_id: String,
    pub(crate) name: String,
    /// Of its API; none if it is in the server's process.
    pub(crate) address: Option<String>,
    pub(crate) available: bool,
    /// Volumes can be made there: it is not of another make.
    pub(crate) directed: bool,
    /// New volumes may be placed there.
    pub(crate) in_use: bool,
    pub(crate) zone: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) region: Option<String>,
}

/// `GET /basalt/v1/status`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) node: Node,
    /// All storage nodes.
    #[serde(default)]
    pub(crate) nodes: Vec<NodeStatus>,
    pub(crate) drives: Vec<Drive>,
    pub(crate) volumes: VolumeCounts,
    pub(crate) hosts: Vec<HostStatus>,
    pub(crate) problems: Vec<String>,
    pub(crate) next: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NodeStatus {
    #[serde(rename = "persistentID")]
    pub(crate) persistent_id: String,
    pub(crate) name: String,
    pub(crate) available: bool,
}

/// The server that was asked, and its own node if it has one.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    /// None of a provisioner alone.
    #[serde(rename = "persistentID")]
    pub(crate) persistent_id: Option<String>,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) available: bool,
    pub(crate) uptime_seconds: u64,
    pub(crate) portals: Vec<Portal>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Drive {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `online`, `evacuating`, `read-only` or `failed`.
    pub(crate) state: String,
    /// Why it is not online.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// Of the medium.
    pub(crate) size_bytes: u64,
    pub(crate) capacity_bytes: u64,
    pub(crate) unreserved_bytes: u64,
    pub(crate) used_bytes: u64,
    pub(crate) write_through: bool,
    #[serde(default)]
    pub(crate) evacuation: Option<Evacuation>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Evacuation {
    pub(crate) moved_bytes: u64,
    pub(crate) total_bytes: u64,
    /// Why it ended with volumes left on the drive.
    #[serde(default)]
    pub(crate) failure: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeCounts {
    pub(crate) total: u64,
    pub(crate) published: u64,
    pub(crate) capacity_bytes: u64,
    pub(crate) used_bytes: u64,
    pub(crate) snapshots: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HostStatus {
    pub(crate) name: String,
    pub(crate) nqn: String,
    /// Published to it.
    pub(crate) volumes: u64,
    pub(crate) connected: bool,
}

/// `GET /v1/users`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct User {
    /// Decimal text.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Of a disabled user it is `false`.
    pub(crate) can_change_password: bool,
}
