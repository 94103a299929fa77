//! POST volumes.

use std::collections::BTreeSet;

use axum::extract::State;
use dataplane::node::VolumeSpec;
use uuid::Uuid;

use super::{
    placing::candidates,
    record::{create_as, refuse_taken},
    request::CreateRequest,
};
use crate::{
    api::tenants::{Tenant, admit},
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, created},
    model::{
        placement::{Place, place, require_host},
        volume::{Phase, Replica, Size, VolumeRecord},
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
    request.volume.check_replicas(app.config.default_replication)?;
    let observed = app.observe().await;
    let size = request.volume.size(app, &observed).await?;
    let (wanted, candidates) = (request.volume.wanted(size), candidates(app, &observed).await?);
    require_host(wanted, candidates.iter().map(|c| &c.record))?;
    let admission = admit(app, tenant, request.volume.takes(size)).await?;
    let place = the_place(place(wanted, &candidates)?)?;
    let node = app.nodes.of(&place.backend)?;
    let record = record(app, tenant, uuid, request, size, place.backend);
    let spec = VolumeSpec {
        uuid,
        size_bytes: size.capacity_bytes(),
        block_size: record.class.block_size(),
        reserved_bytes: size.reserved_bytes,
        drives: place.drives,
    };
    create_as(app, record, admission, node.create_volume(spec)).await
}

/// This version makes one copy.
fn the_place(places: Vec<Place>) -> Result<Place, Failure> {
    <[Place; 1]>::try_from(places).map(|[place]| place).map_err(|places| {
        let why = format!("there are places for {} replicas, but they cannot be made yet", places.len());
        Failure::new(Code::InvalidReplicas, why)
    })
}

fn record(
    app: &App,
    tenant: &str,
    uuid: Uuid,
    request: &CreateRequest,
    size: Size,
    backend: String,
) -> VolumeRecord {
    let volume = &request.volume;
    let mut class = volume.class.clone();
    if class.num_replicas > 1 {
        // Who replicates it never changes, whatever the setting says later.
        class.replication.get_or_insert(app.config.default_replication);
    }
    VolumeRecord {
        uuid,
        alias: request.alias.clone(),
        tenant_id: tenant.to_owned(),
        size,
        provisioning: volume.provisioning,
        reserve_percent: volume.reserve_percent,
        protocol: volume.protocol,
        class,
        replicas: vec![Replica { uuid, backend }],
        snapshot: None,
        read_only: false,
        published_to: BTreeSet::new(),
        phase: Phase::Creating,
    }
}
