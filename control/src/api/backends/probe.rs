//! POST probe: what a storage node of another make tells of itself, and what it is told (op 7, D13 to D16).

mod parse;

use std::net::SocketAddr;

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;

use self::parse::Probing;
use super::{BackendChange, backends, refuse_host_id};
use crate::{
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Failure, Reply},
    events::Kind,
    license::License,
    limits,
    model::{backend::BackendRecord, node::NodeRecord},
    oidc::{KeySource, OidcConfig},
    openapi::{Answer, bodies::BackendProbe},
    request::JsonBody,
    state::{Change, Stored},
    store::StoreError,
};

/// `{S}`, and what the node shall know of its provisioner.
#[derive(Debug, Serialize, ToSchema)]
struct ProbeAnswer {
    status: &'static str,
    description: &'static str,
    provisioner: ProvisionerView,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProvisionerView {
    in_use: bool,
    /// At most 16 letters, digits, `-` and `_`.
    name: String,
    /// Seconds, as the node has it.
    push_interval: u64,
    /// By which the node came.
    url: String,
    tags: Vec<ProbeTag>,
    /// `null` where none is configured.
    authorization_server: Option<AuthorizationServerView>,
}

/// Of rack, zone, region, hostId and storageClassName those that are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ProbeTag {
    name: &'static str,
    value: String,
}

/// What nodes need to judge tokens, and to get theirs (§4.10).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuthorizationServerView {
    public_key: String,
    #[serde(rename = "tokenURL")]
    token_url: String,
    #[serde(rename = "clientID")]
    client_id: String,
    #[serde(rename = "resourceID")]
    resource_id: String,
    client_secret: String,
    /// The token URL's host.
    name: String,
}

impl std::fmt::Debug for AuthorizationServerView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationServerView").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Op 7. One that is not known takes the place of the backend at its address, or becomes a backend of its own (D14). A node
/// that this provisioner directs is told its settings only: what it has, it is asked itself (D65). Portals and syslog
/// servers, which `changes` is about, stand behind the node's own API, which is not spoken here.
#[utoipa::path(post, path = "/probe", tag = "Backends", summary = "Tell what a storage node of another make has",
    request_body = BackendProbe,
    responses((status = 200, body = Answer<ProbeAnswer>, description = "what the node shall know")))]
pub(crate) async fn probe(State(app): State<SharedApp>, JsonBody(body): JsonBody) -> Reply {
    let probing = Probing::parse(&body, now_ms())?;
    let (url, push_interval) = (probing.url.clone(), probing.probe.interval_seconds);
    let this = SharedApp::clone(&app);
    let record = app
        .complete(async move {
            let (record, news) = retry(|| take(&this, &probing)).await?;
            if let Some(news) = news {
                this.events.add(Kind::NodeJoined, &record.persistent_id, news).await;
            }
            Ok(record)
        })
        .await?;
    let provisioner = ProvisionerView {
        in_use: record.in_use,
        name: short_name(&app.node_name()),
        push_interval,
        url,
        tags: tags(record),
        authorization_server: app.auth.oidc.config().and_then(authorization_server),
    };
    Ok(Json(ProbeAnswer { status: "Success", description: "Success.", provisioner }).into_response())
}

/// The backend as it is recorded now, and what is new about it.
async fn take(app: &App, probing: &Probing) -> Result<(BackendRecord, Option<String>), ApiError> {
    let (id, probe) = (&probing.persistent_id, &probing.probe);
    let all = backends(app).await?;
    if let Some(known) = all.iter().find(|b| b.value.persistent_id == *id) {
        let mut known = known.clone();
        if known.value.is_ours() {
            return Ok((known.value, None));
        }
        known.value.probe = Some(probe.clone());
        return Ok((app.state.update(known).await?.value, None));
    }
    refuse_address_of_ours(app, probing).await?;
    let change = Change::default();
    let (record, change, news) = match at_its_address(&all, probing) {
        Some(old) => {
            let mut record = old.value.clone();
            id.clone_into(&mut record.persistent_id);
            let news = format!("backend {id} takes the place of {} at its address", old.value.persistent_id);
            (record, change.remove(old), news)
        }
        None => {
            require_room(app, &all).await?;
            let record = BackendRecord { in_use: probing.in_use, ..BackendRecord::new(id) };
            (record, change, format!("backend {id} told of itself"))
        }
    };
    let mut record = BackendRecord { probe: Some(probe.clone()), ..record };
    seed(&mut record, &probing.seeds, &all);
    Ok((app.state.create(record, change).await?.value, Some(news)))
}

/// The backend of another make at one of its addresses.
fn at_its_address<'a>(
    all: &'a [Stored<BackendRecord>],
    probing: &Probing,
) -> Option<&'a Stored<BackendRecord>> {
    all.iter().find(|b| {
        let theirs = b.value.probe.as_ref();
        theirs.is_some_and(|probe| probe.addresses().any(|a| probing.probe.addresses().any(|own| own == a)))
    })
}

/// A node of ours proves who it is by its certificate, so nobody takes its place by saying so.
async fn refuse_address_of_ours(app: &App, probing: &Probing) -> Result<(), ApiError> {
    let ours = app.state.list::<NodeRecord>().await?;
    let is_there = |node: &&Stored<NodeRecord>| probing.probe.addresses().any(|a| a == node.value.address);
    match ours.iter().find(is_there) {
        None => Ok(()),
        Some(Stored { value: NodeRecord { persistent_id, address, .. }, .. }) => {
            let why = format!("is not that of the node at {address}, which is {persistent_id}");
            Err(Failure::of_field("persistentID", why).into())
        }
    }
}

