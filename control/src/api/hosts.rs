//! Hosts (provisioner §4.6).

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    fields::Fields,
    limits,
    model::{
        host::HostRecord, page::Page, secret::HostSecretRecord, target::TargetRecord, tls_key::TlsKeyRecord,
        volume::VolumeRecord,
    },
    openapi::{Answer, Status, bodies::HostProbe},
    reconcile,
    request::{JsonBody, Params, Query},
    state::Change,
    tasks,
};

/// An NQN is at most 223 bytes (Base §4.7).
const NQN_BYTES: usize = 223;

/// The contract's Host object.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HostView {
    uuid: String,
    name: String,
    nqn: String,
    client_type: String,
    state: &'static str,
    version: String,
    last_prob_time: u64,
    duration: u64,
    multipath: bool,
    used_namespaces_ids: Vec<u64>,
}

impl HostView {
    fn new(host: HostRecord, now_ms: u64) -> Self {
        Self {
            state: if host.is_available(now_ms) { "Available" } else { "Unavailable" },
            uuid: host.id,
            name: host.name,
            nqn: host.nqn,
            client_type: host.client_type,
            version: host.version,
            last_prob_time: host.last_probe_ms,
            duration: host.duration_seconds,
            multipath: host.multipath,
            used_namespaces_ids: host.used_namespace_ids,
        }
    }
}

/// Op 36.
#[utoipa::path(get, path = "/hosts", tag = "Hosts", summary = "List hosts",
    params(("limit" = Option<u64>, Query, description = "at most so many"), ("offset" = Option<u64>, Query, description = "leave out so many"), ("marker" = Option<String>, Query, description = "only those with a larger id"), ("hostName" = Option<String>, Query, description = "only those of that name")),
    responses((status = 200, body = Answer<Vec<HostView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, query: Query) -> Reply {
    let page = Page::parse(query.get("limit"), query.get("offset"), query.get("marker"))?;
    let name = query.get("hostName");
    let hosts = app.state.list::<HostRecord>().await?.into_iter().map(|h| h.value);
    let hosts = page.cut(hosts.filter(|h| name.is_none_or(|n| h.name == n)).collect(), |h| h.id.clone());
    let now = now_ms();
    Ok(Json(hosts.into_iter().map(|h| HostView::new(h, now)).collect::<Vec<_>>()).into_response())
}

/// Op 37. Creates or updates; a new NQN is let in, the old one no longer.
#[utoipa::path(post, path = "/host_probe", tag = "Hosts", summary = "Announce a host",
    request_body = HostProbe,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn probe(State(app): State<SharedApp>, JsonBody(body): JsonBody) -> Reply {
    let host = parse(&body)?;
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _lock = this.host_locks.lock(&host.id).await;
        retry(|| announce(&this, host.clone())).await?;
        Ok(reconcile::subsystems(&this).await?)
    })
    .await?;
    Ok(success())
}

async fn announce(app: &App, host: HostRecord) -> Result<(), ApiError> {
    let stored = app.state.get(&host.id).await?;
    Ok(app.state.commit(Change::default().set(stored.as_ref(), &host)).await?)
}

fn parse(body: &Map<String, Value>) -> Result<HostRecord, Failure> {
    let fields = Fields::new(body);
    let text = |name: &str, longest: usize| fields.require(name, fields.text(name, longest)?);
    let id = fields.require("hostId", fields.label("hostId", limits::NAME_CHARS)?)?;
    let nqn = text("hostNqn", NQN_BYTES)?;
    if nqn.is_empty() || nqn.len() > NQN_BYTES || nqn.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Failure::invalid(format!("hostNqn must have 1 to {NQN_BYTES} bytes and no blanks")));
    }
    let client_type = text("clientType", 32)?;
    if client_type.is_empty() {
        return Err(Failure::invalid("clientType must not be empty"));
    }
    let duration = fields.whole("duration")?;
    Ok(HostRecord {
        id: id.to_owned(),
        name: text("name", limits::NAME_CHARS)?.to_owned(),
        nqn: nqn.to_owned(),
        client_type: client_type.to_owned(),
        version: text("version", limits::NAME_CHARS)?.to_owned(),
        duration_seconds: fields.require("duration", duration)?,
        multipath: fields.truth("multipath")?.unwrap_or(false),
        used_namespace_ids: used_namespaces(fields.raw("usedNamespacesIds"))?,
        last_probe_ms: now_ms(),
    })
}

