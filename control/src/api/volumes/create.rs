//! POST volumes.

use std::collections::BTreeSet;

use axum::extract::State;
use uuid::Uuid;

use super::{
    placing::candidates,
    record::{create_as, refuse_taken},
    replica::make_replicas,
    request::CreateRequest,
};
use crate::{
    api::tenants::{Tenant, admit},
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Reply, created},
    model::{
        placement::{Place, place, require_host},
        replica::Replica,
        volume::{Phase, Size, VolumeRecord},
    },
    openapi::{Answer, Created, bodies::VolumeCreate},
    request::JsonBody,
};

/// Op 14. All or nothing: the intent is recorded, the nodes make the copies, the record becomes Ready.
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
    let places = place(wanted, &candidates)?;
    let record = record(app, tenant, uuid, request, size, &places);
    let copies = make_replicas(app, &record, places)?;
    create_as(app, record, admission, copies).await
}

fn record(
    app: &App,
    tenant: &str,
    uuid: Uuid,
    request: &CreateRequest,
    size: Size,
    places: &[Place],
) -> VolumeRecord {
    let volume = &request.volume;
    let mut class = volume.class.clone();
    if class.num_replicas > 1 {
        // Who replicates it never changes, whatever the setting says later.
        class.replication.get_or_insert(app.config.default_replication);
    }
    let now = now_ms();
    let replica = |place: &Place| {
        let own = if class.num_replicas > 1 { Uuid::new_v4() } else { uuid };
        Replica::new(own, &place.backend, now)
    };
    VolumeRecord {
        replicas: places.iter().map(replica).collect(),
        uuid,
        alias: request.alias.clone(),
        tenant_id: tenant.to_owned(),
        size,
        provisioning: volume.provisioning,
        reserve_percent: volume.reserve_percent,
        protocol: volume.protocol,
        class,
        snapshot: None,
        read_only: false,
        published_to: BTreeSet::new(),
        phase: Phase::Creating,
    }
}
