//! PATCH and DELETE replica/{id}/{replica}: a copy goes in two steps, so that its host can let go of it in between.

use axum::extract::State;
use uuid::Uuid;

use super::{Names, refuse_terminating, require_replicated};
use crate::{
    api::{publish::withdraw::withdraw, tenants::Tenant},
    app::{App, Observed, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    model::{
        replica::{Replica, ReplicaState},
        volume::{Phase, VolumeRecord},
    },
    openapi::Status,
    reconcile::finish_remove_replica,
    request::Params,
};

/// Op 21, step 1. The copy stays exported.
#[utoipa::path(patch, path = "/replica/{id}/{replica}", tag = "Replicas", summary = "Begin to remove a copy",
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn terminate(State(app): State<SharedApp>, tenant: Tenant, params: Params) -> Reply {
    let names = Names::of(&params);
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _volume = this.volume_locks.lock(names.lock_by()).await;
        retry(|| mark(&this, tenant.id(), &names)).await
    })
    .await?;
    Ok(success())
}

async fn mark(app: &App, tenant: &str, names: &Names) -> Result<(), ApiError> {
    let (mut volume, uuid) = names.find(app, tenant).await?;
    require_replicated(&volume.value)?;
    require_another(&volume.value, uuid, &app.observe().await)?;
    refuse_terminating(&volume.value.replicas)?;
    let is_meant = |replica: &&mut Replica| replica.uuid == uuid;
    if let Some(replica) = volume.value.replicas.iter_mut().find(is_meant) {
        replica.enter(ReplicaState::Terminating, now_ms());
    }
    app.state.update(volume).await?;
    Ok(())
}

/// D33: the last copy that a host could go on with stays.
fn require_another(volume: &VolumeRecord, uuid: Uuid, observed: &Observed) -> Result<(), Failure> {
    let is_good = |replica: &Replica| {
        let is_there =
            observed.is_available(&replica.backend) && observed.volumes.contains_key(&replica.uuid);
        replica.uuid != uuid && replica.is_usable() && is_there
    };
    if volume.replicas.iter().any(is_good) {
        return Ok(());
    }
    let why = format!("volume {} has no other usable copy", volume.uuid);
    Err(Failure::new(Code::AllReplicasDown, why))
}

/// Op 22, step 2. It is taken from its hosts, and its space is free again.
#[utoipa::path(delete, path = "/replica/{id}/{replica}", tag = "Replicas", summary = "Remove a copy",
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn remove(State(app): State<SharedApp>, tenant: Tenant, params: Params) -> Reply {
    let names = Names::of(&params);
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _volume = this.volume_locks.lock(names.lock_by()).await;
        retry(|| delete(&this, tenant.id(), &names)).await
    })
    .await?;
    Ok(success())
}

async fn delete(app: &App, tenant: &str, names: &Names) -> Result<(), ApiError> {
    let (mut volume, uuid) = names.find_settled(app, tenant).await?;
    if volume.value.replica(uuid).is_none_or(|replica| replica.state != ReplicaState::Terminating) {
        let why = format!("replica {uuid} is not being removed: PATCH it first");
        return Err(Failure::new(Code::NoTerminating, why).into());
    }
    if let Some(replica) = volume.value.replica(uuid).filter(|r| !r.is_lost())
        && !app.observe().await.is_available(&replica.backend)
    {
        let why = format!("backend {} is unavailable", replica.backend);
        return Err(Failure::new(Code::NotAvailable, why).into());
    }
    let hosts: Vec<String> = volume.value.published_to.iter().cloned().collect();
    let (_, change) = withdraw(app, &mut volume.value, &hosts, |replica| replica.uuid == uuid).await?;
    volume.value.enter(Phase::RemovingReplica(uuid));
    let removed = format!("removed replica {uuid} of volume {}", volume.value.alias);
    let object = volume.value.uuid;
    let volume = app.state.update_and(volume, change).await?;
    finish_remove_replica(app, volume).await?;
    app.events.add(Kind::ReplicaRemoved, object, removed).await;
    Ok(())
}
