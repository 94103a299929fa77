//! Keys of hosts for NVMe/TCP over TLS: who has one connects encrypted, and nobody else under its name.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use dataplane::node::{ConfiguredPsk, Nqn, PskHash, RetainedPsk};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{error::BasaltError, secrets::host};
use crate::{
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure},
    fields::Fields,
    model::tls_key::{HASHES, TlsKeyRecord, TlsPolicy},
    openapi::bodies::TlsKeyPut,
    random, reconcile,
    request::{JsonBody, Params},
    state::Change,
};

/// That a host has a key; never what it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TlsKeyView {
    host_id: String,
    /// `sha256` or `sha384`: the key's length, and so the cipher suite.
    hash: &'static str,
    /// `required`: the host gets nothing without TLS; `allowed`: it may connect either way.
    policy: &'static str,
    /// Milliseconds since the epoch.
    since: u64,
}

impl From<&TlsKeyRecord> for TlsKeyView {
    fn from(record: &TlsKeyRecord) -> Self {
        Self {
            host_id: record.host_id.clone(),
            hash: record.hash_name(),
            policy: record.policy.name(),
            since: record.since_ms,
        }
    }
}

/// What a body asks for.
#[derive(Debug)]
struct Wanted {
    /// `None`: the key that is there.
    key: Option<ConfiguredPsk>,
    /// Made here: shown in this one answer.
    generated: bool,
    /// `None`: as it is, or required for a first key.
    policy: Option<TlsPolicy>,
}

/// Whether a host has a key for TLS, of which kind, and since when.
#[utoipa::path(get, path = "/hosts/{id}/tls-keys", tag = "Hosts", summary = "Whether a host connects in TLS",
    responses((status = 200, body = TlsKeyView, description = "done")))]
pub(crate) async fn get(State(app): State<SharedApp>, params: Params) -> Result<Response, BasaltError> {
    let id = params.get("id");
    host(&app, id).await?;
    let stored = app.state.get::<TlsKeyRecord>(id).await?.ok_or_else(|| none(id))?;
    Ok(Json(TlsKeyView::from(&stored.value)).into_response())
}

/// Sets a host's key, or another, or only its policy. It counts for new connections; those that are there go on.
#[utoipa::path(put, path = "/hosts/{id}/tls-keys", tag = "Hosts", summary = "Make a host connect in TLS",
    request_body = TlsKeyPut,
    responses((status = 200, body = Object, description = "with a generated key, which is not shown again")))]
pub(crate) async fn put(
    State(app): State<SharedApp>,
    params: Params,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let id = params.get("id").to_owned();
    let wanted = parse(&body?.0)?;
    let shown = wanted.key.as_ref().filter(|_| wanted.generated).map(ConfiguredPsk::to_interchange);
    let this = SharedApp::clone(&app);
    let record = app
        .complete(async move {
            let _lock = this.host_locks.lock(&id).await;
            let record = retry(|| store(&this, &id, &wanted)).await?;
            reconcile::subsystems(&this).await?;
            tracing::info!(host = id, "a host has a new TLS key or policy");
            Ok(record)
        })
        .await?;
    let mut answer = json!(TlsKeyView::from(&record));
    if let Some(key) = shown {
        answer["key"] = json!(*key);
    }
    Ok(Json(answer).into_response())
}

async fn store(app: &App, id: &str, wanted: &Wanted) -> Result<TlsKeyRecord, ApiError> {
    let host = host(app, id).await?;
    let stored = app.state.get::<TlsKeyRecord>(id).await?;
    let Some(key) = &wanted.key else {
        let mut stored = stored.ok_or_else(|| none(id))?;
        stored.value.policy = wanted.policy.unwrap_or(stored.value.policy);
        let record = stored.value.clone();
        app.state.commit(Change::default().replace(&stored)).await?;
        return Ok(record);
    };
    let nqn = Nqn::new(host.value.nqn.as_str())
        .map_err(|why| Failure::invalid(format!("host {id:?} cannot have a key: {why}")))?;
    let policy = wanted.policy.or(stored.as_ref().map(|stored| stored.value.policy));
    let policy = policy.unwrap_or(TlsPolicy::Required);
    let record = TlsKeyRecord::new(id, &RetainedPsk::new(key, nqn), policy, &app.seal, now_ms());
    // The key is bound to the NQN that the host has now.
    app.state.commit(Change::default().set(stored.as_ref(), &record).rest_on(&host)).await?;
    Ok(record)
}

