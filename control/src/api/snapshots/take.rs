//! POST snapshots, and what it shares with snapshots of several volumes.

use axum::extract::State;
use dataplane::node::SnapshotSpec;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    api::{
        tenants::{Admission, Tenant, admit},
        volumes::{self, only_copy, refuse_taken_uuid, reserve_floor_gib, settled},
    },
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Failure, Reply, created},
    events::Kind,
    fields::{Fields, parse_uuid},
    limits,
    model::{
        reserve::{percent, thin_reserve},
        snapshot::{SnapshotPhase, SnapshotRecord, Wanted},
        volume::{Reserved, VolumeRecord},
    },
    openapi::{Answer, Created, bodies::SnapshotCreate},
    reconcile::undo_take,
    request::JsonBody,
    state::Stored,
};

/// Op 24.
#[utoipa::path(post, path = "/snapshots", tag = "Snapshots", summary = "Take a snapshot",
    request_body = SnapshotCreate,
    responses((status = 200, body = Answer<Created>, description = "done")))]
pub(crate) async fn create(State(app): State<SharedApp>, tenant: Tenant, JsonBody(body): JsonBody) -> Reply {
    let wanted = parse(&body)?;
    let snapshot = wanted.snapshot;
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| take(&this, tenant.id(), std::slice::from_ref(&wanted))).await })
        .await?;
    Ok(created(snapshot))
}

fn parse(body: &Map<String, Value>) -> Result<Wanted, ApiError> {
    let fields = Fields::new(body);
    let alias = fields.label("alias", limits::NAME_CHARS)?;
    let alias = fields.require("alias", alias)?.to_owned();
    let volume = fields.require("volumeID", fields.text("volumeID", limits::NAME_CHARS)?)?;
    let snapshot = fields.uuid("snapshotID")?.unwrap_or_else(Uuid::new_v4);
    let reserve_percent = percent(fields.integer("reservedSpacePercentage")?)?;
    // Last: a volume that is no UUID cannot exist, which is not a syntax error.
    let volume = parse_uuid(volume).ok_or_else(|| volumes::not_exists(volume))?;
    Ok(Wanted { volume, snapshot, alias, reserve_percent })
}

/// Takes snapshots of volumes at one instant, all or none: the intents are recorded, the node takes them, the
/// records become Ready. Tried again from the beginning if it lost a race (`Conflict`).
pub(crate) async fn take(app: &App, tenant: &str, wanted: &[Wanted]) -> Result<(), ApiError> {
    let _volumes = app.volume_locks.lock_all(wanted.iter().map(|w| w.volume)).await;
    let _snapshots = app.snapshot_locks.lock_all(wanted.iter().map(|w| w.snapshot)).await;
    let sources = sources(app, tenant, wanted).await?;
    for one in wanted {
        refuse_taken_uuid(app, one.snapshot).await?;
    }
    let node = app.nodes.of(common_backend(&sources)?)?;
    let floor_gib = reserve_floor_gib(app, &app.observe().await).await?;
    let now = now_ms();
    let mut records = Vec::with_capacity(wanted.len());
    for (one, volume) in wanted.iter().zip(&sources) {
        let reserved = thin_reserve(volume.value.size.capacity_bytes(), one.reserve_percent, floor_gib);
        let copy = only_copy(&volume.value)?;
        records.push(SnapshotRecord::of(&volume.value, copy, one, reserved, now));
    }
    let more = records.iter().map(|r| Reserved::bytes(r.size.reserved_bytes));
    let Admission { mut change, turn } =
        admit(app, tenant, more.fold(Reserved::default(), Reserved::plus)).await?;
    for (one, volume) in wanted.iter().zip(&sources) {
        // Written unchanged, so that a deletion that has not seen this snapshot fails and looks again.
        change = change.replace(volume).absent::<VolumeRecord>(&one.snapshot.to_string());
    }
    let specs = records.iter().map(|r| SnapshotSpec { volume: r.replica.uuid, snapshot: r.uuid }).collect();
    let stored = app.state.create_all(records, change).await?;
    drop(turn);
    match node.create_snapshots(specs).await {
        Ok(_) => finish(app, stored).await,
        Err(error) => {
            for snapshot in stored {
                undo_take(app, snapshot).await?;
            }
            Err(error.into())
        }
    }
}

/// A node holds the writes of its own volumes together, not those of others.
fn common_backend(sources: &[Stored<VolumeRecord>]) -> Result<&str, Failure> {
    let mut backends = sources.iter().flat_map(|v| &v.value.replicas).map(|r| r.backend.as_str());
    let first = backends.next().unwrap_or_default();
    match backends.find(|other| *other != first) {
        None => Ok(first),
        Some(other) => {
            Err(Failure::invalid(format!("the volumes lie on several storage nodes, {first} and {other}")))
        }
    }
}

/// The volumes, in the order of what is wanted of them; all simple ones.
async fn sources(app: &App, tenant: &str, wanted: &[Wanted]) -> Result<Vec<Stored<VolumeRecord>>, ApiError> {
    let mut sources = Vec::with_capacity(wanted.len());
    for one in wanted {
        let id = one.volume.to_string();
        let source = settled(app, tenant, &id).await?.ok_or_else(|| volumes::not_exists(&id))?;
        only_copy(&source.value)?;
        sources.push(source);
    }
    Ok(sources)
}

async fn finish(app: &App, mut snapshots: Vec<Stored<SnapshotRecord>>) -> Result<(), ApiError> {
    for snapshot in &mut snapshots {
        snapshot.value.enter(SnapshotPhase::Ready);
    }
    app.state.update_all(&snapshots).await?;
    for SnapshotRecord { uuid, volume, alias, .. } in snapshots.iter().map(|s| &s.value) {
        let taken = format!("took snapshot {alias} of volume {volume}");
        app.events.add(Kind::SnapshotCreated, uuid, taken).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::envelope::Code;

    fn parse(body: Value) -> Result<Wanted, Failure> {
        match super::parse(body.as_object().unwrap()) {
            Ok(wanted) => Ok(wanted),
            Err(ApiError::Domain(failure)) => Err(failure),
            Err(other) => panic!("{other:?}"),
        }
    }

    const VOLUME: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

    #[test]
    fn what_cinder_sends() {
        let wanted = parse(json!({"alias": "snapshot-1", "reservedSpacePercentage": 0,
            "snapshotID": "6BA7B810-9DAD-41D1-80B4-00C04FD430C9", "volumeID": VOLUME}));
        let wanted = wanted.unwrap();
        assert_eq!((wanted.volume.to_string().as_str(), wanted.reserve_percent), (VOLUME, 0));
        assert_eq!(wanted.snapshot.to_string(), "6ba7b810-9dad-41d1-80b4-00c04fd430c9");
    }

    #[test]
    fn each_wrong_field_is_named() {
        let wrong = [
            ("alias", json!({"alias": "a/b"})),
            ("alias", json!({"alias": null})),
            ("volumeID", json!({"volumeID": null})),
            ("volumeID", json!({"volumeID": 5})),
            ("snapshotID", json!({"snapshotID": "5"})),
            ("reservedSpacePercentage", json!({"reservedSpacePercentage": -1})),
        ];
        for (field, change) in wrong {
            let mut body = json!({"alias": "a", "volumeID": VOLUME});
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let failure = parse(body).unwrap_err();
            assert_eq!(failure.code, Code::InvalidInput, "{change}");
            assert!(failure.description.starts_with(field), "{}", failure.description);
        }
        let no_uuid = parse(json!({"alias": "a", "volumeID": "x"})).unwrap_err();
        assert_eq!(no_uuid.code, Code::NotExists);
    }
}
