//! DELETE snapshots/{id}.

use axum::extract::State;
use uuid::Uuid;

use super::{find, not_exists};
use crate::{
    api::tenants::Tenant,
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::parse_uuid,
    model::{
        snapshot::{SnapshotPhase, SnapshotRecord},
        volume::VolumeRecord,
    },
    openapi::Status,
    reconcile::finish_delete_snapshot,
    request::{Params, Query},
};

/// Op 25. One with volumes is in use, unless `force` makes clones of them (D64).
#[utoipa::path(delete, path = "/snapshots/{id}", tag = "Snapshots", summary = "Delete a snapshot",
    params(("force" = Option<bool>, Query, description = "volumes that show it become clones")),
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn delete(
    State(app): State<SharedApp>,
    tenant: Tenant,
    params: Params,
    query: Query,
) -> Reply {
    let force = query.truth("force")?.unwrap_or(false);
    let id = params.get("id").to_owned();
    let Some(uuid) = parse_uuid(&id) else { return Err(not_exists(&id).into()) };
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| remove(&this, tenant.id(), uuid, force)).await }).await?;
    Ok(success())
}

async fn remove(app: &App, tenant: &str, uuid: Uuid, force: bool) -> Result<(), ApiError> {
    let _lock = app.snapshot_locks.lock(uuid).await;
    let Some(mut snapshot) = find(app, tenant, &uuid.to_string()).await? else {
        return Err(not_exists(&uuid.to_string()).into());
    };
    if snapshot.value.phase != SnapshotPhase::Deleting {
        let volumes = volumes_of(app, uuid).await?;
        if !force && !volumes.is_empty() {
            let why = format!(
                "snapshot {uuid} has volumes: {}; with force=true it goes and they live on",
                volumes.join(", ")
            );
            return Err(Failure::new(Code::VolumeIsInUse, why).into());
        }
        snapshot.value.enter(SnapshotPhase::Deleting);
        snapshot = app.state.update(snapshot).await?;
    }
    let SnapshotRecord { alias, volume, .. } = &snapshot.value;
    let deleted = format!("deleted snapshot {alias} of volume {volume}");
    finish_delete_snapshot(app, snapshot).await?;
    app.events.add(Kind::SnapshotDeleted, uuid, deleted).await;
    Ok(())
}

/// Aliases of the volumes that show the snapshot. Read after the snapshot: whoever makes one writes the snapshot's
/// record too, and so makes the deletion fail and look again.
async fn volumes_of(app: &App, snapshot: Uuid) -> Result<Vec<String>, ApiError> {
    let volumes = app.state.list::<VolumeRecord>().await?.into_iter().map(|v| v.value);
    let mut aliases: Vec<String> =
        volumes.filter(|v| v.snapshot == Some(snapshot)).map(|v| v.alias).collect();
    aliases.sort_unstable();
    Ok(aliases)
}
