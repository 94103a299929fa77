//! GET backends: how a storage node looks to clients.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::backends;
use crate::{
    app::{App, Observed, SharedApp, now_ms},
    envelope::{ApiError, Reply},
    model::{
        backend::{BackendRecord, Figures},
        node::NodeRecord,
        probe::{AuthenticationMode, Probe},
        volume::VolumeRecord,
    },
    nodes::{Liveness, names},
    openapi::Answer,
    request::Params,
    tls::Peer,
};

/// The contract's Backend object.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BackendView {
    #[serde(rename = "persistentID")]
    persistent_id: String,
    #[serde(rename = "mgmtIPs")]
    #[schema(value_type = Vec<String>)]
    mgmt_ips: Vec<IpAddr>,
    mgmt_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    in_use: bool,
    state: &'static str,
    total_capacity: u64,
    available_capacity: u64,
    num_volumes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_prob_time: Option<u64>,
    probe_interval: u64,
    #[serde(rename = "totalBW")]
    total_bw: u64,
    #[serde(rename = "availableBW")]
    available_bw: u64,
    #[serde(rename = "totalIOPS")]
    total_iops: u64,
    #[serde(rename = "availableIOPS")]
    available_iops: u64,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_driver_version: Option<String>,
    #[serde(rename = "numberOfSSDs")]
    number_of_ssds: usize,
    certified: bool,
    portals: Vec<PortalView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<String>,
    name: String,
    authentication_mode: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PortalView {
    #[schema(value_type = String)]
    ip: IpAddr,
    port: u16,
    transport: &'static str,
}

/// Op 4.
#[utoipa::path(get, path = "/backends", tag = "Backends", summary = "List storage nodes",
    responses((status = 200, body = Answer<Vec<BackendView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, Extension(peer): Extension<Peer>) -> Reply {
    views(&app, &peer, |_| true).await
}

/// Op 5: an array, too (D6).
#[utoipa::path(get, path = "/backends/{id}", tag = "Backends", summary = "A storage node, or an empty list",
    responses((status = 200, body = Answer<Vec<BackendView>>, description = "done")))]
pub(crate) async fn by_id(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
    params: Params,
) -> Reply {
    views(&app, &peer, |b| b.persistent_id == params.get("id")).await
}

async fn views(
    app: &App,
    peer: &Peer,
    wanted: impl Fn(&BackendRecord) -> bool,
) -> Result<Response, ApiError> {
    let records = backends(app).await?.into_iter().map(|b| b.value).filter(wanted);
    let observed = app.observe().await;
    let volumes = app.state.list::<VolumeRecord>().await?;
    let names = names(app).await?;
    let joined = app.state.list::<NodeRecord>().await?.into_iter();
    let joined: BTreeMap<String, SocketAddr> =
        joined.map(|node| (node.value.persistent_id, node.value.address)).collect();
    let now = now_ms();
    let view = |record: BackendRecord| {
        let id = record.persistent_id.clone();
        let here = || volumes.iter().map(|v| &v.value).filter(|v| v.is_on(&id));
        let figures = Figures::of(&record, &observed, here(), &app.config);
        let told = match &record.probe {
            Some(probe) => Told::by_probe(probe),
            None => Told::by_node(app, &id, joined.get(&id), &observed, peer),
        };
        BackendView {
            mgmt_ips: told.mgmt_ips,
            mgmt_port: record.mgmt_port.unwrap_or(told.mgmt_port),
            in_use: record.in_use,
            state: if record.is_available(&observed, now) { "Available" } else { "Unavailable" },
            total_capacity: figures.space.total_bytes,
            available_capacity: figures.space.available_bytes,
            num_volumes: here().filter(|v| v.exists()).count(),
            last_prob_time: told.last_ms,
            probe_interval: told.interval_seconds,
            total_bw: figures.bytes_per_second.total,
            available_bw: figures.bytes_per_second.free(),
            total_iops: figures.iops.total,
            available_iops: figures.iops.free(),
            version: told.version,
            target_driver_version: told.target_driver_version,
            number_of_ssds: figures.drives,
            certified: told.certified,
            portals: told.portals,
            authentication_mode: told.authentication_mode.word(),
            name: names.get(&id).cloned().unwrap_or_default(),
            rack: record.rack,
            zone: record.zone,
            region: record.region,
            host_id: record.host_id,
            persistent_id: id,
        }
    };
    Ok(Json(records.map(view).collect::<Vec<_>>()).into_response())
}

/// What a backend itself says of it, when it was asked or by its probe.
struct Told {
    mgmt_ips: Vec<IpAddr>,
    mgmt_port: u16,
    /// Milliseconds since the epoch; `None`: it never did.
    last_ms: Option<u64>,
    interval_seconds: u64,
    version: String,
    target_driver_version: Option<String>,
    certified: bool,
    portals: Vec<PortalView>,
    authentication_mode: AuthenticationMode,
}

impl Told {
    /// A node of ours. `address`: of its API, if it is in another process.
    fn by_node(app: &App, id: &str, address: Option<&SocketAddr>, observed: &Observed, peer: &Peer) -> Self {
        let member = app.nodes.find(id);
        let process = member.as_ref().and_then(|member| member.process());
        Self {
            mgmt_ips: address.map_or_else(|| management_ips(app, peer), |address| vec![address.ip()]),
            mgmt_port: address.map_or(peer.local.port(), SocketAddr::port),
            last_ms: member.map(|member| member.liveness.last_answer_ms()).filter(|ms| *ms > 0),
            interval_seconds: Liveness::INTERVAL_SECONDS,
            version: process.map(|process| process.version).unwrap_or_default(),
            target_driver_version: None,
            // There is no list of approved drives to be on.
            certified: false,
            portals: portals(observed, id, peer),
            authentication_mode: AuthenticationMode::Local,
        }
    }

    /// One of another make. Where hosts connect to it stands in no probe.
    fn by_probe(probe: &Probe) -> Self {
        Self {
            mgmt_ips: probe.mgmt_ips.clone(),
            mgmt_port: probe.mgmt_port,
            last_ms: Some(probe.time_ms),
            interval_seconds: probe.interval_seconds,
            version: probe.version.clone(),
            target_driver_version: Some(probe.target_driver_version.clone()).filter(|v| !v.is_empty()),
            certified: probe.certified,
            portals: Vec::new(),
            authentication_mode: probe.authentication_mode,
        }
    }
}

/// Where hosts connect. Without an advertised address it is the one that this client came in on: never 0.0.0.0.
pub(crate) fn portals(observed: &Observed, backend: &str, peer: &Peer) -> Vec<PortalView> {
    let portals = observed.nodes.get(backend).map_or(&[][..], |node| &node.portals);
    portals
        .iter()
        .map(|portal: &SocketAddr| PortalView {
            ip: reachable(portal.ip(), peer),
            port: portal.port(),
            transport: "TCP_IP",
        })
        .collect()
}

fn management_ips(app: &App, peer: &Peer) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = app.listeners.iter().map(|l| reachable(l.ip(), peer)).collect();
    ips.sort_unstable();
    ips.dedup();
    ips
}

fn reachable(ip: IpAddr, peer: &Peer) -> IpAddr {
    if ip.is_unspecified() { peer.local.ip().to_canonical() } else { ip }
}
