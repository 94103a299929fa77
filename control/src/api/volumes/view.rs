//! How a volume looks to clients: the record, and what the node says of it.

use std::collections::{HashMap, HashSet};

use dataplane::node::{ControllerInfo, PartInfo, VolumeInfo, VolumeState};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Replication,
    app::{App, Observed, now_ms},
    model::{
        replica::{Replica, ReplicaState},
        target::TargetRecord,
        volume::{Protocol, Provisioning, VolumeRecord},
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
    /// Owned by the heads of all copies (D63), as what it consumes is (D19); omitted while the node of one does not say.
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
    /// Milliseconds since it is in that state; 0 in Unknown and for simple volumes (§4.2).
    current_state_time: u64,
    in_use: bool,
    /// Owned by the head of this copy; omitted while its node does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
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

/// Of several copies what their host's agent says. Nobody reports on simple volumes in `host` mode (D61); in `target` mode
/// it is the data plane's truth (D60).
pub(crate) fn replica_state(
    app: &App,
    volume: &VolumeRecord,
    replica: &Replica,
    observed: &Observed,
) -> ReplicaState {
    match app.config.default_replication {
        _ if volume.is_replicated() || replica.is_lost() => replica.state,
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

impl LocationView {
    fn new(
        app: &App,
        volume: &VolumeRecord,
        replica: &Replica,
        observed: &Observed,
        exported: &HashSet<Uuid>,
    ) -> Self {
        let state = replica_state(app, volume, replica, observed);
        let has_a_time = volume.is_replicated() && state != ReplicaState::Unknown;
        Self {
            uuid: replica.uuid,
            backend: BackendRef { persistent_id: replica.backend.clone() },
            replica_state: state,
            current_state_time: if has_a_time { now_ms().saturating_sub(replica.since_ms) } else { 0 },
            in_use: exported.contains(&replica.uuid),
            used_bytes: observed.volumes.get(&replica.uuid).map(|there| there.used_bytes),
            sub_volumes: None,
            sessions: None,
        }
    }
}

/// The copies that targets export, of whatever volume.
pub(super) fn exported(targets: &[TargetRecord]) -> HashSet<Uuid> {
    targets.iter().flat_map(TargetRecord::replicas).collect()
}

/// The sum over the copies; none if a node does not answer, or if all copies are lost.
fn of_all_copies(volume: &VolumeRecord, observed: &Observed, bytes: fn(&VolumeInfo) -> u64) -> Option<u64> {
    let mut copies = volume.shown_replicas().filter(|replica| !replica.is_lost()).peekable();
    copies.peek()?;
    copies.map(|replica| observed.volumes.get(&replica.uuid).map(bytes)).sum()
}

impl VolumeView {
    /// `exported`: copies that are namespaces of targets (D23); those of Local volumes never are (D37).
    pub(crate) fn new(
        app: &App,
        volume: &VolumeRecord,
        observed: &Observed,
        exported: &HashSet<Uuid>,
    ) -> Self {
        let class = &volume.class;
        let limits = volume.limits();
        let location: Vec<_> = volume
            .shown_replicas()
            .map(|replica| LocationView::new(app, volume, replica, observed, exported))
            .collect();
        let on_nodes = || volume.shown_replicas().filter_map(|r| observed.volumes.get(&r.uuid));
        Self {
            alias: volume.alias.clone(),
            uuid: volume.uuid,
            capacity: volume.size.capacity_bytes(),
            provisioning_type: match volume.provisioning {
                Provisioning::Thick => "THICK",
                Provisioning::Thin => "THIN",
                Provisioning::Other => "OTHER",
            },
            num_replicas: location.len(),
            max_iops: limits.max_iops,
            desired_iops: volume.scaled(class.desired_iops_per_gib),
            max_bw: limits.max_bytes_per_second,
            desired_bw: volume.scaled(class.desired_bytes_per_second_per_gib),
            block_size: if class.block_bytes == 512 { "512B" } else { "4KB" },
            max_replica_down_time: class.max_replica_down_minutes,
            in_use: location.iter().any(|l| l.in_use),
            location,
            tenant_id: volume.tenant_id.clone(),
            protocol: match volume.protocol {
                Protocol::Nvmeof => "NVMeoF",
                Protocol::Local => "Local",
            },
            allow_span: class.allow_span,
            storage_class_name: class.name.clone(),
            share_ssd_between_volumes: class.share_ssd,
            replication: class.replication,
            reserved_space: (volume.provisioning != Provisioning::Thick)
                .then_some(volume.size.reserved_bytes),
            snapshot_id: volume.snapshot,
            writable: !volume.read_only,
            used_bytes: of_all_copies(volume, observed, |copy| copy.used_bytes),
            shared_bytes: of_all_copies(volume, observed, |copy| copy.shared_bytes),
            trouble: on_nodes().find_map(|v| v.state.trouble()),
        }
    }

    /// Op 18: adds where the copies lie and who is connected to them.
    pub(crate) fn extended(
        mut self,
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
            let sessions = targets.iter().filter(|t| t.exports(location.uuid)).filter(connected);
            location.sessions = Some(sessions.map(|t| SessionView { host_id: t.host_id.clone() }).collect());
        }
        self
    }
}
