//! Nodes in other processes: GET and POST nodes, POST invites.

use std::net::SocketAddr;

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Serialize;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::BasaltError;
use crate::{
    api::backends::backends,
    app::{SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure},
    events::Kind,
    fields::Fields,
    license::License,
    limits,
    model::{
        backend::BackendRecord,
        node::{InviteRecord, NodeRecord, RemovedNodeRecord},
    },
    nodes::{attend, invite::Invite, names},
    openapi::bodies::NodeJoin,
    request::JsonBody,
    state::Change,
    tls::Peer,
};

/// A storage node: in this process, in another one, or one of another make.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemberView {
    #[serde(rename = "persistentID")]
    persistent_id: String,
    name: String,
    /// Where its API listens; omitted for the node in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    address: Option<SocketAddr>,
    available: bool,
    /// This provisioner directs it. One of another make only tells of itself, and nothing is placed there.
    directed: bool,
    /// New volumes may be placed there.
    in_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
}

#[utoipa::path(get, path = "/nodes", tag = "Nodes", summary = "List storage nodes",
    responses((status = 200, body = Vec<MemberView>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>) -> Result<Response, BasaltError> {
    let (names, mut views) = (names(&app).await?, Vec::new());
    for backend in backends(&app).await?.into_iter().map(|b| b.value) {
        let node = app.state.get::<NodeRecord>(&backend.persistent_id).await?.map(|n| n.value);
        let member = app.nodes.find(&backend.persistent_id);
        let (address, available) = match &backend.probe {
            Some(probe) => (probe.addresses().next(), probe.is_available(now_ms())),
            None => (node.map(|node| node.address), member.is_some_and(|member| member.liveness.is_alive())),
        };
        views.push(MemberView {
            name: names.get(&backend.persistent_id).cloned().unwrap_or_default(),
            address,
            available,
            directed: backend.is_ours(),
            in_use: backend.in_use,
            zone: backend.zone,
            rack: backend.rack,
            region: backend.region,
            persistent_id: backend.persistent_id,
        });
    }
    Ok(Json(views).into_response())
}

/// An invite that lets one node join within a day. It is told once; only its digest is kept.
#[utoipa::path(post, path = "/invites", tag = "Nodes", summary = "Invite a storage node",
    responses((status = 201, body = Object, description = "the invite")))]
pub(crate) async fn invite(State(app): State<SharedApp>) -> Result<Response, BasaltError> {
    let ca =
        CertificateDer::from_pem_slice(app.ca.as_bytes()).map_err(|error| BasaltError::internal(&error))?;
    let invite = Invite::generate(&ca);
    let expires_ms = now_ms() + limits::INVITE_MS;
    let record = InviteRecord { id: invite.id, digest: Invite::digest(&invite.secret), expires_ms };
    let mut change = Change::default();
    let old = app.state.list::<InviteRecord>().await?;
    for stale in old.iter().filter(|old| old.value.expires_ms < now_ms()) {
        change = change.remove(stale);
    }
    app.state.create(record, change).await?;
    let body = json!({ "id": invite.id, "invite": invite.text(), "expires": expires_ms });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// What a node says of itself. Its secret is not to be printed.
#[derive(Clone)]
struct Joining {
    invite: Uuid,
    secret: String,
    request: String,
    node: NodeRecord,
    zone: Option<String>,
    rack: Option<String>,
    region: Option<String>,
}

impl Joining {
    fn parse(body: &Map<String, Value>, peer: &Peer) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let required = |name, longest| fields.require(name, fields.text(name, longest)?).map(str::to_owned);
        let location = |name| Ok::<_, Failure>(fields.text(name, limits::NAME_CHARS)?.map(str::to_owned));
        let persistent_id = required("persistentId", limits::NAME_CHARS)?;
        if !crate::identity::is_mac(&persistent_id) {
            return Err(Failure::of_field("persistentId", "must be six pairs of hexadecimal digits"));
        }
        let address = required("address", limits::NAME_CHARS)?;
        let mut address: SocketAddr =
            address.parse().map_err(|_| Failure::of_field("address", "must be ADDRESS:PORT"))?;
        if address.ip().is_unspecified() {
            // It listens everywhere, so it does where it came from.
            address.set_ip(peer.remote.ip().to_canonical());
        }
        Ok(Self {
            invite: fields.require("invite", fields.uuid("invite")?)?,
            secret: required("secret", limits::NAME_CHARS)?,
            request: required("certificateRequest", 8192)?,
            node: NodeRecord {
                persistent_id,
                name: required("name", limits::NAME_CHARS)?,
                address,
                certificate: None,
            },
            zone: location("zone")?,
            rack: location("rack")?,
            region: location("region")?,
        })
    }
}