/// Namespace ids, or one truth value per id from 1 on (§4.6, op 37).
fn used_namespaces(given: Option<&Value>) -> Result<Vec<u64>, Failure> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let wrong = || {
        let why = "usedNamespacesIds must be a list of whole numbers or of truth values";
        Failure::invalid(why)
    };
    let mut used = Vec::new();
    for (nsid, member) in (1..).zip(given.as_array().ok_or_else(wrong)?) {
        match member {
            Value::Bool(true) => used.push(nsid),
            Value::Bool(false) => {}
            other => used.push(other.as_u64().ok_or_else(wrong)?),
        }
    }
    Ok(used)
}

/// Op 38. An Unavailable host goes, and with it all that was published to it.
#[utoipa::path(delete, path = "/hosts/{id}", tag = "Hosts", summary = "Forget a host that is not there",
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn delete(State(app): State<SharedApp>, params: Params) -> Reply {
    let id = params.get("id").to_owned();
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _lock = this.host_locks.lock(&id).await;
        retry(|| remove(&this, &id)).await?;
        tracing::info!(host = id, "deleted a host");
        Ok(reconcile::subsystems(&this).await?)
    })
    .await?;
    Ok(success())
}

/// One transaction, so that no publish slips in between.
async fn remove(app: &App, id: &str) -> Result<(), ApiError> {
    let Some(host) = app.state.get::<HostRecord>(id).await? else {
        return Err(Failure::new(Code::NotExists, format!("there is no host {id:?}")).into());
    };
    if host.value.is_available(now_ms()) {
        let why = format!(
            "host {id:?} is available: its last probe is less than 3 x {} s old",
            host.value.duration_seconds
        );
        return Err(Failure::new(Code::HostAvailable, why).into());
    }
    let mut change = Change::default().remove(&host);
    if let Some(secrets) = app.state.get::<HostSecretRecord>(id).await? {
        change = change.remove(&secrets);
    }
    if let Some(key) = app.state.get::<TlsKeyRecord>(id).await? {
        change = change.remove(&key);
    }
    for target in app.state.list_under::<TargetRecord>(&format!("{id}/")).await? {
        change = change.remove(&target);
    }
    for mut volume in app.state.list::<VolumeRecord>().await? {
        if volume.value.published_to.remove(id) {
            change = tasks::abort_migrations(&app.state, volume.value.uuid, &[id.to_owned()], change).await?;
            change = change.replace(&volume);
        }
    }
    Ok(app.state.commit(change).await?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cinder() -> Value {
        json!({"clientType": "Agent", "duration": 30, "hostId": "h", "hostNqn": "nqn.x", "name": "n",
            "version": "cinder-driver-0.1"})
    }

    #[test]
    fn what_cinder_sends() {
        let host = parse(cinder().as_object().unwrap()).unwrap();
        assert_eq!((host.id.as_str(), host.duration_seconds, host.multipath), ("h", 30, false));
    }

    #[test]
    fn each_missing_or_wrong_field_is_named() {
        for field in ["clientType", "duration", "hostId", "hostNqn", "name", "version"] {
            for wrong in [Value::Null, json!([1])] {
                let mut body = cinder();
                body[field] = wrong;
                let failure = parse(body.as_object().unwrap()).unwrap_err();
                assert!(failure.description.starts_with(field), "{}", failure.description);
            }
        }
        let long = [("clientType", 33), ("hostNqn", 224), ("name", 256)];
        for (field, length) in long {
            let mut body = cinder();
            body[field] = json!("x".repeat(length));
            assert!(parse(body.as_object().unwrap()).is_err(), "{field}");
        }
    }

    #[test]
    fn used_namespaces_in_both_forms() {
        assert_eq!(used_namespaces(Some(&json!([true, false, true]))), Ok(vec![1, 3]));
        assert_eq!(used_namespaces(Some(&json!([4, 9]))), Ok(vec![4, 9]));
        assert_eq!(used_namespaces(None), Ok(vec![]));
        assert!(used_namespaces(Some(&json!(["1"]))).is_err());
    }
}
