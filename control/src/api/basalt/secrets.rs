//! Secrets of hosts: who has one proves it before its volumes can be read (DH-HMAC-CHAP).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use dataplane::node::{Credentials, DhGroup, HashFunction, Requirement, Secret};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::error::BasaltError;
use crate::{
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure},
    fields::Fields,
    model::{
        host::HostRecord,
        secret::{DH_GROUPS, HASHES, HostSecretRecord},
    },
    openapi::bodies::SecretsPut,
    random, reconcile,
    request::{JsonBody, Params},
    state::{Change, Stored},
};

/// That a host has secrets; never what they are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretsView {
    host_id: String,
    hash: &'static str,
    dh_group: &'static str,
    /// The host may ask the controller to prove itself, too.
    two_way: bool,
    /// Milliseconds since the epoch.
    since: u64,
}

impl From<&HostSecretRecord> for SecretsView {
    fn from(record: &HostSecretRecord) -> Self {
        Self {
            host_id: record.host_id.clone(),
            hash: record.hash_name(),
            dh_group: record.dh_group_name(),
            two_way: record.is_two_way(),
            since: record.since_ms,
        }
    }
}

/// What a body asks for.
#[derive(Debug)]
struct Wanted {
    requirement: Requirement,
    /// Made here: shown in this one answer.
    generated: bool,
}

/// Whether a host has secrets, of which kind, and since when.
#[utoipa::path(get, path = "/hosts/{id}/secrets", tag = "Hosts", summary = "Whether a host has to authenticate",
    responses((status = 200, body = SecretsView, description = "done")))]
pub(crate) async fn get(State(app): State<SharedApp>, params: Params) -> Result<Response, BasaltError> {
    let id = params.get("id");
    host(&app, id).await?;
    let stored = app.state.get::<HostSecretRecord>(id).await?.ok_or_else(|| none(id))?;
    Ok(Json(SecretsView::from(&stored.value)).into_response())
}

/// Sets a host's secrets, or others. They count for new authentications at once; connections that are there go on.
#[utoipa::path(put, path = "/hosts/{id}/secrets", tag = "Hosts", summary = "Make a host authenticate",
    request_body = SecretsPut,
    responses((status = 200, body = Object, description = "with what was generated, which is not shown again")))]
pub(crate) async fn put(
    State(app): State<SharedApp>,
    params: Params,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let id = params.get("id").to_owned();
    let Wanted { requirement, generated } = parse(&body?.0)?;
    let shown = requirement.credentials.clone();
    let this = SharedApp::clone(&app);
    let record = app
        .complete(async move {
            let _lock = this.host_locks.lock(&id).await;
            let record = HostSecretRecord::new(&id, &requirement, &this.seal, now_ms());
            retry(|| store(&this, &record)).await?;
            reconcile::subsystems(&this).await?;
            tracing::info!(host = id, "a host has a new secret");
            Ok(record)
        })
        .await?;
    let mut answer = json!(SecretsView::from(&record));
    if generated {
        answer["hostSecret"] = json!(*shown.host.to_text());
        answer["controllerSecret"] = json!(shown.controller.map(|secret| secret.to_text().to_string()));
    }
    Ok(Json(answer).into_response())
}

async fn store(app: &App, record: &HostSecretRecord) -> Result<(), ApiError> {
    let host = host(app, &record.host_id).await?;
    let stored = app.state.get(&record.host_id).await?;
    // A host that is deleted meanwhile must not leave it to another of its id.
    Ok(app.state.commit(Change::default().set(stored.as_ref(), record).rest_on(&host)).await?)
}

/// From now on the host connects without.
#[utoipa::path(delete, path = "/hosts/{id}/secrets", tag = "Hosts", summary = "Let a host in without a secret",
    responses((status = 200, body = Object, description = "done")))]
pub(crate) async fn delete(State(app): State<SharedApp>, params: Params) -> Result<Response, BasaltError> {
    let id = params.get("id").to_owned();
    let (this, removed) = (SharedApp::clone(&app), id.clone());
    app.complete(async move {
        let _lock = this.host_locks.lock(&id).await;
        retry(|| remove(&this, &id)).await?;
        tracing::info!(host = id, "a host has no secret any more");
        Ok(reconcile::subsystems(&this).await?)
    })
    .await?;
    Ok(Json(json!({ "removed": removed })).into_response())
}

async fn remove(app: &App, id: &str) -> Result<(), ApiError> {
    host(app, id).await?;
    let stored = app.state.get::<HostSecretRecord>(id).await?.ok_or_else(|| none(id))?;
    Ok(app.state.commit(Change::default().remove(&stored)).await?)
}

