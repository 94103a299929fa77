//! Targets (provisioner §4.5, op 39, D39, D60).

use std::collections::HashMap;

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{backends::backends, volumes::BackendRef};
use crate::{
    app::SharedApp,
    envelope::Reply,
    fields::parse_uuid,
    model::{
        host::HostRecord,
        target::{Scope, TargetRecord},
        volume::VolumeRecord,
    },
    openapi::Answer,
    request::Query,
};

/// The union of what the doc and Cinder read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TargetView {
    name: String,
    target_name: String,
    alias: String,
    host_target_connected_to: String,
    backend: BackendRef,
    connected_backends: Vec<BackendRef>,
    num_namespaces: usize,
}

/// Op 39. Both parameters: the targets of that host which export that volume, in the order of its copies (D39).
#[utoipa::path(get, path = "/targets", tag = "Publishing", summary = "List targets",
    params(("hostId" = Option<String>, Query, description = "only that host's"), ("volId" = Option<String>, Query, description = "only those that export it")),
    responses((status = 200, body = Answer<Vec<TargetView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, query: Query) -> Reply {
    let host = query.get("hostId");
    let volume = query.get("volId").map(parse_uuid);
    let exports = |t: &TargetRecord, volume: Option<Uuid>| volume.is_some_and(|v| t.has(v));
    let targets = app.state.list::<TargetRecord>().await?.into_iter().map(|t| t.value);
    let targets = targets
        .filter(|t| host.is_none_or(|h| t.host_id == h))
        .filter(|t| volume.is_none_or(|v| exports(t, v)));
    let hosts = app.state.list::<HostRecord>().await?.into_iter();
    let names: HashMap<String, String> = hosts.map(|h| (h.value.id, h.value.name)).collect();
    let backends = backends(&app).await?.into_iter().map(|b| b.value.persistent_id).collect::<Vec<_>>();
    let volumes = app.state.list::<VolumeRecord>().await?.into_iter();
    let volumes: HashMap<Uuid, VolumeRecord> = volumes.map(|v| (v.value.uuid, v.value)).collect();
    let wanted = volume.flatten().and_then(|uuid| volumes.get(&uuid));
    let mut targets: Vec<TargetRecord> = targets.collect();
    // Stable: several hosts' targets stay in the order of the hosts.
    targets.sort_by_key(|t| wanted.and_then(|v| v.replicas.iter().position(|r| t.exports(r.uuid))));
    let mut rows = Vec::new();
    for target in targets {
        // Deleted since the targets were read.
        let Some(name) = names.get(&target.host_id).cloned() else { continue };
        let connected = connected_backends(&target, &volumes, &backends);
        let Some(backend) = connected.first().cloned() else { continue };
        rows.push(TargetView {
            name: target.nqn.clone(),
            target_name: target.nqn.clone(),
            alias: name.clone(),
            host_target_connected_to: name,
            backend,
            connected_backends: connected,
            num_namespaces: target.len(),
        });
    }
    Ok(Json(rows).into_response())
}

/// The backends that export it: those that hold a replica of its volumes.
fn connected_backends(
    target: &TargetRecord,
    volumes: &HashMap<Uuid, VolumeRecord>,
    backends: &[String],
) -> Vec<BackendRef> {
    let exports = |backend: &String| match &target.scope {
        Scope::Backend(only) => only == backend,
        Scope::AllBackends => {
            let replicas = target.volumes().filter_map(|v| volumes.get(&v)).flat_map(|v| &v.replicas);
            replicas.into_iter().any(|r| r.backend == *backend && target.exports(r.uuid))
        }
    };
    backends.iter().filter(|b| exports(b)).map(|id| BackendRef { persistent_id: id.clone() }).collect()
}
