//! Of the provisioner API and of `/basalt/v1`.
#![expect(dead_code, reason = "these types stand for what is received; only their schemas are used")]

use utoipa::ToSchema;
use uuid::Uuid;

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"alias": "vol1", "capacity": 3, "provisioningType": "THIN"}))]
pub(crate) struct VolumeCreate {
    /// 1 to 255 characters, no `/`; unique within the tenant.
    alias: String,
    /// Chosen by the server if absent.
    uuid: Option<Uuid>,
    /// GiB.
    #[schema(minimum = 1)]
    capacity: u64,
    /// `THICK` (the default) or `THIN`.
    provisioning_type: Option<String>,
    /// Of a thin volume, 0 to 100; 0 is the default of the server.
    reserved_space_percentage: Option<i64>,
    /// `NVMeoF` (the default) or `Local`.
    protocol: Option<String>,
    storage_class: Option<StorageClass>,
}

/// The body of POST /volumes, with a tenant; what says which volume it is does not matter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlacementExplain {
    /// GiB.
    #[schema(minimum = 1)]
    capacity: u64,
    /// `THICK` (the default) or `THIN`.
    provisioning_type: Option<String>,
    /// Of a thin volume, 0 to 100; 0 is the default of the server.
    reserved_space_percentage: Option<i64>,
    /// `NVMeoF` (the default) or `Local`.
    protocol: Option<String>,
    storage_class: Option<StorageClass>,
    /// Whose budget it would take from; absent: the default tenant.
    tenant_id: Option<String>,
}