/// The host of that id.
pub(super) async fn host(app: &App, id: &str) -> Result<Stored<HostRecord>, ApiError> {
    let host = app.state.get::<HostRecord>(id).await?;
    host.ok_or_else(|| Failure::new(Code::NotExists, format!("there is no host {id:?}")).into())
}

fn none(id: &str) -> ApiError {
    Failure::new(Code::NotExists, format!("host {id:?} has no secrets")).into()
}

fn parse(body: &Map<String, Value>) -> Result<Wanted, Failure> {
    let fields = Fields::new(body);
    let hash = fields.word("hash", &HASHES)?.unwrap_or(HashFunction::Sha256);
    // The secrets are random and long, so the smallest group loses nothing but milliseconds.
    let group = fields.word("dhGroup", &DH_GROUPS)?.unwrap_or(DhGroup::Ffdhe2048);
    let generated = fields.truth("generate")?.unwrap_or(false);
    let two_way = fields.truth("twoWay")?;
    let (host, controller) = (secret(&fields, "hostSecret")?, secret(&fields, "controllerSecret")?);
    let generate = || Secret::generate(hash, random::fill);
    let credentials = match (host, controller) {
        (None, None) if generated => {
            let controller = two_way.unwrap_or(false).then(generate);
            Credentials { host: generate(), controller }
        }
        (Some(_), _) if generated => return Err(Failure::of_field("hostSecret", "excludes generate")),
        (_, Some(_)) if generated => return Err(Failure::of_field("controllerSecret", "excludes generate")),
        (None, _) => return Err(Failure::of_field("hostSecret", "is required, or generate")),
        (Some(_), _) if two_way.is_some() => {
            return Err(Failure::of_field(
                "twoWay",
                "goes with generate: else give controllerSecret, or none",
            ));
        }
        // Equal ones would let each side answer the other's challenges with its own.
        (Some(host), Some(controller)) if host == controller => {
            return Err(Failure::of_field("controllerSecret", "must not be the host's"));
        }
        (Some(host), controller) => Credentials { host, controller },
    };
    Ok(Wanted { requirement: Requirement { credentials, hash, group }, generated })
}

/// A secret's text; the refusal says what is wrong and shows none of it.
fn secret(fields: &Fields<'_>, name: &str) -> Result<Option<Secret>, Failure> {
    /// Of the longest key.
    const TEXT_CHARS: usize = 128;
    let text = fields.text(name, TEXT_CHARS)?;
    text.map(|text| {
        Secret::parse(text).map_err(|why| Failure::of_field(name, format!("is no secret: {why}")))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(byte: u8) -> String {
        Secret::generate(HashFunction::Sha512, |key| key.fill(byte)).to_text().to_string()
    }

    #[test]
    fn each_wrong_field_is_named_and_no_secret_shown() {
        let (one, two) = (text(1), text(2));
        let mistyped = one.replacen('B', "C", 1);
        let wrong = [
            ("hostSecret", json!({})),
            ("hostSecret", json!({"generate": false})),
            ("hostSecret", json!({"hostSecret": 7})),
            ("hostSecret", json!({"hostSecret": mistyped})),
            ("hostSecret", json!({"hostSecret": one, "generate": true})),
            ("hostSecret", json!({"controllerSecret": one})),
            ("controllerSecret", json!({"hostSecret": one, "controllerSecret": "x"})),
            ("controllerSecret", json!({"hostSecret": one, "controllerSecret": one})),
            ("controllerSecret", json!({"controllerSecret": two, "generate": true})),
            ("twoWay", json!({"hostSecret": one, "twoWay": true})),
            ("hash", json!({"generate": true, "hash": "md5"})),
            ("dhGroup", json!({"generate": true, "dhGroup": "ffdhe1024"})),
            ("generate", json!({"generate": "yes"})),
        ];
        for (field, body) in wrong {
            let failure = parse(body.as_object().unwrap()).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(field), "{body}");
            assert!(!failure.description.contains("DHHC-1:03:"), "{}", failure.description);
        }
    }

    #[test]
    fn what_is_asked_for_is_what_counts() {
        let parse = |body: Value| parse(body.as_object().unwrap()).unwrap();
        let given = parse(json!({"hostSecret": text(1), "controllerSecret": text(2), "hash": "sha384"}));
        assert_eq!((given.generated, given.requirement.hash), (false, HashFunction::Sha384));
        assert_eq!(*given.requirement.credentials.host.to_text(), text(1));
        let (one, two) = (parse(json!({"generate": true})), parse(json!({"generate": true, "twoWay": true})));
        assert!(one.requirement.credentials.controller.is_none());
        assert!(two.requirement.credentials.controller.is_some());
        assert_ne!(one.requirement.credentials.host, two.requirement.credentials.host, "always another");
        assert_eq!(one.requirement.group, DhGroup::Ffdhe2048);
    }
}
