//! Backends (provisioner §2): the node in this process, those that have joined, and those of other makes, which tell of
//! themselves.

mod add;
mod probe;
mod remove;
mod view;

use axum::extract::State;
use serde_json::{Map, Value};

use crate::{
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    fields::Fields,
    limits,
    model::backend::BackendRecord,
    openapi::{Status, bodies::BackendUpdate},
    request::{JsonBody, Params},
    state::Stored,
    store::StoreError,
};

pub(crate) use self::{add::*, probe::*, remove::*, view::*};

/// Every backend that is registered.
pub(crate) async fn backends(app: &App) -> Result<Vec<Stored<BackendRecord>>, StoreError> {
    app.state.list().await
}

/// persistentID of a backend that is Unavailable, if one is.
pub(crate) async fn first_unavailable(app: &App) -> Result<Option<String>, StoreError> {
    let (all, observed, now) = (backends(app).await?, app.observe().await, now_ms());
    let found = all.into_iter().map(|b| b.value).find(|b| !b.is_available(&observed, now));
    Ok(found.map(|backend| backend.persistent_id))
}

/// Op 2.
#[utoipa::path(put, path = "/backends/{id}", tag = "Backends", summary = "Say where a storage node stands",
    request_body = BackendUpdate,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn update(State(app): State<SharedApp>, params: Params, JsonBody(body): JsonBody) -> Reply {
    let change = BackendChange::parse(&body)?;
    let id = params.get("id").to_owned();
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| apply(&this, &id, &change)).await }).await?;
    Ok(success())
}

/// Absent is unchanged, `""` clears (D11).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct BackendChange {
    rack: Option<String>,
    zone: Option<String>,
    region: Option<String>,
    host_id: Option<String>,
    in_use: Option<bool>,
    mgmt_port: Option<u16>,
}

impl BackendChange {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let location = |name: &str| match fields.text(name, usize::MAX)? {
            Some(text) if text.chars().count() > limits::NAME_CHARS => Err(Failure::new(
                Code::InvalidLocationValue,
                format!("{name} must have at most {} characters", limits::NAME_CHARS),
            )),
            text => Ok(text.map(str::to_owned)),
        };
        Ok(Self {
            rack: location("rack")?,
            zone: location("zone")?,
            region: location("region")?,
            host_id: fields.text("hostId", limits::NAME_CHARS)?.map(str::to_owned),
            in_use: fields.truth("inUse")?,
            mgmt_port: match fields.whole("mgmtPort")? {
                None => None,
                Some(port) => match u16::try_from(port) {
                    Ok(port @ 1..) => Some(port),
                    _ => return Err(Failure::invalid("mgmtPort must be from 1 to 65535")),
                },
            },
        })
    }

    fn apply(&self, record: &mut BackendRecord) {
        let fields = [
            (&self.rack, &mut record.rack),
            (&self.zone, &mut record.zone),
            (&self.region, &mut record.region),
            (&self.host_id, &mut record.host_id),
        ];
        for (new, field) in fields {
            if let Some(new) = new {
                *field = Some(new.clone()).filter(|text| !text.is_empty());
            }
        }
        record.in_use = self.in_use.unwrap_or(record.in_use);
        record.mgmt_port = self.mgmt_port.or(record.mgmt_port);
    }
}

async fn apply(app: &App, id: &str, change: &BackendChange) -> Result<(), ApiError> {
    let all = backends(app).await?;
    refuse_host_id(&all, id, change)?;
    let Some(mut backend) = all.into_iter().find(|b| b.value.persistent_id == id) else {
        return Err(Failure::new(Code::NotExists, format!("there is no backend {id:?}")).into());
    };
    change.apply(&mut backend.value);
    app.state.update(backend).await?;
    Ok(())
}

/// A host is on one backend.
fn refuse_host_id(all: &[Stored<BackendRecord>], id: &str, change: &BackendChange) -> Result<(), Failure> {
    let Some(host_id) = change.host_id.as_deref().filter(|host_id| !host_id.is_empty()) else {
        return Ok(());
    };
    let is_other = |b: &Stored<BackendRecord>| {
        b.value.persistent_id != id && b.value.host_id.as_deref() == Some(host_id)
    };
    if all.iter().any(is_other) {
        let why = format!("another backend has the hostId {host_id:?}");
        return Err(Failure::new(Code::BackendWithHostIdAlreadyExists, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<BackendChange, Failure> {
        BackendChange::parse(body.as_object().unwrap())
    }

    #[test]
    fn null_keeps_and_the_empty_string_clears() {
        let mut record = BackendRecord::new("02:00:00:00:00:01");
        parse(json!({"rack": "r", "Zone": "z", "inUse": false, "mgmtPort": 443})).unwrap().apply(&mut record);
        let set = record.clone();
        assert_eq!((set.rack.as_deref(), set.zone.as_deref(), set.in_use), (Some("r"), Some("z"), false));
        parse(json!({"rack": null, "zone": null, "region": null, "inUse": null, "hostId": null}))
            .unwrap()
            .apply(&mut record);
        assert_eq!(record, set);
        parse(json!({"rack": ""})).unwrap().apply(&mut record);
        assert_eq!((record.rack, record.zone), (None, Some("z".to_owned())));
    }

    #[test]
    fn wrong_values_are_refused() {
        let long = "x".repeat(256);
        assert_eq!(parse(json!({"rack": long})).unwrap_err().code, Code::InvalidLocationValue);
        for wrong in
            [json!({"mgmtPort": 0}), json!({"mgmtPort": 65536}), json!({"inUse": "yes"}), json!({"rack": 5})]
        {
            assert_eq!(parse(wrong.clone()).unwrap_err().code, Code::InvalidInput, "{wrong}");
        }
    }
}
