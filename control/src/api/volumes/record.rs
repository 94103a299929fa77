//! What creating a volume, a snapshot volume and a clone have in common.

use std::future::Future;

use dataplane::node::{NodeError, VolumeState};
use uuid::Uuid;

use super::find;
use crate::{
    admin::entitlement::check_new,
    api::{backends::backends, tenants::Admission},
    app::{App, Observed},
    envelope::{ApiError, Code, Failure},
    events::Kind,
    model::{
        backend,
        reserve::floor_gib,
        snapshot::SnapshotRecord,
        volume::{Phase, VolumeRecord},
    },
    reconcile::{finish_create, finish_expand, finish_remove_replica, undo_add_replica, undo_create},
    state::{AliasRecord, Stored, alias_id},
};

/// `AlreadyExists` if the UUID or the alias belongs to somebody. The caller holds the UUID's lock.
pub(crate) async fn refuse_taken(app: &App, tenant: &str, uuid: Uuid, alias: &str) -> Result<(), ApiError> {
    refuse_taken_uuid(app, uuid).await?;
    if app.state.get::<AliasRecord>(&alias_id(tenant, alias)).await?.is_some() {
        return Err(taken(format!("the alias {alias:?}")));
    }
    Ok(())
}

/// UUIDs are unique over all tenants, over volumes and snapshots together (D29): the node knows both by them.
pub(crate) async fn refuse_taken_uuid(app: &App, uuid: Uuid) -> Result<(), ApiError> {
    let id = uuid.to_string();
    let volume = app.state.get::<VolumeRecord>(&id).await?.is_some();
    if volume || app.state.get::<SnapshotRecord>(&id).await?.is_some() {
        return Err(taken(format!("the UUID {uuid}")));
    }
    for member in app.nodes.all() {
        let volume = member.handle.volume(uuid).await.is_ok_and(|v| v.state != VolumeState::Deleting);
        if volume || member.handle.snapshot(uuid).await.is_ok_and(|s| s.state != VolumeState::Deleting) {
            // Somebody's data that this store does not know: never ours to make or undo.
            return Err(taken(format!("the UUID {uuid} is on a drive already and")));
        }
    }
    Ok(())
}

fn taken(what: String) -> ApiError {
    Failure::new(Code::AlreadyExists, format!("{what} is taken")).into()
}

/// All or nothing: the intent is recorded together with the admission's change, the nodes make the volume, the record
/// becomes Ready. The caller holds the UUID's lock, and tries again from the beginning if it lost a race (`Conflict`).
pub(crate) async fn create_as<T>(
    app: &App,
    record: VolumeRecord,
    admission: Admission<'_>,
    on_nodes: impl Future<Output = Result<T, NodeError>>,
) -> Result<(), ApiError> {
    assert_eq!(record.phase, Phase::Creating);
    check_new(&app.state).await?;
    let uuid = record.uuid;
    let created = format!("created volume {} of {} GiB", record.alias, record.size.capacity_gib);
    let change = admission.change.create(&AliasRecord::of(&record));
    let stored = app.state.create(record, change.absent::<SnapshotRecord>(&uuid.to_string())).await?;
    drop(admission.turn);
    if let Err(error) = on_nodes.await {
        undo_create(app, stored).await?;
        return Err(error.into());
    }
    finish_create(app, stored).await?;
    app.events.add(Kind::VolumeCreated, uuid, created).await;
    Ok(())
}

/// The volume of that tenant, after what a crash or a failing node cut short is settled. The caller holds its
/// lock.
pub(crate) async fn settled(
    app: &App,
    tenant: &str,
    id: &str,
) -> Result<Option<Stored<VolumeRecord>>, ApiError> {
    loop {
        let Some(volume) = find(app, tenant, id).await? else { return Ok(None) };
        match volume.value.phase {
            Phase::Ready => return Ok(Some(volume)),
            Phase::Expanding { to } => finish_expand(app, volume, to).await?,
            Phase::AddingReplica(_) => undo_add_replica(app, volume).await?,
            Phase::RemovingReplica(_) => finish_remove_replica(app, volume).await?,
            Phase::Creating | Phase::Deleting => return Ok(None),
        }
    }
}

/// D62, for the pool as it is now.
pub(crate) async fn reserve_floor_gib(app: &App, observed: &Observed) -> Result<u64, ApiError> {
    let pool = backend::pool(&backends(app).await?, observed);
    Ok(floor_gib(app.config.reserve_floor_gib, pool.total_bytes))
}
