//! Targets (provisioner §4.5, op 39, D39, D60).

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
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
    request::Query,
};

/// The union of what the doc and Cinder read.
#[derive(Debug, Serialize)]
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

/// Op 39. Both parameters: the targets of that host which export that volume.
pub(crate) async fn list(State(app): State<SharedApp>, query: Query) -> Reply {
    let host = query.get("hostId");
    let volume = query.get("volId").map(parse_uuid);
    let exports = |t: &TargetRecord, volume: Option<Uuid>| volume.is_some_and(|v| t.has(v));
    let targets = app.state.list::<TargetRecord>().await?.into_iter().map(|t| t.value);
    let targets = targets
        .filter(|t| host.is_none_or(|h| t.host_id == h))
        .filter(|t| volume.is_none_or(|v| exports(t, v)));
    let mut rows = Vec::new();
    for target in targets {
        let name = match app.state.get::<HostRecord>(&target.host_id).await? {
            Some(host) => host.value.name,
            // Deleted since the targets were read.
            None => continue,
        };
        let connected = connected_backends(&app, &target).await?;
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
async fn connected_backends(
    app: &SharedApp,
    target: &TargetRecord,
) -> Result<Vec<BackendRef>, crate::store::StoreError> {
    if let Scope::Backend(id) = &target.scope {
        return Ok(vec![BackendRef { persistent_id: id.clone() }]);
    }
    let mut holding = Vec::new();
    for volume in target.volumes() {
        if let Some(volume) = app.state.get::<VolumeRecord>(&volume.to_string()).await? {
            holding.extend(volume.value.replicas.into_iter().map(|r| r.backend));
        }
    }
    let all = backends(app).await?.into_iter().map(|b| b.value.persistent_id);
    Ok(all.filter(|id| holding.contains(id)).map(|id| BackendRef { persistent_id: id }).collect())
}
