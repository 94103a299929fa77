//! POST clone_volume.

use std::collections::BTreeSet;

use axum::extract::State;
use dataplane::node::CloneSpec;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    not_exists, only_copy,
    record::{create_as, refuse_taken, reserve_floor_gib, settled},
    request::MAX_CAPACITY_GIB,
};
use crate::{
    api::tenants::{Tenant, admit},
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure, Reply, created},
    fields::{Fields, parse_uuid},
    limits,
    model::{
        replica::Replica,
        reserve::{percent, thin_reserve},
        volume::{Phase, Provisioning, Reserved, Size, VolumeRecord},
    },
    openapi::{Answer, Created, bodies::VolumeClone},
    request::JsonBody,
};

/// What a clone request asks for.
#[derive(Debug, PartialEq, Eq)]
struct CloneRequest {
    source: String,
    alias: String,
    uuid: Uuid,
    reserve_percent: u64,
    /// `None`: the source's.
    capacity_gib: Option<u64>,
}

impl CloneRequest {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let text = |name: &str| fields.require(name, fields.text(name, limits::NAME_CHARS)?);
        let capacity_gib = fields.whole("capacity")?;
        if capacity_gib.is_some_and(|gib| !(1..=MAX_CAPACITY_GIB).contains(&gib)) {
            return Err(Failure::invalid(format!("capacity must be from 1 to {MAX_CAPACITY_GIB} GiB")));
        }
        let alias = fields.label("alias", limits::NAME_CHARS)?;
        Ok(Self {
            source: text("sourceVolumeId")?.to_owned(),
            alias: fields.require("alias", alias)?.to_owned(),
            uuid: fields.uuid("volumeId")?.unwrap_or_else(Uuid::new_v4),
            reserve_percent: percent(fields.integer("reservedSpacePercentage")?)?,
            capacity_gib,
        })
    }

    /// Op 31, D31: at least the source's.
    fn capacity_gib(&self, source: &VolumeRecord) -> Result<u64, Failure> {
        let least = source.size.capacity_gib;
        match self.capacity_gib.unwrap_or(least) {
            gib if gib < least => {
                let why = format!("capacity must be at least the source's {least} GiB");
                Err(Failure::new(Code::InvalidSize, why))
            }
            gib => Ok(gib),
        }
    }
}

/// Op 31. What the source holds now, in a volume of its own that owes nothing to it afterwards (D31).
#[utoipa::path(post, path = "/clone_volume", tag = "Volumes", summary = "Copy a volume",
    request_body = VolumeClone,
    responses((status = 200, body = Answer<Created>, description = "done")))]
pub(crate) async fn clone(State(app): State<SharedApp>, tenant: Tenant, JsonBody(body): JsonBody) -> Reply {
    let request = CloneRequest::parse(&body)?;
    let uuid = request.uuid;
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| make(&this, tenant.id(), &request)).await }).await?;
    Ok(created(uuid))
}

async fn make(app: &App, tenant: &str, request: &CloneRequest) -> Result<(), ApiError> {
    let uuid = request.uuid;
    let Some(source) = parse_uuid(&request.source) else { return Err(not_exists(&request.source).into()) };
    let _locks = app.volume_locks.lock_all([source, uuid]).await;
    let Some(source) = settled(app, tenant, &request.source).await? else {
        return Err(not_exists(&request.source).into());
    };
    let replica = only_copy(&source.value)?;
    refuse_taken(app, tenant, uuid, &request.alias).await?;
    let capacity_gib = request.capacity_gib(&source.value)?;
    let floor = reserve_floor_gib(app, &app.observe().await).await?;
    let whole = Size { capacity_gib, reserved_bytes: 0 }.capacity_bytes();
    let size = Size { capacity_gib, reserved_bytes: thin_reserve(whole, request.reserve_percent, floor) };
    let record = record(&source.value, replica, request, size);
    let spec = CloneSpec {
        uuid,
        source: replica.uuid,
        size_bytes: size.capacity_bytes(),
        reserved_bytes: size.reserved_bytes,
    };
    let mut admission = admit(app, tenant, Reserved::of(&record)).await?;
    // The source must not be deleted before the node has the clone.
    admission.change = admission.change.rest_on(&source);
    let node = app.nodes.of(&replica.backend)?;
    create_as(app, record, admission, node.clone_volume(spec)).await
}

/// Inherits the source's class, limits and backend; writable even if the source is not.
fn record(source: &VolumeRecord, copy: &Replica, request: &CloneRequest, size: Size) -> VolumeRecord {
    VolumeRecord {
        uuid: request.uuid,
        alias: request.alias.clone(),
        tenant_id: source.tenant_id.clone(),
        size,
        provisioning: Provisioning::Other,
        reserve_percent: request.reserve_percent,
        protocol: source.protocol,
        class: source.class.clone(),
        replicas: vec![Replica::new(request.uuid, &copy.backend, now_ms())],
        snapshot: None,
        read_only: false,
        published_to: BTreeSet::new(),
        phase: Phase::Creating,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::volume::tests::volume;

    fn parse(body: Value) -> Result<CloneRequest, Failure> {
        CloneRequest::parse(body.as_object().unwrap())
    }

    #[test]
    fn what_cinder_sends() {
        let request = parse(json!({"alias": "volume-2", "capacity": 3, "reservedSpacePercentage": null,
            "sourceVolumeId": "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
            "volumeId": "6ba7b810-9dad-41d1-80b4-00c04fd430c9"}));
        let request = request.unwrap();
        assert_eq!((request.reserve_percent, request.capacity_gib), (0, Some(3)));
        assert_eq!(request.uuid.to_string(), "6ba7b810-9dad-41d1-80b4-00c04fd430c9");
    }

    #[test]
    fn each_wrong_field_is_named() {
        let wrong = [
            ("alias", json!({"alias": ""})),
            ("sourceVolumeId", json!({"sourceVolumeId": null})),
            ("volumeId", json!({"volumeId": "x"})),
            ("capacity", json!({"capacity": 0})),
            ("capacity", json!({"capacity": "3"})),
            ("reservedSpacePercentage", json!({"reservedSpacePercentage": 101})),
        ];
        for (field, change) in wrong {
            let mut body = json!({"alias": "a", "sourceVolumeId": "s"});
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let failure = parse(body).unwrap_err();
            assert_eq!(failure.code, Code::InvalidInput, "{change}");
            assert!(failure.description.starts_with(field), "{}", failure.description);
        }
    }

    #[test]
    fn never_smaller_than_the_source() {
        for (capacity, gib) in
            [(json!(null), Some(5)), (json!(5), Some(5)), (json!(9), Some(9)), (json!(4), None)]
        {
            let request = parse(json!({"alias": "a", "sourceVolumeId": "s", "capacity": capacity})).unwrap();
            let found = request.capacity_gib(&volume(1, 5));
            assert_eq!(found.as_ref().ok().copied(), gib, "{capacity}");
            assert!(found.is_ok() || found.unwrap_err().code == Code::InvalidSize);
        }
    }
}