/// One more backend is allowed.
async fn require_room(app: &App, all: &[Stored<BackendRecord>]) -> Result<(), ApiError> {
    let license = app.state.get::<License>(License::KEY).await?.map(|l| l.value).unwrap_or_default();
    license.check(all.len() as u64 + 1, now_ms())?;
    let others = all.iter().filter(|b| !b.value.is_ours()).count();
    if others >= limits::FOREIGN_BACKENDS {
        let why = format!("is unknown, and {others} backends of other makes are as many as there may be");
        return Err(Failure::of_field("persistentID", why).into());
    }
    Ok(())
}

/// What the node says of where it stands are first values (D14). A hostId that another backend has is none.
fn seed(record: &mut BackendRecord, seeds: &BackendChange, all: &[Stored<BackendRecord>]) {
    let free_host_id = refuse_host_id(all, &record.persistent_id, seeds).is_ok();
    let fields = [
        (&mut record.rack, &seeds.rack),
        (&mut record.zone, &seeds.zone),
        (&mut record.region, &seeds.region),
        (&mut record.host_id, if free_host_id { &seeds.host_id } else { &None }),
    ];
    for (field, seed) in fields {
        if field.is_none() {
            *field = seed.clone().filter(|text| !text.is_empty());
        }
    }
}

fn tags(record: BackendRecord) -> Vec<ProbeTag> {
    let class = record.probe.and_then(|probe| probe.storage_class_name);
    let tags = [
        ("rack", record.rack),
        ("zone", record.zone),
        ("region", record.region),
        ("hostId", record.host_id),
        ("storageClassName", class),
    ];
    tags.into_iter().filter_map(|(name, value)| Some(ProbeTag { name, value: value? })).collect()
}

/// Of the provisioner, in the characters that a node takes.
fn short_name(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let short: String = kept.take(16).collect();
    if short.is_empty() { "basalt".to_owned() } else { short }
}

/// `None` where tokens are judged by a key set: the answer has room for one key only.
fn authorization_server(config: OidcConfig) -> Option<AuthorizationServerView> {
    let KeySource::PublicKey(public_key) = config.keys else { return None };
    let host = config.token_url.parse::<axum::http::Uri>().ok()?.host()?.to_owned();
    Some(AuthorizationServerView {
        public_key,
        token_url: config.token_url,
        client_id: config.backends.client_id,
        resource_id: config.backends.resource_id,
        client_secret: config.backends.client_secret.to_string(),
        name: host,
    })
}

/// The backend of another make that is known at one of these addresses.
pub(super) async fn foreign_at(
    app: &App,
    addresses: &[SocketAddr],
) -> Result<Option<BackendRecord>, StoreError> {
    let mut all = backends(app).await?.into_iter().map(|b| b.value);
    Ok(all.find(|b| b.probe.iter().flat_map(|p| p.addresses()).any(|a| addresses.contains(&a))))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::{model::probe::tests::probe, oidc::Party};

    #[test]
    fn names_in_the_characters_that_nodes_take() {
        for (name, short) in [
            ("basalt", "basalt"),
            ("Prov #1 of the south-west", "Prov1ofthesouth-"),
            ("žluť_1", "lu_1"),
            ("…", "basalt"),
        ] {
            assert_eq!(short_name(name), short);
        }
    }

    #[test]
    fn first_values_fill_what_is_unset_and_take_no_host_from_another() {
        let mut record = BackendRecord { rack: Some("mine".to_owned()), ..BackendRecord::new("a") };
        let text = |text: &str| Some(text.to_owned());
        let seeds = BackendChange {
            rack: text("theirs"),
            zone: text("z"),
            region: text(""),
            host_id: text("h"),
            ..BackendChange::default()
        };
        seed(&mut record, &seeds, &[]);
        let expected = BackendRecord { zone: text("z"), host_id: text("h"), ..record.clone() };
        assert_eq!((record.rack.as_deref(), record.region.as_deref()), (Some("mine"), None));
        assert_eq!(record, expected);
    }

    #[test]
    fn an_authorization_server_is_told_of_with_its_key() {
        let party = |id: &str| Party {
            resource_id: format!("{id}-resource"),
            client_id: format!("{id}-client"),
            client_secret: Zeroizing::new("secret".to_owned()),
            client_scope: None,
        };
        let config = |keys| OidcConfig {
            token_url: "https://login.example:8443/token".to_owned(),
            keys,
            provisioner: party("provisioner"),
            backends: party("backends"),
        };
        let told = authorization_server(config(KeySource::PublicKey("MIIB".to_owned()))).unwrap();
        assert_eq!((told.name.as_str(), told.client_id.as_str()), ("login.example", "backends-client"));
        assert_eq!((told.public_key.as_str(), told.client_secret.as_str()), ("MIIB", "secret"));
        assert!(!format!("{told:?}").contains("secret"));
        let set = KeySource::JwkSetUrl("https://login.example/keys".to_owned());
        assert!(authorization_server(config(set)).is_none());
    }

    #[test]
    fn the_tags_that_are_set() {
        let mut record = BackendRecord { zone: Some("z".to_owned()), ..BackendRecord::new("a") };
        record.probe = Some(probe([192, 0, 2, 1]));
        assert_eq!(tags(record), [ProbeTag { name: "zone", value: "z".to_owned() }]);
    }
}