/// A node joins with its invite, which is used up then. The answer holds the certificate that opens its API to us.
#[utoipa::path(post, path = "/nodes", tag = "Nodes", summary = "Join as a storage node, with an invite", security(()),
    request_body = NodeJoin,
    responses((status = 201, body = Object, description = "the node's certificate and the CA of all nodes")))]
pub(crate) async fn join(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let joining = Joining::parse(&body?.0, &peer)?;
    let this = SharedApp::clone(&app);
    // Of two that come with one invite the second finds, when it tries again, that it is used.
    let certificate = app.complete(async move { retry(|| admit(&this, joining.clone())).await }).await?;
    let body = json!({ "certificate": certificate, "ca": app.authority.certificate() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn admit(app: &SharedApp, joining: Joining) -> Result<String, ApiError> {
    let refused = || Failure::new(Code::Forbidden, "the invite is not valid: used, run out, or never given");
    let invite = app.state.get::<InviteRecord>(&joining.invite.to_string()).await?;
    // Compared in constant time, as digests: how long it takes says nothing about the secret.
    let digest = Invite::digest(&joining.secret);
    let invite =
        invite.filter(|invite| bool::from(invite.value.digest.ct_eq(&digest))).ok_or_else(refused)?;
    if invite.value.expires_ms < now_ms() {
        return Err(refused().into());
    }
    let Joining { request, mut node, zone, rack, region, .. } = joining;
    if app.own_node.as_ref() == Some(&node.persistent_id) {
        return Err(Failure::of_field("persistentId", "is this server's own").into());
    }
    // One that lost its certificate does not answer: nobody else takes the place of one that does.
    if app.nodes.find(&node.persistent_id).is_some_and(|member| member.liveness.is_alive()) {
        let why = format!("is that of a node that answers, or did until just now: {}", node.persistent_id);
        return Err(Failure::of_field("persistentId", why).into());
    }
    let certificate = app
        .authority
        .issue_node(&request, &node.persistent_id)
        .map_err(|error| Failure::of_field("certificateRequest", format!("cannot be used: {error}")))?;
    // Those that it was given before count no more.
    node.certificate = Some(certificate.digest);
    let mut change = Change::default().remove(&invite);
    if let Some(removed) = app.state.get::<RemovedNodeRecord>(&node.persistent_id).await? {
        change = change.remove(&removed);
    }
    let known = app.state.get::<BackendRecord>(&node.persistent_id).await?;
    if let Some(mut told) = known.clone().filter(|known| !known.value.is_ours()) {
        // It told of itself before, and is directed from now on.
        told.value.probe = None;
        change = change.replace(&told);
    }
    if known.is_none() {
        let license = app.state.get::<License>(License::KEY).await?.map(|l| l.value).unwrap_or_default();
        license.check(backends(app).await?.len() as u64 + 1, now_ms())?;
        change =
            change.create(&BackendRecord { zone, rack, region, ..BackendRecord::new(&node.persistent_id) });
    }
    match app.state.get::<NodeRecord>(&node.persistent_id).await? {
        // It has lost what it got, or moved.
        Some(mut known) => {
            known.value = node.clone();
            app.state.commit(change.replace(&known)).await?;
        }
        None => app.state.commit(change.create(&node)).await?,
    }
    attend(app, &node);
    app.events.add(Kind::NodeJoined, &node.persistent_id, format!("node {} joined", node.name)).await;
    Ok(certificate.pem)
}
