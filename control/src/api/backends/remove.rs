//! DELETE backends/{id}.

use axum::extract::State;

use super::backends;
use crate::{
    api::replicas::lost::lose_backend,
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    model::{
        node::{ControllerIdsRecord, NodeRecord, RemovedNodeRecord},
        snapshot::SnapshotRecord,
        volume::VolumeRecord,
    },
    openapi::Status,
    request::{Params, Query},
};

/// Op 3. With `force` one that does not answer is removed though it has volumes: their copies there are lost (D12).
#[utoipa::path(delete, path = "/backends/{id}", tag = "Backends", summary = "Remove a storage node",
    params(("force" = Option<bool>, Query, description = "also one that has volumes, if it does not answer")),
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn remove(State(app): State<SharedApp>, params: Params, query: Query) -> Reply {
    let force = query.truth("force")?.unwrap_or(false);
    let id = params.get("id").to_owned();
    let this = SharedApp::clone(&app);
    app.complete(async move {
        retry(|| take_out(&this, &id, force)).await?;
        this.nodes.remove(&id);
        this.events.add(Kind::NodeRemoved, &id, format!("node {id} was removed")).await;
        Ok(())
    })
    .await?;
    Ok(success())
}

async fn take_out(app: &App, id: &str, force: bool) -> Result<(), ApiError> {
    let found = backends(app).await?.into_iter().find(|backend| backend.value.persistent_id == id);
    let Some(backend) = found else {
        return Err(Failure::new(Code::NotExists, format!("there is no backend {id:?}")).into());
    };
    if app.own_node.as_deref() == Some(id) {
        return Err(Failure::invalid("the node in the provisioner's own process cannot be removed").into());
    }
    let volumes = app.state.list::<VolumeRecord>().await?;
    let volumes = volumes.iter().filter(|volume| volume.value.is_on(id)).count();
    let snapshots = app.state.list::<SnapshotRecord>().await?;
    let snapshots = snapshots.iter().filter(|snapshot| snapshot.value.replica.backend == id).count();
    let answers = app.nodes.find(id).is_some_and(|member| member.liveness.is_alive());
    if volumes + snapshots > 0 && (answers || !force) {
        let why = match answers {
            true => "it answers, so they have to be moved or deleted first",
            false => "with force=true it goes, and what has no other copy is lost",
        };
        let why = format!("backend {id} has {volumes} volumes and {snapshots} snapshots: {why}");
        return Err(Failure::new(Code::BackendHasVolumes, why).into());
    }
    let mut change = lose_backend(app, id).await?.remove(&backend);
    if let Some(node) = app.state.get::<NodeRecord>(id).await? {
        let NodeRecord { persistent_id, name, certificate, .. } = node.value.clone();
        let removed = RemovedNodeRecord { persistent_id, name, certificate };
        change = change.remove(&node).set(app.state.get(id).await?.as_ref(), &removed);
    }
    let ids = app.state.list::<ControllerIdsRecord>().await?;
    if let Some(ids) = ids.iter().find(|ids| ids.value.persistent_id == id) {
        change = change.remove(ids);
    }
    Ok(app.state.commit(change).await?)
}
