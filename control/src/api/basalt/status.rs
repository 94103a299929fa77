//! GET status: what a person wants to know first, and what to do next.

use std::collections::HashSet;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use dataplane::node::DriveState;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{drives::DriveView, error::BasaltError};
use crate::{
    api::backends::{PortalView, backends, portals},
    app::{App, Observed, SharedApp, now_ms},
    model::{
        backend::BackendRecord, host::HostRecord, snapshot::SnapshotRecord, target::TargetRecord,
        volume::VolumeRecord,
    },
    nodes::names,
    reconcile::{Desired, Object, OnNode, Problem, plan_storage},
    store::StoreError,
    tls::Peer,
};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StatusView {
    node: NodeView,
    /// All storage nodes.
    nodes: Vec<MemberView>,
    drives: Vec<DriveView>,
    volumes: VolumeCounts,
    hosts: Vec<HostView>,
    /// What is wrong, in words.
    problems: Vec<String>,
    /// What to do next, in words; empty when everything is set up.
    next: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatusNode)]
struct NodeView {
    /// Omitted if this process has no node of its own.
    #[serde(rename = "persistentID", skip_serializing_if = "Option::is_none")]
    persistent_id: Option<String>,
    name: String,
    version: &'static str,
    /// Its node answers; without one, any.
    available: bool,
    uptime_seconds: u64,
    portals: Vec<PortalView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatusMember)]
struct MemberView {
    #[serde(rename = "persistentID")]
    persistent_id: String,
    name: String,
    available: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VolumeCounts {
    total: usize,
    published: usize,
    /// Bytes, over all volumes.
    capacity_bytes: u64,
    used_bytes: u64,
    snapshots: usize,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatusHost)]
struct HostView {
    id: String,
    name: String,
    nqn: String,
    /// Volumes published to it.
    volumes: usize,
    /// It has a live connection.
    connected: bool,
}

#[utoipa::path(get, path = "/status", tag = "Node", summary = "How the node is, and what to do next",
    responses((status = 200, body = StatusView, description = "done")))]
