//! POST snapshot_volumes: a volume that shows a snapshot.

use std::collections::BTreeSet;

use axum::extract::State;
use dataplane::node::SnapshotVolumeSpec;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{find, not_exists};
use crate::{
    api::{
        tenants::{Tenant, admit},
        volumes::{create_as, refuse_taken, reserve_floor_gib},
    },
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Failure, Reply, created},
    fields::{Fields, parse_uuid},
    limits,
    model::{
        replica::Replica,
        reserve::{percent, thin_reserve},
        snapshot::{SnapshotPhase, SnapshotRecord},
        volume::{Phase, Protocol, Provisioning, Reserved, Size, StorageClass, VolumeRecord},
    },
    openapi::{Answer, Created, bodies::SnapshotVolumeCreate},
    request::JsonBody,
};

/// What a request for a snapshot volume asks for.
#[derive(Debug, PartialEq, Eq)]
struct SnapshotVolumeRequest {
    snapshot: String,
    alias: String,
    uuid: Uuid,
    writable: bool,
    /// Of a writable one; 0 is the default.
    reserve_percent: u64,
    protocol: Protocol,
    class_name: Option<String>,
    max_iops_per_gib: u64,
    max_bytes_per_second_per_gib: u64,
    allow_span: bool,
}

impl SnapshotVolumeRequest {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let alias = fields.label("alias", limits::NAME_CHARS)?;
        let snapshot = fields.text("snapshotID", limits::NAME_CHARS)?;
        let writable = fields.truth("writable")?.unwrap_or(false);
        let reserve = fields.integer("reservedSpacePercentage")?;
        let protocol =
            fields.word("protocol", &[("NVMeoF", Protocol::Nvmeof), ("Local", Protocol::Local)])?;
        let class_name = fields.text("storageClassName", limits::NAME_CHARS)?;
        Ok(Self {
            alias: fields.require("alias", alias)?.to_owned(),
            snapshot: fields.require("snapshotID", snapshot)?.to_owned(),
            uuid: fields.uuid("volumeID")?.unwrap_or_else(Uuid::new_v4),
            writable,
            reserve_percent: if writable { percent(reserve)? } else { 0 },
            protocol: protocol.unwrap_or(Protocol::Nvmeof),
            class_name: class_name.filter(|name| !name.is_empty()).map(str::to_owned),
            max_iops_per_gib: fields.whole("maxIOPSPerGB")?.unwrap_or(0),
            max_bytes_per_second_per_gib: fields.whole("maxBWPerGB")?.unwrap_or(0),
            allow_span: fields.truth("allowSpan")?.unwrap_or(true),
        })
    }

    /// Limits and name are its own, the block size is the snapshot's; it reserves no rates.
    fn class(&self, of_snapshot: &StorageClass) -> StorageClass {
        StorageClass {
            name: self.class_name.clone(),
            max_iops_per_gib: self.max_iops_per_gib,
            max_bytes_per_second_per_gib: self.max_bytes_per_second_per_gib,
            desired_iops_per_gib: 0,
            desired_bytes_per_second_per_gib: 0,
            allow_span: self.allow_span,
            share_ssd: true,
            ..of_snapshot.clone()
        }
    }
}

/// Op 29. Several volumes may show one snapshot (D58).
#[utoipa::path(post, path = "/snapshot_volumes", tag = "Snapshots", summary = "Make a volume that shows a snapshot",
    request_body = SnapshotVolumeCreate,
    responses((status = 200, body = Answer<Created>, description = "done")))]
pub(crate) async fn create(State(app): State<SharedApp>, tenant: Tenant, JsonBody(body): JsonBody) -> Reply {
    let request = SnapshotVolumeRequest::parse(&body)?;
    let uuid = request.uuid;
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| make(&this, tenant.id(), &request)).await }).await?;
    Ok(created(uuid))
}

/// The other spelling (D3).
#[utoipa::path(post, path = "/snapshot_volume", tag = "Snapshots", summary = "The same as /snapshot_volumes",
    request_body = SnapshotVolumeCreate,
    responses((status = 200, body = Answer<Created>, description = "done")))]
pub(crate) async fn create_too(app: State<SharedApp>, tenant: Tenant, body: JsonBody) -> Reply {
    create(app, tenant, body).await
}

