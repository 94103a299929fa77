//! DELETE volumes/{id}.

use axum::extract::State;
use uuid::Uuid;

use super::{find, not_exists};
use crate::{
    api::tenants::Tenant,
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    fields::parse_uuid,
    model::volume::Phase,
    reconcile::finish_delete,
    request::Params,
};

/// Op 15. A published volume is in use (D30).
pub(crate) async fn delete(State(app): State<SharedApp>, tenant: Tenant, params: Params) -> Reply {
    let id = params.get("id").to_owned();
    let Some(uuid) = parse_uuid(&id) else { return Err(not_exists(&id).into()) };
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| remove(&this, tenant.id(), uuid)).await }).await?;
    Ok(success())
}

async fn remove(app: &App, tenant: &str, uuid: Uuid) -> Result<(), ApiError> {
    let _lock = app.volume_locks.lock(uuid).await;
    let Some(mut volume) = find(app, tenant, &uuid.to_string()).await? else {
        return Err(not_exists(&uuid.to_string()).into());
    };
    if !volume.value.published_to.is_empty() {
        let hosts: Vec<&str> = volume.value.published_to.iter().map(String::as_str).collect();
        let why = format!("volume {uuid} is published to host {}", hosts.join(", "));
        return Err(Failure::new(Code::VolumeIsInUse, why).into());
    }
    if volume.value.phase != Phase::Deleting {
        volume.value.enter(Phase::Deleting);
        volume = app.state.update(volume).await?;
    }
    finish_delete(app, volume).await?;
    tracing::info!(volume = %uuid, "deleted a volume");
    Ok(())
}
