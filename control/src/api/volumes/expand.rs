//! PATCH volumes/{id}.

use axum::extract::State;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    not_exists,
    record::{reserve_floor_gib, settled},
};
use crate::{
    api::tenants::{Admission, Tenant, admit},
    app::{App, Observed, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::{Fields, LARGEST, parse_uuid, whole},
    model::{
        GIB,
        backend::space,
        replica::Replica,
        reserve::thin_reserve,
        volume::{Phase, Provisioning, Reserved, Size, VolumeRecord},
    },
    openapi::{Status, bodies::VolumeExpand},
    reconcile::finish_expand,
    request::{JsonBody, Params},
};

/// Op 19. Online; published hosts see the new size by themselves.
#[utoipa::path(patch, path = "/volumes/{id}", tag = "Volumes", summary = "Enlarge a volume",
    request_body = VolumeExpand,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn expand(
    State(app): State<SharedApp>,
    tenant: Tenant,
    params: Params,
    JsonBody(body): JsonBody,
) -> Reply {
    let capacity_gib = new_capacity_gib(&body)?;
    let id = params.get("id").to_owned();
    let Some(uuid) = parse_uuid(&id) else { return Err(not_exists(&id).into()) };
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| enlarge(&this, tenant.id(), uuid, capacity_gib)).await }).await?;
    Ok(success())
}

/// A number, or a string that holds one: Cinder sends the latter.
fn new_capacity_gib(body: &Map<String, Value>) -> Result<u64, Failure> {
    let fields = Fields::new(body);
    let given = fields.require("newCapacity", fields.raw("newCapacity"))?;
    let number = match given {
        Value::String(text) => text.parse().ok(),
        other => whole(other),
    };
    match number {
        Some(gib) if (1..=LARGEST / GIB).contains(&gib) => Ok(gib),
        _ => {
            let why = format!("newCapacity must be a whole number of GiB from 1 to {}", LARGEST / GIB);
            Err(Failure::new(Code::InvalidSize, why))
        }
    }
}

async fn enlarge(app: &App, tenant: &str, uuid: Uuid, capacity_gib: u64) -> Result<(), ApiError> {
    let _lock = app.volume_locks.lock(uuid).await;
    let Some(mut volume) = settled(app, tenant, &uuid.to_string()).await? else {
        return Err(not_exists(&uuid.to_string()).into());
    };
    if volume.value.snapshot.is_some() || volume.value.read_only {
        return Err(Failure::invalid("a volume that shows a snapshot keeps the snapshot's size").into());
    }
    let old = volume.value.size;
    if capacity_gib <= old.capacity_gib {
        let why = format!("newCapacity must be more than the present {} GiB", old.capacity_gib);
        return Err(Failure::new(Code::InvalidSize, why).into());
    }
    let observed = app.observe().await;
    let whole = capacity_gib * GIB;
    let reserved_bytes = match volume.value.provisioning {
        Provisioning::Thick => whole,
        Provisioning::Thin | Provisioning::Other => {
            let floor = reserve_floor_gib(app, &observed).await?;
            // Derived anew from the request's percentage, but never less than was promised.
            thin_reserve(whole, volume.value.reserve_percent, floor).max(old.reserved_bytes)
        }
    };
    let to = Size { capacity_gib, reserved_bytes };
    check_copies(&volume.value, to, &observed)?;
    let expanded = format!("expanded volume {} to {capacity_gib} GiB", volume.value.alias);
    let before = Reserved::of(&volume.value);
    volume.value.enter(Phase::Expanding { to });
    let Admission { change, turn } = admit(app, tenant, Reserved::of(&volume.value).minus(before)).await?;
    let volume = app.state.update_and(volume, change).await?;
    drop(turn);
    finish_expand(app, volume, to).await?;
    app.events.add(Kind::VolumeExpanded, uuid, expanded).await;
    Ok(())
}

/// All copies grow, so every node has to be there, and none may lack what can be known to be needed.
fn check_copies(volume: &VolumeRecord, to: Size, observed: &Observed) -> Result<(), Failure> {
    let more_bytes = to.reserved_bytes.saturating_sub(volume.size.reserved_bytes);
    for Replica { backend, .. } in volume.replicas.iter().filter(|r| !r.is_lost()) {
        if !observed.is_available(backend) {
            return Err(Failure::new(Code::NotAvailable, format!("backend {backend} is unavailable")));
        }
        let free_bytes = space(observed.drives_of(backend)).available_bytes;
        if free_bytes < more_bytes {
            let why = format!("backend {backend} has {free_bytes} bytes free, {more_bytes} more are needed");
            return Err(Failure::new(Code::NoFreeSpace, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_or_a_numeric_string() {
        let read = |value: Value| {
            new_capacity_gib(json!({ "newCapacity": value }).as_object().unwrap()).map_err(|f| f.code)
        };
        assert_eq!((read(json!(12)), read(json!("12"))), (Ok(12), Ok(12)));
        for wrong in [json!(0), json!(-1), json!("x"), json!(""), json!(1.5), json!([12]), json!(1u64 << 60)]
        {
            assert_eq!(read(wrong.clone()), Err(Code::InvalidSize), "{wrong}");
        }
        assert_eq!(read(json!(null)), Err(Code::InvalidInput));
    }
}
