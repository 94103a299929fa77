//! DELETE volumes/{id}.

use axum::extract::State;
use uuid::Uuid;

use super::{find, not_exists, settled};
use crate::{
    api::tenants::Tenant,
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::parse_uuid,
    model::{snapshot::SnapshotRecord, volume::Phase},
    openapi::Status,
    reconcile::finish_delete,
    request::Params,
};

/// Op 15. A volume that is published (D30) or has a snapshot is in use.
#[utoipa::path(delete, path = "/volumes/{id}", tag = "Volumes", summary = "Delete a volume",
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn delete(State(app): State<SharedApp>, tenant: Tenant, params: Params) -> Reply {
    let id = params.get("id").to_owned();
    let Some(uuid) = parse_uuid(&id) else { return Err(not_exists(&id).into()) };
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| remove(&this, tenant.id(), uuid)).await }).await?;
    Ok(success())
}

async fn remove(app: &App, tenant: &str, uuid: Uuid) -> Result<(), ApiError> {
    let _lock = app.volume_locks.lock(uuid).await;
    let id = uuid.to_string();
    let found = match find(app, tenant, &id).await? {
        Some(volume) if volume.value.phase == Phase::Deleting => Some(volume),
        _ => settled(app, tenant, &id).await?,
    };
    let Some(mut volume) = found else { return Err(not_exists(&id).into()) };
    if !volume.value.published_to.is_empty() {
        let hosts: Vec<&str> = volume.value.published_to.iter().map(String::as_str).collect();
        let why = format!("volume {uuid} is published to host {}", hosts.join(", "));
        return Err(Failure::new(Code::VolumeIsInUse, why).into());
    }
    let snapshots = snapshots_of(app, uuid).await?;
    if !snapshots.is_empty() {
        let why = format!("volume {uuid} has snapshots: {}", snapshots.join(", "));
        return Err(Failure::new(Code::VolumeIsInUse, why).into());
    }
    if volume.value.phase != Phase::Deleting {
        volume.value.enter(Phase::Deleting);
        volume = app.state.update(volume).await?;
    }
    let deleted = format!("deleted volume {}", volume.value.alias);
    finish_delete(app, volume).await?;
    app.events.add(Kind::VolumeDeleted, uuid, deleted).await;
    Ok(())
}

/// Aliases of the volume's snapshots. Read after the volume: whoever takes one writes the volume's record too, and
/// so makes the deletion fail and look again.
async fn snapshots_of(app: &App, volume: Uuid) -> Result<Vec<String>, ApiError> {
    let snapshots = app.state.list::<SnapshotRecord>().await?.into_iter().map(|s| s.value);
    let mut aliases: Vec<String> = snapshots.filter(|s| s.volume == volume).map(|s| s.alias).collect();
    aliases.sort_unstable();
    Ok(aliases)
}
