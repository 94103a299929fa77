//! Backends (provisioner §2): the node in this process, and those that have joined.

mod add;
mod remove;

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
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    Location,
    app::{App, Observed, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    fields::Fields,
    limits,
    model::{
        backend::{self, BackendRecord},
        node::NodeRecord,
        volume::{Reserved, VolumeRecord},
    },
    nodes::{Liveness, names},
    openapi::{Answer, Status, bodies::BackendUpdate},
    request::{JsonBody, Params},
    state::{Change, Stored},
    store::StoreError,
    tls::Peer,
};

pub(crate) use self::{add::*, remove::*};

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

/// Every backend that is registered: makes the own node's record at its first use.
pub(crate) async fn backends(app: &App) -> Result<Vec<Stored<BackendRecord>>, StoreError> {
    let found = app.state.list::<BackendRecord>().await?;
    let Some(own) = &app.own_node else { return Ok(found) };
    if found.iter().any(|b| b.value.persistent_id == *own) {
        return Ok(found);
    }
    let Location { zone, rack, region } = app.config.location.clone();
    let record = BackendRecord { zone, rack, region, ..BackendRecord::new(own) };
    match app.state.create(record, Change::default()).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => app.state.list().await,
        Err(error) => Err(error),
    }
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
    let views = records.map(|record| {
        let id = record.persistent_id.clone();
        let member = app.nodes.find(&id);
        let address = joined.get(&id);
        let drives = observed.drives_of(&id);
        let space = backend::space(drives);
        let here = || volumes.iter().map(|v| &v.value).filter(|v| v.is_on(&id));
        let reserved = Reserved::on(&id, here());
        BackendView {
            persistent_id: record.persistent_id,
            mgmt_ips: address.map_or_else(|| management_ips(app, peer), |address| vec![address.ip()]),
            mgmt_port: record.mgmt_port.unwrap_or(address.map_or(peer.local.port(), SocketAddr::port)),
            rack: record.rack,
            zone: record.zone,
            region: record.region,
            in_use: record.in_use,
            state: if observed.is_available(&id) { "Available" } else { "Unavailable" },
            total_capacity: space.total_bytes,
            available_capacity: space.available_bytes,
            num_volumes: here().filter(|v| v.exists()).count(),
            last_prob_time: member.as_ref().map(|m| m.liveness.last_answer_ms()).filter(|ms| *ms > 0),
            probe_interval: Liveness::INTERVAL_SECONDS,
            total_bw: app.config.declared_bytes_per_second,
            available_bw: app.config.declared_bytes_per_second.saturating_sub(reserved.bytes_per_second),
            total_iops: app.config.declared_iops,
            available_iops: app.config.declared_iops.saturating_sub(reserved.iops),
            version: member.and_then(|m| m.process()).map(|process| process.version).unwrap_or_default(),
            number_of_ssds: drives.len(),
            // There is no list of approved drives to be on.
            certified: false,
            portals: portals(&observed, &id, peer),
            host_id: record.host_id,
            name: names.get(&id).cloned().unwrap_or_default(),
            authentication_mode: "LOCAL",
        }
    });
    Ok(Json(views.collect::<Vec<_>>()).into_response())
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
#[derive(Debug, Default, PartialEq, Eq)]
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
