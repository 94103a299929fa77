//! POST backends.

use std::net::{IpAddr, SocketAddr};

use axum::extract::State;
use serde_json::{Map, Value};

use super::{BackendChange, backends, probe::foreign_at, refuse_host_id};
use crate::{
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::Fields,
    license::License,
    limits,
    model::{
        backend::BackendRecord,
        node::{NodeRecord, RemovedNodeRecord},
    },
    nodes::{NodeClient, NodeHandle, Shown, attend, authority::node_name, identify},
    openapi::{Status, bodies::BackendAdd},
    request::JsonBody,
    state::Change,
};

/// Where the backend is, and what is said about it.
struct Wanted {
    addresses: Vec<SocketAddr>,
    change: BackendChange,
}

/// Of the contract (§2).
const DEFAULT_PORT: u16 = 443;

impl Wanted {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let change = BackendChange::parse(body)?;
        let port = change.mgmt_port.unwrap_or(DEFAULT_PORT);
        let ip = |text: &str| -> Result<IpAddr, Failure> {
            text.parse().map_err(|_| Failure::of_field("mgmtIPs", format!("holds no IP address: {text:?}")))
        };
        // A list by the samples, a lone string by the table.
        let ips = match body.get("mgmtIPs") {
            Some(Value::String(_)) => {
                Fields::new(body).text("mgmtIPs", limits::NAME_CHARS)?.map(|ip| vec![ip.to_owned()])
            }
            _ => Fields::new(body).texts("mgmtIPs")?,
        };
        let ips = Fields::new(body).require("mgmtIPs", ips.filter(|ips| !ips.is_empty()))?;
        let addresses = ips.iter().map(|text| Ok(SocketAddr::new(ip(text)?, port)));
        Ok(Self { addresses: addresses.collect::<Result<_, Failure>>()?, change })
    }
}

/// Op 1: a node that has joined this provisioner before, and was removed. Others come with an invite, or tell of
/// themselves.
#[utoipa::path(post, path = "/backends", tag = "Backends", summary = "Take a storage node back in",
    request_body = BackendAdd,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn add(State(app): State<SharedApp>, JsonBody(body): JsonBody) -> Reply {
    let wanted = Wanted::parse(&body)?;
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let node = find_node(&this, &wanted).await?;
        retry(|| register(&this, &node, &wanted.change)).await?;
        attend(&this, &node);
        this.events.add(Kind::NodeJoined, &node.persistent_id, format!("node {} was added", node.name)).await;
        Ok(())
    })
    .await?;
    Ok(success())
}

/// The node at the first of the addresses where one of ours listens.
async fn find_node(app: &App, wanted: &Wanted) -> Result<NodeRecord, ApiError> {
    let joined = app.state.list::<NodeRecord>().await?;
    if let Some(known) = joined.iter().find(|node| wanted.addresses.contains(&node.value.address)) {
        let why = format!("{} is the backend {} already", known.value.address, known.value.persistent_id);
        return Err(Failure::new(Code::AlreadyExists, why).into());
    }
    if let Some(known) = foreign_at(app, &wanted.addresses).await? {
        let why = format!("the backend {} of another make is there already", known.persistent_id);
        return Err(Failure::new(Code::AlreadyExists, why).into());
    }
    let mut reasons = Vec::new();
    for address in &wanted.addresses {
        match identify(&app.authority, *address).await {
            Ok(shown) => return look_at(app, *address, shown).await,
            Err(reason) => reasons.push(format!("{address}: {reason}")),
        }
    }
    let reasons = reasons.join("; ");
    let why = format!(
        "no node that has joined here listens there ({reasons}): invite it; one of another make tells of itself with \
         POST /probe"
    );
    Err(Failure::new(Code::NotAvailable, why).into())
}

/// It shows the certificate that it was given last, lets us in, and has drives.
async fn look_at(app: &App, address: SocketAddr, shown: Shown) -> Result<NodeRecord, ApiError> {
    let Shown { persistent_id, certificate } = shown;
    let removed = app.state.get::<RemovedNodeRecord>(&persistent_id).await?.map(|removed| removed.value);
    let known = app.state.get::<NodeRecord>(&persistent_id).await?.map(|node| node.value);
    let last = removed.as_ref().map(|r| r.certificate).or(known.as_ref().map(|n| n.certificate));
    // Records of before certificates were kept hold none; who is not recorded at all was never here.
    let is_last = last.is_some_and(|last| last.is_none_or(|last| last == certificate));
    if !is_last {
        let why = format!(
            "the certificate of the node at {address} is not the last one that {persistent_id} was given: invite it"
        );
        return Err(Failure::new(Code::NotAvailable, why).into());
    }
    let name = node_name(&persistent_id);
    let to_nodes = std::sync::Arc::clone(&app.to_nodes);
    let client = NodeClient::new(address, name, Some(certificate), to_nodes, app.epoch);
    if NodeHandle::Remote(client).drives().await?.is_empty() {
        return Err(Failure::new(Code::NoGroups, format!("the node at {address} has no drives")).into());
    }
    let name = removed.map_or_else(|| persistent_id.clone(), |removed| removed.name);
    Ok(NodeRecord { name, persistent_id, address, certificate: Some(certificate) })
}

async fn register(app: &App, node: &NodeRecord, asked: &BackendChange) -> Result<(), ApiError> {
    let all = backends(app).await?;
    if all.iter().any(|backend| backend.value.persistent_id == node.persistent_id) {
        let why = format!("the node there is the backend {} already", node.persistent_id);
        return Err(Failure::new(Code::AlreadyExists, why).into());
    }
    refuse_host_id(&all, &node.persistent_id, asked)?;
    let license = app.state.get::<License>(License::KEY).await?.map(|l| l.value).unwrap_or_default();
    license.check(all.len() as u64 + 1, now_ms())?;
    let mut record = BackendRecord::new(&node.persistent_id);
    asked.apply(&mut record);
    let mut change = Change::default().create(&record).create(node);
    if let Some(removed) = app.state.get::<RemovedNodeRecord>(&node.persistent_id).await? {
        change = change.remove(&removed);
    }
    Ok(app.state.commit(change).await?)
}
