//! cluster/nodes and cluster/settings (session.md §6).

use std::fs;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{By, IfMatch, SessionError, tagged};
use crate::{
    accounts::Privilege,
    api::backends::backends,
    app::{App, SharedApp},
    envelope::ApiError,
    fields::Fields,
    limits,
    model::backend::BackendRecord,
    nodes::names,
    openapi::bodies::ClusterSettingsPut,
    request::{JsonBody, Params},
    state::{Change, Record, Stored},
    store::StoreError,
};

#[derive(Debug, Serialize, ToSchema)]
struct NodeEntry {
    /// From 1 on.
    id: usize,
    /// `online` or `offline`.
    node_status: &'static str,
    node_name: String,
    /// The persistentID.
    uuid: String,
    /// The same as `mac_address`.
    label: String,
    model_number: String,
    /// Of its drives; decimal text.
    capacity_in_bytes: String,
    serial_number: String,
    mac_address: String,
}

#[utoipa::path(get, path = "/cluster/nodes", tag = "Cluster", summary = "List storage nodes",
    responses((status = 200, body = Vec<NodeEntry>, description = "done")))]
pub(crate) async fn nodes(State(app): State<SharedApp>, _by: By) -> Result<Response, SessionError> {
    Ok(Json(entries(&app).await?).into_response())
}

#[utoipa::path(get, path = "/cluster/nodes/{id}", tag = "Cluster", summary = "A storage node",
    responses((status = 200, body = NodeEntry, description = "done")))]
pub(crate) async fn node(
    State(app): State<SharedApp>,
    _by: By,
    params: Params,
) -> Result<Response, SessionError> {
    let id = params.get("id");
    let found = entries(&app).await?.into_iter().find(|node| node.id.to_string() == id);
    let nobody = || SessionError::new(StatusCode::NOT_FOUND, format!("there is no node {id:?}"));
    Ok(Json(found.ok_or_else(nobody)?).into_response())
}

#[derive(Debug, Serialize, ToSchema)]
struct NodeState {
    /// As in the list of nodes.
    node_id: usize,
    /// `ACTIVE`, or `OFFLINE` when the storage node does not answer.
    state: &'static str,
}

#[utoipa::path(get, path = "/node/state", tag = "Cluster", summary = "Whether this node works", security(()),
    responses((status = 200, body = NodeState, description = "done")))]
pub(crate) async fn state(State(app): State<SharedApp>) -> Result<Response, SessionError> {
    let before = members(&app).await?.iter().position(|id| *id == app.node_id).unwrap_or(0);
    let state = if app.is_node_alive() { "ACTIVE" } else { "OFFLINE" };
    Ok(Json(NodeState { node_id: before + 1, state }).into_response())
}

async fn entries(app: &App) -> Result<Vec<NodeEntry>, SessionError> {
    let (observed, names) = (app.observe().await, names(app).await?);
    let entry = |(id, persistent_id): (usize, String)| {
        let raw: u64 = observed.drives_of(&persistent_id).iter().map(|drive| drive.size_bytes).sum();
        // Of another machine only what its node told is known.
        let is_own = app.own_node.as_ref() == Some(&persistent_id);
        let mac = if is_own { management_mac() } else { None }.unwrap_or_else(|| persistent_id.clone());
        let dmi = |field| if is_own { dmi(field) } else { None };
        NodeEntry {
            id,
            node_status: if observed.is_available(&persistent_id) { "online" } else { "offline" },
            node_name: names.get(&persistent_id).cloned().unwrap_or_else(|| persistent_id.clone()),
            label: mac.clone(),
            model_number: dmi("product_name").unwrap_or_else(|| "Basalt".to_owned()),
            capacity_in_bytes: raw.to_string(),
            serial_number: dmi("product_serial").unwrap_or_else(|| persistent_id.clone()),
            uuid: persistent_id,
            mac_address: mac,
        }
    };
    Ok((1..).zip(members(app).await?).map(entry).collect())
}

/// persistentIDs of the storage nodes that are of this cluster: none of other makes.
async fn members(app: &App) -> Result<Vec<String>, StoreError> {
    let ours = backends(app).await?.into_iter().map(|backend| backend.value).filter(BackendRecord::is_ours);
    Ok(ours.map(|backend| backend.persistent_id).collect())
}

/// What the machine's firmware says of it, where we may read that.
fn dmi(field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/sys/class/dmi/id/{field}")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Of the interface that the default route uses; none on a machine without one.
fn management_mac() -> Option<String> {
    let routes = fs::read_to_string("/proc/net/route").ok()?;
    let default = routes.lines().skip(1).find(|line| line.split_whitespace().nth(1) == Some("00000000"))?;
    let interface = default.split_whitespace().next()?;
    let address = fs::read_to_string(format!("/sys/class/net/{interface}/address")).ok()?;
    Some(address.trim().to_owned()).filter(|address| !address.is_empty())
}

/// What people call the whole.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ClusterSettings {
    cluster_name: String,
}

impl Record for ClusterSettings {
    const PREFIX: &'static str = "cluster/";
    fn id(&self) -> String {
        "settings".to_owned()
    }
}

/// Until somebody sets it, the cluster is called as its node.
fn shown(app: &App, kept: Option<&Stored<ClusterSettings>>) -> ClusterSettings {
    let name = kept.map_or_else(|| app.node_name(), |kept| kept.value.cluster_name.clone());
    ClusterSettings { cluster_name: name }
}

#[utoipa::path(get, path = "/cluster/settings", tag = "Cluster", summary = "The cluster's name",
    responses((status = 200, body = ClusterSettings, description = "done")))]
pub(crate) async fn settings(State(app): State<SharedApp>, _by: By) -> Result<Response, SessionError> {
    let kept = app.state.get::<ClusterSettings>("settings").await?;
    Ok(tagged(&shown(&app, kept.as_ref())))
}

#[utoipa::path(put, path = "/cluster/settings", tag = "Cluster", summary = "Name the cluster",
    request_body = ClusterSettingsPut, responses((status = 200, body = ClusterSettings, description = "done")))]
pub(crate) async fn put_settings(
    State(app): State<SharedApp>,
    by: By,
    if_match: IfMatch,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::ClusterWrite)?;
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    let name = fields.require("cluster_name", fields.label("cluster_name", limits::NAME_CHARS)?)?;
    let new = ClusterSettings { cluster_name: name.to_owned() };
    let kept = app.state.get::<ClusterSettings>("settings").await?;
    if_match.require(&shown(&app, kept.as_ref()))?;
    app.state.commit(Change::default().set(kept.as_ref(), &new)).await?;
    Ok(tagged(&new))
}