async fn make(app: &App, tenant: &str, request: &SnapshotVolumeRequest) -> Result<(), ApiError> {
    let uuid = request.uuid;
    let Some(snapshot) = parse_uuid(&request.snapshot) else {
        return Err(not_exists(&request.snapshot).into());
    };
    let _volume = app.volume_locks.lock(uuid).await;
    let _snapshot = app.snapshot_locks.lock(snapshot).await;
    let found = find(app, tenant, &request.snapshot).await?;
    let Some(snapshot) = found.filter(|s| s.value.phase == SnapshotPhase::Ready) else {
        return Err(not_exists(&request.snapshot).into());
    };
    refuse_taken(app, tenant, uuid, &request.alias).await?;
    let whole = snapshot.value.size.capacity_bytes();
    let reserved_bytes = match request.writable {
        true => {
            let floor = reserve_floor_gib(app, &app.observe().await).await?;
            thin_reserve(whole, request.reserve_percent, floor)
        }
        false => 0,
    };
    let size = Size { reserved_bytes, ..snapshot.value.size };
    let spec = SnapshotVolumeSpec {
        uuid,
        snapshot: snapshot.value.uuid,
        writable: request.writable,
        size_bytes: whole,
        reserved_bytes,
    };
    let record = record(&snapshot.value, request, size);
    let mut admission = admit(app, tenant, Reserved::of(&record)).await?;
    // Written unchanged, so that a deletion that has not seen this volume fails and looks again.
    admission.change = admission.change.replace(&snapshot);
    let node = app.nodes.of(&snapshot.value.replica.backend)?;
    create_as(app, record, admission, node.create_snapshot_volume(spec)).await
}

fn record(snapshot: &SnapshotRecord, request: &SnapshotVolumeRequest, size: Size) -> VolumeRecord {
    VolumeRecord {
        uuid: request.uuid,
        alias: request.alias.clone(),
        tenant_id: snapshot.tenant_id.clone(),
        size,
        provisioning: Provisioning::Other,
        reserve_percent: request.reserve_percent,
        protocol: request.protocol,
        class: request.class(&snapshot.class),
        replicas: vec![Replica::new(request.uuid, &snapshot.replica.backend, now_ms())],
        snapshot: Some(snapshot.uuid),
        read_only: !request.writable,
        published_to: BTreeSet::new(),
        phase: Phase::Creating,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{envelope::Code, model::volume::tests::class};

    fn parse(body: Value) -> Result<SnapshotVolumeRequest, Failure> {
        SnapshotVolumeRequest::parse(body.as_object().unwrap())
    }

    #[test]
    fn what_cinder_sends() {
        let request =
            parse(json!({"alias": "volume-3", "allowSpan": true, "maxBWPerGB": 0, "maxIOPSPerGB": 0,
            "protocol": "NVMeoF", "reservedSpacePercentage": 0,
            "snapshotID": "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
            "volumeID": "6ba7b810-9dad-41d1-80b4-00c04fd430c9", "writable": false}));
        let request = request.unwrap();
        assert!(!request.writable && request.allow_span);
        assert_eq!(request.uuid.to_string(), "6ba7b810-9dad-41d1-80b4-00c04fd430c9");
    }

    #[test]
    fn each_wrong_field_is_named() {
        let wrong = [
            ("alias", json!({"alias": ""})),
            ("snapshotID", json!({"snapshotID": null})),
            ("volumeID", json!({"volumeID": "x"})),
            ("writable", json!({"writable": "yes"})),
            ("reservedSpacePercentage", json!({"writable": true, "reservedSpacePercentage": 101})),
            ("protocol", json!({"protocol": "iSCSI"})),
            ("maxIOPSPerGB", json!({"maxIOPSPerGB": -1})),
            ("maxBWPerGB", json!({"maxBWPerGB": 0.5})),
            ("allowSpan", json!({"allowSpan": 1})),
        ];
        for (field, change) in wrong {
            let mut body = json!({"alias": "a", "snapshotID": "s"});
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let failure = parse(body).unwrap_err();
            assert_eq!(failure.code, Code::InvalidInput, "{change}");
            assert!(failure.description.starts_with(field), "{}", failure.description);
        }
    }

    #[test]
    fn a_read_only_one_ignores_the_percentage() {
        let body = json!({"alias": "a", "snapshotID": "s", "reservedSpacePercentage": 101});
        assert_eq!(parse(body).unwrap().reserve_percent, 0);
    }

    #[test]
    fn its_class_is_the_snapshots_with_its_own_limits() {
        let request = parse(json!({"alias": "a", "snapshotID": "s", "maxIOPSPerGB": 7})).unwrap();
        let of_snapshot =
            StorageClass { block_bytes: 512, max_iops_per_gib: 9, desired_iops_per_gib: 3, ..class() };
        let expected = StorageClass { block_bytes: 512, max_iops_per_gib: 7, ..class() };
        assert_eq!(request.class(&of_snapshot), expected);
    }
}
