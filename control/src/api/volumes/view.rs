//! How a volume looks to clients: the record, and what the node says of it.

use std::collections::HashMap;

use dataplane::node::{ControllerInfo, PartInfo, VolumeState};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Replication,
    app::{App, Observed},
    model::{
        target::TargetRecord,
        volume::{Protocol, Provisioning, Replica, VolumeRecord},
    },
};

/// The contract's Volume object. Fields that do not apply are omitted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeView {
    alias: String,
    uuid: Uuid,
    capacity: u64,
    provisioning_type: &'static str,
    num_replicas: usize,
    #[serde(rename = "maxIOPS")]
    max_iops: u64,
    #[serde(rename = "desiredIOPS")]
    desired_iops: u64,
    #[serde(rename = "maxBW")]
    max_bw: u64,
    #[serde(rename = "desiredBW")]
    desired_bw: u64,
    block_size: &'static str,
    max_replica_down_time: u64,
    location: Vec<LocationView>,
    tenant_id: String,
    protocol: &'static str,
    allow_span: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_class_name: Option<String>,
    #[serde(rename = "shareSSDBetweenVolumes")]
    share_ssd_between_volumes: bool,
    /// Who keeps several copies equal (D59); omitted for one whose class does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    replication: Option<Replication>,
    in_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_space: Option<u64>,
    /// Of a snapshot volume only.
    #[serde(rename = "snapshotID", skip_serializing_if = "Option::is_none")]
    snapshot_id: Option<Uuid>,
    /// Always sent: Cinder forwards it (D21).
    writable: bool,
    /// Owned by its head (D63); omitted while the node does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
    /// In its snapshots (D63); omitted as `used_bytes` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_bytes: Option<u64>,
    /// What is wrong with it on its node; omitted while nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LocationView {
    uuid: Uuid,
    backend: BackendRef,
    replica_state: ReplicaState,
    /// 0 for simple volumes (§4.2).
    current_state_time: u64,
    in_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_volumes: Option<Vec<SubVolumeView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<Vec<SessionView>>,
}

/// A backend by its key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BackendRef {
    #[serde(rename = "persistentID")]
    pub(crate) persistent_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct SubVolumeView {
    capacity: u64,
    #[serde(rename = "ssdID")]
    ssd_id: Uuid,
    #[serde(rename = "ssdName")]
    ssd_name: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct SessionView {
    #[serde(rename = "hostID")]
    host_id: String,
}

/// The states of §4.2 that a single copy can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) enum ReplicaState {
    /// Nobody reports the state of simple volumes in `host` mode (D61).
    Unknown,
    Available,
    Missing,
}

/// In `target` mode the data plane's truth (D60).
pub(crate) fn replica_state(app: &App, replica: &Replica, observed: &Observed) -> ReplicaState {
    match app.config.default_replication {
        Replication::Host => ReplicaState::Unknown,
        Replication::Target => match observed.volumes.get(&replica.uuid).map(|v| &v.state) {
            Some(VolumeState::Online | VolumeState::ReadOnly(_))
                if observed.is_available(&replica.backend) =>
            {
                ReplicaState::Available
            }
            _ => ReplicaState::Missing,
        },
    }
}

impl VolumeView {
    pub(crate) fn new(app: &App, volume: &VolumeRecord, observed: &Observed) -> Self {
        let class = &volume.class;
        let limits = volume.limits();
        // Local volumes have no target, so nothing of them is exported (D23, D37).
        let in_use = volume.protocol == Protocol::Nvmeof && !volume.published_to.is_empty();
        let location = volume.replicas.iter().map(|replica| LocationView {
            uuid: replica.uuid,
            backend: BackendRef { persistent_id: replica.backend.clone() },
            replica_state: replica_state(app, replica, observed),
            current_state_time: 0,
            in_use,
            sub_volumes: None,
            sessions: None,
        });
        let on_node = volume.replicas.first().and_then(|r| observed.volumes.get(&r.uuid));
        Self {
            alias: volume.alias.clone(),
            uuid: volume.uuid,
            capacity: volume.size.capacity_bytes(),
            provisioning_type: match volume.provisioning {
                Provisioning::Thick => "THICK",
                Provisioning::Thin => "THIN",
                Provisioning::Other => "OTHER",
            },
            num_replicas: volume.replicas.len(),
            max_iops: limits.max_iops,
            desired_iops: volume.scaled(class.desired_iops_per_gib),
            max_bw: limits.max_bytes_per_second,
            desired_bw: volume.scaled(class.desired_bytes_per_second_per_gib),
            block_size: if class.block_bytes == 512 { "512B" } else { "4KB" },
            max_replica_down_time: class.max_replica_down_minutes,
            location: location.collect(),
            tenant_id: volume.tenant_id.clone(),
            protocol: match volume.protocol {
                Protocol::Nvmeof => "NVMeoF",
                Protocol::Local => "Local",
            },
            allow_span: class.allow_span,
            storage_class_name: class.name.clone(),
            share_ssd_between_volumes: class.share_ssd,
            replication: class.replication,
            in_use,
            reserved_space: (volume.provisioning != Provisioning::Thick)
                .then_some(volume.size.reserved_bytes),
            snapshot_id: volume.snapshot,
            writable: !volume.read_only,
            used_bytes: on_node.map(|v| v.used_bytes),
            shared_bytes: on_node.map(|v| v.shared_bytes),
            trouble: on_node.and_then(|v| v.state.trouble()),
        }
    }

    /// Op 18: adds where the copies lie and who is connected to them.
    pub(crate) fn extended(
        mut self,
        volume: &VolumeRecord,
        observed: &Observed,
        targets: &[TargetRecord],
        controllers: &[ControllerInfo],
    ) -> Self {
        let drive_names: HashMap<Uuid, &str> = observed.drives().map(|d| (d.uuid, d.name.as_str())).collect();
        let sub_volume = |part: &PartInfo| SubVolumeView {
            capacity: part.size_bytes,
            ssd_id: part.drive,
            ssd_name: drive_names.get(&part.drive).map(|n| (*n).to_owned()).unwrap_or_default(),
        };
        let connected = |t: &&TargetRecord| controllers.iter().any(|c| c.subsystem_nqn == t.nqn);
        for location in &mut self.location {
            location.sub_volumes = Some(
                observed
                    .volumes
                    .get(&location.uuid)
                    .map_or_else(Vec::new, |on| on.parts.iter().map(sub_volume).collect()),
            );
            let sessions = targets.iter().filter(|t| t.has(volume.uuid)).filter(connected);
            location.sessions = Some(sessions.map(|t| SessionView { host_id: t.host_id.clone() }).collect());
        }
        self
    }
}