/// Where the volume may lie and what it may do; every field has a default.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StorageClass {
    name: Option<String>,
    num_replicas: Option<u64>,
    same_rack_allowed: Option<bool>,
    racks: Option<Vec<String>>,
    zones: Option<Vec<String>>,
    regions: Option<Vec<String>>,
    /// I/O per second and GiB; 0: no limit. Likewise the other rates, those of `BW` in bytes.
    #[schema(rename = "maxIOPSPerGB")]
    max_iops_per_gib: Option<u64>,
    #[schema(rename = "maxBWPerGB")]
    max_bytes_per_second_per_gib: Option<u64>,
    #[schema(rename = "desiredIOPSPerGB")]
    desired_iops_per_gib: Option<u64>,
    #[schema(rename = "desiredBWPerGB")]
    desired_bytes_per_second_per_gib: Option<u64>,
    /// 512 or 4096 (the default).
    block_size: Option<u64>,
    /// Minutes.
    max_replica_down_time: Option<u64>,
    host_id: Option<String>,
    allow_span: Option<bool>,
    /// `false` needs `name`: volumes of one name then share no drive.
    #[schema(rename = "shareSSDBetweenVolumes")]
    share_ssd_between_volumes: Option<bool>,
    /// Who keeps several copies equal: `target` (the storage nodes, not available yet) or `host`. Absent: as the
    /// server is configured.
    replication: Option<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeExpand {
    /// GiB: a number, or a string that holds one.
    new_capacity: serde_json::Value,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeClone {
    source_volume_id: String,
    alias: String,
    volume_id: Option<Uuid>,
    reserved_space_percentage: Option<i64>,
    /// GiB, at least the source's, which is the default.
    capacity: Option<u64>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SnapshotCreate {
    alias: String,
    #[schema(rename = "volumeID")]
    volume_id: String,
    /// Chosen by the server if absent.
    #[schema(rename = "snapshotID")]
    snapshot_id: Option<Uuid>,
    reserved_space_percentage: Option<i64>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SnapshotVolumeCreate {
    alias: String,
    #[schema(rename = "snapshotID")]
    snapshot_id: String,
    #[schema(rename = "volumeID")]
    volume_id: Option<Uuid>,
    writable: Option<bool>,
    reserved_space_percentage: Option<i64>,
    protocol: Option<String>,
    storage_class_name: Option<String>,
    #[schema(rename = "maxIOPSPerGB")]
    max_iops_per_gib: Option<u64>,
    #[schema(rename = "maxBWPerGB")]
    max_bytes_per_second_per_gib: Option<u64>,
    allow_span: Option<bool>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Publish {
    host_id: String,
    vol_id: String,
}

/// Where a further copy may lie; what is absent or empty is as the volume's storage class says.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplicaAdd {
    same_rack_allowed: Option<bool>,
    racks: Option<Vec<String>>,
    zones: Option<Vec<String>>,
    regions: Option<Vec<String>>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeMigrate {
    vol_id: String,
    /// The copy that is to go from where it is.
    rep_id: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathStateSet {
    /// `optimized`, `non-optimized`, `inaccessible`, `persistent-loss` or `change`.
    ana_state: String,
    /// The copy whose path is meant; required where there are several.
    #[schema(rename = "replicaID")]
    replica_id: Option<Uuid>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unpublish {
    /// Absent: from every host.
    host_id: Option<String>,
    vol_id: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantCreate {
    /// 1 to 255 characters, no `/`; unique over all tenants.
    #[schema(example = "acme")]
    name: String,
    /// Stands in paths. Chosen by the server if absent.
    tenant_id: Option<String>,
    /// GiB; 0: none.
    #[schema(example = 1024)]
    capacity: u64,
    /// Of all `desiredIOPSPerGB` together; 0: no limit.
    #[schema(rename = "totalIOPS")]
    total_iops: u64,
    /// Bytes per second, of all `desiredBWPerGB` together; 0: no limit.
    #[schema(rename = "totalBW")]
    total_bw: u64,
}

/// Not less than is consumed.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantUpdate {
    /// As in the path.
    tenant_id: Option<String>,
    /// GiB; 0: none.
    #[schema(example = 1024)]
    capacity: u64,
    /// 0: no limit.
    #[schema(rename = "totalIOPS")]
    total_iops: u64,
    /// Bytes per second; 0: no limit.
    #[schema(rename = "totalBW")]
    total_bw: u64,
}

/// A node that was removed, to be taken back (provisioner §2).
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendAdd {
    /// Where its node API listens; a lone string is taken, too.
    #[schema(rename = "mgmtIPs")]
    mgmt_ips: Vec<String>,
    /// 443 by default; a Basalt node's is 30101.
    #[schema(minimum = 1)]
    mgmt_port: Option<u16>,
    rack: Option<String>,
    zone: Option<String>,
    region: Option<String>,
    host_id: Option<String>,
}

/// What a storage node of another make tells of itself (provisioner §2, op 7). All is mandatory.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendProbe {
    #[schema(rename = "persistentID")]
    persistent_id: String,
    #[schema(rename = "mgmtIPs", min_items = 1)]
    mgmt_ips: Vec<String>,
    #[schema(minimum = 1)]
    mgmt_port: u16,
    /// Bytes.
    total_capacity: u64,
    /// Bytes; at most `totalCapacity`.
    available_capacity: u64,
    /// Bytes per second.
    #[schema(rename = "totalBW")]
    total_bw: u64,
    #[schema(rename = "usedBW")]
    used_bw: u64,
    #[schema(rename = "totalIOPS")]
    total_iops: u64,
    #[schema(rename = "usedIOPS")]
    used_iops: u64,
    version: String,
    target_driver_version: String,
    #[schema(rename = "numberOfSSDs")]
    number_of_ssds: u64,
    #[schema(rename = "Certified")]
    certified: bool,
    /// 1: its portals, 2: its syslog servers are others now.
    changes: u64,
    /// `LOCAL`, `LDAP` or `OpenIDC`.
    authentication_mode: String,
    provisioner: ProbedProvisioner,
}

/// The provisioner as the node knows it.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProbedProvisioner {
    /// New volumes may be placed on the node, to begin with.
    in_use: bool,
    /// `PROTOCOL://HOST:PORT`.
    url: String,
    /// Seconds between probes.
    #[schema(minimum = 60, maximum = 86400)]
    push_interval: u64,
    /// `rack`, `zone`, `region` and `hostId` are first values; at most 100.
    tags: Vec<ProbedTag>,
    /// This and the next four: mandatory with `OpenIDC`.
    authorization_server_public_key: Option<String>,
    #[schema(rename = "authorizationServerTokenURL")]
    authorization_server_token_url: Option<String>,
    #[schema(rename = "backendsResourceID")]
    backends_resource_id: Option<String>,
    #[schema(rename = "backendsClientID")]
    backends_client_id: Option<String>,
    backends_client_secret: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct ProbedTag {
    name: String,
    value: String,
}

/// Absent is unchanged, `""` clears (provisioner D11).
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendUpdate {
    rack: Option<String>,
    zone: Option<String>,
    region: Option<String>,
    host_id: Option<String>,
    in_use: Option<bool>,
    #[schema(minimum = 1)]
    mgmt_port: Option<u16>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostProbe {
    host_id: String,
    name: String,
    host_nqn: String,
    client_type: String,
    version: String,
    /// Seconds between two probes; after three without one the host is Unavailable.
    duration: u64,
    multipath: Option<bool>,
    /// Namespace ids, or one truth value per id from 1 on.
    #[schema(rename = "usedNamespacesIds")]
    used_namespaces_ids: Option<Vec<serde_json::Value>>,
}

/// `path` or `memory`, not both.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DriveAdd {
    /// Whose drive it becomes, by name or persistentID; may be left out on the node itself, or if there is only one.
    node: Option<String>,
    /// Of a file or block device, absolute.
    path: Option<String>,
    /// Name of a drive in memory.
    memory: Option<String>,
    /// Of a file that is made, or in memory.
    size_bytes: Option<u64>,
    /// Overwrite what is there, if it is no drive of ours.
    format: Option<bool>,
    write_through: Option<bool>,
    /// `assume-4k-atomic` or `torn-safe`.
    torn_policy: Option<String>,
}

/// Of `drives/{id}:grow`; `drives/{id}:check` takes no body.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DriveGrow {
    /// Absent: what the device has now.
    size_bytes: Option<u64>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SnapshotGroupCreate {
    /// Of each of the snapshots.
    alias: String,
    #[schema(min_items = 1, max_items = 64)]
    volumes: Vec<Uuid>,
    reserved_space_percentage: Option<i64>,
    /// Whose the volumes are; absent: the default tenant's.
    tenant_id: Option<String>,
}

/// `hostSecret`, or `generate` for new ones.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretsPut {
    /// `DHHC-1:hh:…:`, what the host connects with.
    host_secret: Option<String>,
    /// Lets the host ask the controller to prove itself, too.
    controller_secret: Option<String>,
    /// Make them here; the answer shows them once.
    generate: Option<bool>,
    /// Generate a controller's secret, too.
    two_way: Option<bool>,
    /// `sha256` (the default), `sha384` or `sha512`: what the host has to use.
    hash: Option<String>,
    /// `ffdhe2048` (the default), `ffdhe3072`, `ffdhe4096`, `ffdhe6144`, `ffdhe8192` or `null`: likewise.
    dh_group: Option<String>,
}

/// `key`, or `generate` for a new one; or only `policy`, for the key that is there.
#[derive(ToSchema)]
pub(crate) struct TlsKeyPut {
    /// `NVMeTLSkey-1:hh:…:`, as the host has it.
    key: Option<String>,
    /// Make it here; the answer shows it once.
    generate: Option<bool>,
    /// Of a new key: `sha256` (the default, for AES-128) or `sha384` (for AES-256).
    hash: Option<String>,
    /// `required` (the default for a first key) or `allowed`.
    policy: Option<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskUpdate {
    task_id: String,
    /// Whose task it is.
    host_id: String,
    /// `RUNNING`, `FINISHED`, `FAILED` or `ABORTED`.
    state: Option<String>,
    /// Percent.
    #[schema(minimum = 0, maximum = 100)]
    progress: Option<f64>,
    task_status: Option<String>,
    status_description: Option<String>,
    /// The task's own: it cannot be changed.
    #[schema(rename = "type")]
    task_type: Option<String>,
    task_configuration: Option<Vec<TaskSetting>>,
}

#[derive(ToSchema)]
pub(crate) struct TaskSetting {
    name: String,
    value: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenCreate {
    /// `admin`, `observer`, or `metrics`, which opens `GET /metrics` and nothing else.
    role: String,
    /// What it is for.
    name: Option<String>,
    /// 1 hour (the default) to 30 days; without it one for `metrics` never expires.
    #[schema(minimum = 3600, maximum = 2_592_000)]
    lifetime_seconds: Option<u64>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LicenseInstall {
    /// A signed token.
    license: String,
}

/// Exactly one of `authorizationServerPublicKey` and `authorizationServerJwkSetURL`.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthServer {
    /// What stands for the provisioner at the authorization server: roles held there count.
    #[schema(rename = "provisionerResourceID")]
    provisioner_resource_id: String,
    /// A service account with the role ADMIN there.
    #[schema(rename = "provisionerClientID")]
    provisioner_client_id: String,
    provisioner_client_secret: String,
    provisioner_client_scope: Option<String>,
    #[schema(rename = "backendsResourceID")]
    backends_resource_id: String,
    #[schema(rename = "backendsClientID")]
    backends_client_id: String,
    backends_client_secret: String,
    backends_client_scope: Option<String>,
    /// `https://…`
    #[schema(rename = "authorizationServerTokenURL")]
    token_url: String,
    /// RSA or EC, in PEM or base64.
    #[schema(rename = "authorizationServerPublicKey")]
    public_key: Option<String>,
    /// `https://…`
    #[schema(rename = "authorizationServerJwkSetURL")]
    jwk_set_url: Option<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogForward {
    /// `EVENT` or `COMMAND`.
    logging_type: String,
    /// `FATAL`, `ERROR`, `WARN` or `INFO`.
    level: String,
    host: String,
    app_name: String,
    message: String,
    parameters_list: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeJoin {
    /// Of the invite, as its secret.
    invite: Uuid,
    secret: String,
    /// Six pairs of hexadecimal digits, as a MAC.
    persistent_id: String,
    /// PKCS #10 in PEM: the key that the node's certificate shall have.
    certificate_request: String,
    /// Where the node's API listens, as ADDRESS:PORT.
    address: String,
    name: String,
    zone: Option<String>,
    rack: Option<String>,
    region: Option<String>,
}
