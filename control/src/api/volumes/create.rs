//! POST volumes.

use std::collections::{BTreeSet, HashMap};

use axum::extract::State;
use dataplane::node::{DriveState, VolumeSpec, VolumeState};
use uuid::Uuid;

use super::request::CreateRequest;
use crate::{
    api::{backends::backends, tenants::Tenant},
    app::{App, Observed, SharedApp},
    envelope::{ApiError, Code, Failure, Reply, created},
    model::{
        backend,
        placement::{Candidate, CandidateDrive, Place, Wanted, place},
        reserve::{floor_gib, thin_reserve},
        volume::{Phase, Provisioning, Replica, Reserved, Size, VolumeRecord},
    },
    reconcile::undo_create,
    request::JsonBody,
    state::{AliasRecord, Change, alias_id},
    store::StoreError,
};

/// Op 14. All or nothing: the intent is recorded, the node makes the volume, the record becomes Ready.
pub(crate) async fn create(State(app): State<SharedApp>, tenant: Tenant, JsonBody(body): JsonBody) -> Reply {
    let request = CreateRequest::parse(&body)?;
    let uuid = request.uuid.unwrap_or_else(Uuid::new_v4);
    let this = SharedApp::clone(&app);
    app.complete(async move { make(&this, tenant.id(), uuid, request).await }).await?;
    Ok(created(uuid))
}

async fn make(app: &App, tenant: &str, uuid: Uuid, request: CreateRequest) -> Result<(), ApiError> {
    let _lock = app.volume_locks.lock(uuid).await;
    if app.state.get::<VolumeRecord>(&uuid.to_string()).await?.is_some() {
        return Err(taken(format!("the UUID {uuid}")));
    }
    if app.state.get::<AliasRecord>(&alias_id(tenant, &request.alias)).await?.is_some() {
        return Err(taken(format!("the alias {:?}", request.alias)));
    }
    request.check_replicas()?;
    let observed = app.observe().await;
    if observed.volumes.get(&uuid).is_some_and(|v| v.state != VolumeState::Deleting) {
        // Somebody's data that this store does not know: never ours to make or undo.
        return Err(taken(format!("the UUID {uuid} is on a drive already and")));
    }
    let size = size(app, &request, &observed).await?;
    let place = choose(app, &request, size, &observed).await?;
    let record = record(tenant, uuid, request, size, place.backend);

    let alias = Change::default().create(&AliasRecord::of(&record));
    let mut stored = match app.state.create(record, alias).await {
        Err(StoreError::Conflict { key }) => return Err(taken(key)),
        stored => stored?,
    };
    let spec = VolumeSpec {
        uuid,
        size_bytes: size.capacity_bytes(),
        block_size: stored.value.class.block_size(),
        reserved_bytes: size.reserved_bytes,
        drive: Some(place.drive),
    };
    if let Err(error) = app.node.create_volume(spec).await {
        undo_create(app, stored).await?;
        return Err(error.into());
    }
    stored.value.enter(Phase::Ready);
    app.state.update(stored).await?;
    tracing::info!(volume = %uuid, gib = size.capacity_gib, "created a volume");
    Ok(())
}

fn taken(what: String) -> ApiError {
    Failure::new(Code::AlreadyExists, format!("{what} is taken")).into()
}

async fn size(app: &App, request: &CreateRequest, observed: &Observed) -> Result<Size, ApiError> {
    let whole = Size { capacity_gib: request.capacity_gib, reserved_bytes: 0 }.capacity_bytes();
    let reserved_bytes = match request.provisioning {
        Provisioning::Thick => whole,
        Provisioning::Thin => {
            thin_reserve(whole, request.reserve_percent, reserve_floor_gib(app, observed).await?)
        }
    };
    Ok(Size { capacity_gib: request.capacity_gib, reserved_bytes })
}

/// D62, for the pool as it is now.
pub(super) async fn reserve_floor_gib(app: &App, observed: &Observed) -> Result<u64, ApiError> {
    let in_use = backends(app).await?.iter().any(|b| b.value.in_use);
    let pool = if in_use { backend::space(&observed.drives).total_bytes } else { 0 };
    Ok(floor_gib(app.config.reserve_floor_gib, pool))
}

async fn choose(
    app: &App,
    request: &CreateRequest,
    size: Size,
    observed: &Observed,
) -> Result<Place, ApiError> {
    let volumes = app.state.list::<VolumeRecord>().await?;
    let mut class_names: HashMap<Uuid, Vec<String>> = HashMap::new();
    for (volume, replica) in volumes.iter().flat_map(|v| v.value.replicas.iter().map(move |r| (v, r))) {
        if let (Some(on), Some(name)) = (observed.volumes.get(&replica.uuid), &volume.value.class.name) {
            class_names.entry(on.drive).or_default().push(name.clone());
        }
    }
    let reserved = Reserved::by(volumes.iter().map(|v| &v.value));
    let drives: Vec<CandidateDrive> = observed
        .drives
        .iter()
        .filter(|d| d.state == DriveState::Online)
        .map(|d| CandidateDrive {
            uuid: d.uuid,
            unreserved_bytes: d.unreserved_bytes,
            class_names: class_names.remove(&d.uuid).unwrap_or_default(),
        })
        .collect();
    let candidates: Vec<Candidate> = backends(app)
        .await?
        .into_iter()
        .map(|b| Candidate {
            record: b.value,
            available: observed.available,
            free_iops: app.config.declared_iops.saturating_sub(reserved.iops),
            free_bytes_per_second: app
                .config
                .declared_bytes_per_second
                .saturating_sub(reserved.bytes_per_second),
            drives: drives.clone(),
        })
        .collect();
    let wanted = Wanted {
        class: &request.class,
        protocol: request.protocol,
        capacity_gib: request.capacity_gib,
        reserved_bytes: size.reserved_bytes,
    };
    Ok(place(wanted, &candidates)?)
}

fn record(tenant: &str, uuid: Uuid, request: CreateRequest, size: Size, backend: String) -> VolumeRecord {
    VolumeRecord {
        uuid,
        alias: request.alias,
        tenant_id: tenant.to_owned(),
        size,
        provisioning: request.provisioning,
        reserve_percent: request.reserve_percent,
        protocol: request.protocol,
        class: request.class,
        replicas: vec![Replica { uuid, backend }],
        published_to: BTreeSet::new(),
        phase: Phase::Creating,
    }
}
