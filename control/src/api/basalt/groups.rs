//! POST snapshot-groups: snapshots of several volumes at one instant.

use std::collections::HashSet;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::BasaltError;
use crate::{
    api::{snapshots::take, tenants::Tenant},
    app::{SharedApp, retry},
    envelope::{ApiError, Code, Failure},
    fields::{Fields, parse_uuid},
    limits,
    model::{reserve::percent, snapshot::Wanted},
    openapi::bodies::SnapshotGroupCreate,
    request::JsonBody,
};

/// All of them or none, answered in the order of the request's volumes. Each is an ordinary snapshot afterwards;
/// they share alias and timestamp.
#[utoipa::path(post, path = "/snapshot-groups", tag = "Snapshots", summary = "Take snapshots of several volumes at one instant",
    request_body = SnapshotGroupCreate,
    responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn create(
    State(app): State<SharedApp>,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let body = body?.0;
    let wanted = parse(&body)?;
    let tenant_id = Fields::new(&body).text("tenantId", limits::NAME_CHARS)?.unwrap_or_default();
    let tenant = Tenant::find(&app, tenant_id).await?;
    let taken: Vec<Value> = wanted
        .iter()
        .map(|w| json!({ "snapshotID": w.snapshot, "volumeID": w.volume, "alias": w.alias }))
        .collect();
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| take(&this, tenant.id(), &wanted)).await }).await?;
    Ok((StatusCode::CREATED, Json(json!({ "snapshots": taken }))).into_response())
}

fn parse(body: &Map<String, Value>) -> Result<Vec<Wanted>, Failure> {
    let fields = Fields::new(body);
    let alias = fields.label("alias", limits::NAME_CHARS)?;
    let alias = fields.require("alias", alias)?;
    let reserve_percent = percent(fields.integer("reservedSpacePercentage")?)?;
    let volumes = fields.require("volumes", fields.texts("volumes")?)?;
    if !(1..=limits::GROUP).contains(&volumes.len()) {
        return Err(Failure::of_field("volumes", format!("must have 1 to {} members", limits::GROUP)));
    }
    let mut seen = HashSet::new();
    let mut wanted = Vec::with_capacity(volumes.len());
    for volume in volumes {
        let Some(uuid) = parse_uuid(&volume) else {
            return Err(Failure::new(Code::NotExists, format!("there is no volume {volume:?}")));
        };
        if !seen.insert(uuid) {
            return Err(Failure::of_field("volumes", format!("names {uuid} twice")));
        }
        let snapshot = Uuid::new_v4();
        wanted.push(Wanted { volume: uuid, snapshot, alias: alias.to_owned(), reserve_percent });
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_field_is_named() {
        let (a, b) = ("6ba7b810-9dad-41d1-80b4-00c04fd430c8", "6BA7B810-9DAD-41D1-80B4-00C04FD430C8");
        let wrong = [
            ("alias", json!({"volumes": [a]})),
            ("volumes", json!({"alias": "a"})),
            ("volumes", json!({"alias": "a", "volumes": a})),
            ("volumes", json!({"alias": "a", "volumes": []})),
            ("volumes", json!({"alias": "a", "volumes": [a, b]})),
            ("volumes", json!({"alias": "a", "volumes": vec![a; limits::GROUP + 1]})),
            (
                "reservedSpacePercentage",
                json!({"alias": "a", "volumes": [a], "reservedSpacePercentage": 101}),
            ),
        ];
        for (field, body) in wrong {
            let failure = parse(body.as_object().unwrap()).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(field), "{body}");
        }
        let unknown = parse(json!({"alias": "a", "volumes": ["x"]}).as_object().unwrap()).unwrap_err();
        assert_eq!(unknown.code, Code::NotExists);
    }
}