/// From now on the host connects without.
#[utoipa::path(delete, path = "/hosts/{id}/tls-keys", tag = "Hosts", summary = "Let a host connect without TLS",
    responses((status = 200, body = Object, description = "done")))]
pub(crate) async fn delete(State(app): State<SharedApp>, params: Params) -> Result<Response, BasaltError> {
    let id = params.get("id").to_owned();
    let (this, removed) = (SharedApp::clone(&app), id.clone());
    app.complete(async move {
        let _lock = this.host_locks.lock(&id).await;
        retry(|| remove(&this, &id)).await?;
        tracing::info!(host = id, "a host has no TLS key any more");
        Ok(reconcile::subsystems(&this).await?)
    })
    .await?;
    Ok(Json(json!({ "removed": removed })).into_response())
}

async fn remove(app: &App, id: &str) -> Result<(), ApiError> {
    host(app, id).await?;
    let stored = app.state.get::<TlsKeyRecord>(id).await?.ok_or_else(|| none(id))?;
    Ok(app.state.commit(Change::default().remove(&stored)).await?)
}

fn none(id: &str) -> ApiError {
    Failure::new(Code::NotExists, format!("host {id:?} has no TLS key")).into()
}

fn parse(body: &Map<String, Value>) -> Result<Wanted, Failure> {
    /// Of the longest key.
    const TEXT_CHARS: usize = 128;
    let fields = Fields::new(body);
    let hash = fields.word("hash", &HASHES)?;
    let policy = fields.word("policy", &TlsPolicy::NAMES)?;
    let generated = fields.truth("generate")?.unwrap_or(false);
    let given = fields.text("key", TEXT_CHARS)?;
    let given = given.map(ConfiguredPsk::parse).transpose();
    // The reason shows nothing of the key.
    let given = given.map_err(|why| Failure::of_field("key", format!("is no TLS key: {why}")))?;
    let key = match given {
        Some(_) if generated => return Err(Failure::of_field("key", "excludes generate")),
        None if generated => Some(ConfiguredPsk::generate(hash.unwrap_or(PskHash::Sha256), random::fill)),
        _ if hash.is_some() => {
            return Err(Failure::of_field("hash", "goes with generate: a key says its own"));
        }
        None if policy.is_none() => {
            return Err(Failure::of_field("key", "is required, or generate, or a policy"));
        }
        given => given,
    };
    Ok(Wanted { key, generated, policy })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";

    #[test]
    fn each_wrong_field_is_named_and_no_key_shown() {
        let mistyped = KEY.replacen("VRL", "VRM", 1);
        let wrong = [
            ("key", json!({})),
            ("key", json!({"generate": false})),
            ("key", json!({"key": 7})),
            ("key", json!({"key": mistyped})),
            ("key", json!({"key": KEY, "generate": true})),
            ("hash", json!({"key": KEY, "hash": "sha256"})),
            ("hash", json!({"generate": true, "hash": "sha512"})),
            ("policy", json!({"generate": true, "policy": "off"})),
            ("generate", json!({"generate": "yes"})),
        ];
        for (field, body) in wrong {
            let failure = parse(body.as_object().unwrap()).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(field), "{body}");
            assert!(!failure.description.contains("VRM"), "{}", failure.description);
        }
    }

    #[test]
    fn what_is_asked_for_is_what_counts() {
        let parse = |body: Value| parse(body.as_object().unwrap()).unwrap();
        let given = parse(json!({"key": KEY, "policy": "allowed"}));
        assert_eq!((given.generated, given.policy), (false, Some(TlsPolicy::Allowed)));
        assert_eq!(*given.key.unwrap().to_interchange(), KEY);
        let (one, two) =
            (parse(json!({"generate": true})), parse(json!({"generate": true, "hash": "sha384"})));
        assert!(one.generated && one.policy.is_none());
        assert_ne!(one.key, two.key);
        assert!(two.key.unwrap().to_interchange().starts_with("NVMeTLSkey-1:02:"));
        assert_eq!(parse(json!({"policy": "required"})).key, None);
    }
}
