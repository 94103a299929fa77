//! POST volumes.

use std::collections::BTreeSet;

use axum::extract::State;
use dataplane::node::VolumeSpec;
use uuid::Uuid;

use super::{
    record::{create_as, refuse_taken, reserve_floor_gib},
    request::CreateRequest,
};
use crate::{
    api::{
        backends::backends,
        tenants::{Tenant, admit},
    },
    app::{App, Observed, SharedApp, retry},
    envelope::{ApiError, Reply, created},
    model::{
        GIB,
        placement::{Candidate, CandidateDrive, Place, Wanted, place},
        reserve::thin_reserve,
        volume::{Phase, Provisioning, Replica, Reserved, Size, VolumeRecord},
    },
    openapi::{Answer, Created, bodies::VolumeCreate},
    request::JsonBody,
};

/// Op 14. All or nothing: the intent is recorded, the node makes the volume, the record becomes Ready.
#[utoipa::path(post, path = "/volumes", tag = "Volumes", summary = "Make a volume",
    request_body = VolumeCreate,
    responses((status = 200, body = Answer<Created>, description = "done")))]
pub(crate) async fn create(State(app): State<SharedApp>, tenant: Tenant, JsonBody(body): JsonBody) -> Reply {
    let request = CreateRequest::parse(&body)?;
    let uuid = request.uuid.unwrap_or_else(Uuid::new_v4);
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| make(&this, tenant.id(), uuid, &request)).await }).await?;
    Ok(created(uuid))
}

async fn make(app: &App, tenant: &str, uuid: Uuid, request: &CreateRequest) -> Result<(), ApiError> {
    let _lock = app.volume_locks.lock(uuid).await;
    refuse_taken(app, tenant, uuid, &request.alias).await?;
    request.check_replicas()?;
    let observed = app.observe().await;
    let size = size(app, request, &observed).await?;
    let takes = Reserved::of_copies(&request.class, size, request.class.num_replicas);
    let admission = admit(app, tenant, takes).await?;
    let place = choose(app, request, size, &observed).await?;
    let backend = place.backend.clone();
    let record = record(tenant, uuid, request, size, place.backend);
    let spec = VolumeSpec {
        uuid,
        size_bytes: size.capacity_bytes(),
        block_size: record.class.block_size(),
        reserved_bytes: size.reserved_bytes,
        drives: place.drives,
    };
    let node = app.nodes.of(&backend)?;
    create_as(app, record, admission, node.create_volume(spec)).await
}

async fn size(app: &App, request: &CreateRequest, observed: &Observed) -> Result<Size, ApiError> {
    let whole = request.capacity_gib * GIB;
    let reserved_bytes = match request.provisioning {
        Provisioning::Thick => whole,
        Provisioning::Thin | Provisioning::Other => {
            thin_reserve(whole, request.reserve_percent, reserve_floor_gib(app, observed).await?)
        }
    };
    Ok(Size { capacity_gib: request.capacity_gib, reserved_bytes })
}

async fn choose(
    app: &App,
    request: &CreateRequest,
    size: Size,
    observed: &Observed,
) -> Result<Place, ApiError> {
    let volumes = app.state.list::<VolumeRecord>().await?;
    let records = || volumes.iter().map(|v| &v.value);
    let candidates: Vec<Candidate> = backends(app)
        .await?
        .into_iter()
        .map(|b| {
            let id = &b.value.persistent_id;
            let reserved = Reserved::by(records().filter(|v| v.is_on(id)));
            let promised = app.config.declared_bytes_per_second;
            Candidate {
                available: observed.is_available(id),
                drives: CandidateDrive::list(observed.drives_of(id), &observed.volumes, records(), None),
                free_iops: app.config.declared_iops.saturating_sub(reserved.iops),
                free_bytes_per_second: promised.saturating_sub(reserved.bytes_per_second),
                record: b.value,
            }
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

fn record(tenant: &str, uuid: Uuid, request: &CreateRequest, size: Size, backend: String) -> VolumeRecord {
    VolumeRecord {
        uuid,
        alias: request.alias.clone(),
        tenant_id: tenant.to_owned(),
        size,
        provisioning: request.provisioning,
        reserve_percent: request.reserve_percent,
        protocol: request.protocol,
        class: request.class.clone(),
        replicas: vec![Replica { uuid, backend }],
        snapshot: None,
        read_only: false,
        published_to: BTreeSet::new(),
        phase: Phase::Creating,
    }
}