pub(crate) async fn status(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, BasaltError> {
    // Records first: a volume that is created meanwhile is then told from an unknown one by a second look.
    let desired = Desired {
        volumes: app.state.list().await?.into_iter().map(|v| v.value).collect(),
        snapshots: app.state.list().await?.into_iter().map(|s| s.value).collect(),
    };
    let observed = app.observe().await;
    let hosts = hosts(&app, &desired.volumes).await?;
    let wrong = problems(&app, &observed, &desired).await?;
    let existing = desired.volumes.iter().filter(|v| v.exists());
    let counts = VolumeCounts {
        total: existing.clone().count(),
        published: existing.clone().filter(|v| !v.published_to.is_empty()).count(),
        capacity_bytes: existing.map(|v| v.size.capacity_bytes()).sum(),
        used_bytes: observed.volumes.values().map(|v| v.used_bytes).sum(),
        snapshots: desired.snapshots.iter().filter(|s| s.exists()).count(),
    };
    let next = next(&observed, &counts, &hosts);
    let own = app.own_node.as_deref();
    let node = NodeView {
        persistent_id: app.own_node.clone(),
        name: app.node_name(),
        version: env!("CARGO_PKG_VERSION"),
        available: own.map_or_else(|| app.nodes.is_any_alive(), |own| observed.is_available(own)),
        uptime_seconds: app.started.elapsed().as_secs(),
        portals: own.map_or_else(Vec::new, |own| portals(&observed, own, &peer)),
    };
    let nodes = members(&app, &observed).await?;
    let drives = DriveView::all(observed);
    let view = StatusView { node, nodes, drives, volumes: counts, hosts, problems: wrong, next };
    Ok(Json(view).into_response())
}

async fn members(app: &App, observed: &Observed) -> Result<Vec<MemberView>, StoreError> {
    let (names, now) = (names(app).await?, now_ms());
    let member = |backend: BackendRecord| MemberView {
        available: backend.is_available(observed, now),
        name: names.get(&backend.persistent_id).unwrap_or(&backend.persistent_id).clone(),
        persistent_id: backend.persistent_id,
    };
    Ok(backends(app).await?.into_iter().map(|backend| member(backend.value)).collect())
}

async fn hosts(app: &App, volumes: &[VolumeRecord]) -> Result<Vec<HostView>, StoreError> {
    let controllers = app.controllers().await;
    let live: HashSet<&str> = controllers.iter().map(|c| c.subsystem_nqn.as_str()).collect();
    let targets = app.state.list::<TargetRecord>().await?;
    let connected: HashSet<&str> = targets
        .iter()
        .filter(|t| live.contains(t.value.nqn.as_str()))
        .map(|t| t.value.host_id.as_str())
        .collect();
    let hosts = app.state.list::<HostRecord>().await?.into_iter().map(|h| h.value);
    Ok(hosts
        .map(|host| HostView {
            volumes: volumes.iter().filter(|v| v.published_to.contains(&host.id)).count(),
            connected: connected.contains(host.id.as_str()),
            id: host.id,
            name: host.name,
            nqn: host.nqn,
        })
        .collect())
}

async fn problems(app: &App, observed: &Observed, desired: &Desired) -> Result<Vec<String>, StoreError> {
    let away = observed.nodes.iter().filter(|(_, node)| !node.available);
    let mut found: Vec<String> = away.map(|(id, _)| format!("storage node {id} does not answer")).collect();
    let (others, now) = (backends(app).await?.into_iter().map(|b| b.value), now_ms());
    let silent = others.filter(|b| b.probe.as_ref().is_some_and(|probe| !probe.is_available(now)));
    found.extend(silent.map(|b| format!("backend {} does not tell of itself any more", b.persistent_id)));
    // As they are now: what was made or deleted meanwhile is no problem.
    let volumes = app.state.list::<VolumeRecord>().await?;
    let copies: HashSet<Uuid> = volumes.iter().flat_map(|v| &v.value.replicas).map(|r| r.uuid).collect();
    for problem in plan_storage(desired, &OnNode::new(observed, desired)).problems {
        let (Problem::Missing(object, uuid) | Problem::Unknown(object, uuid)) = problem;
        let recorded = match object {
            Object::Volume => copies.contains(&uuid),
            Object::Snapshot => app.state.get::<SnapshotRecord>(&uuid.to_string()).await?.is_some(),
        };
        if recorded == matches!(problem, Problem::Missing(..)) {
            found.push(problem.to_string());
        }
    }
    found.extend(observed.drives().filter_map(|drive| match &drive.state {
        DriveState::Online | DriveState::Evacuating => None,
        DriveState::ReadOnly(why) => Some(format!("drive {} takes no writes: {why}", drive.name)),
        DriveState::Failed(why) => Some(format!("drive {} has failed: {why}", drive.name)),
    }));
    let volumes = observed.volumes.values();
    found.extend(volumes.filter_map(|v| Some(format!("volume {} {}", v.uuid, v.state.trouble()?))));
    Ok(found)
}

fn next(observed: &Observed, volumes: &VolumeCounts, hosts: &[HostView]) -> Vec<String> {
    let step = if observed.nodes.is_empty() {
        "invite a storage node: basalt node invite"
    } else if volumes.total == 0 {
        "make a volume: basalt volume create NAME SIZE"
    } else if hosts.is_empty() {
        "announce a host: basalt host add NAME --nqn NQN (on the host: cat /etc/nvme/hostnqn)"
    } else if volumes.published == 0 {
        "publish a volume to a host: basalt publish VOLUME HOST"
    } else if !hosts.iter().any(|h| h.connected) {
        "connect from the host: basalt publish VOLUME HOST prints the nvme connect line"
    } else {
        return Vec::new();
    };
    vec![step.to_owned()]
}
