//! Drives: GET and POST drives, POST drives/{id}:grow and drives/{id}:check, DELETE drives/{id}.

use std::path::PathBuf;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use dataplane::node::{
    DriveConfig, DriveInfo, DriveMedium, DriveState, Evacuation, NodeError, NodeObject, TornPolicy,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::BasaltError;
use crate::{
    app::{App, Observed, ObservedNode, SharedApp},
    envelope::{ApiError, Code, Failure},
    fields::{Fields, parse_uuid},
    limits,
    nodes::{NodeHandle, names},
    openapi::bodies::{DriveAdd, DriveGrow},
    request::{JsonBody, Params},
};

/// A drive of a node; sizes in bytes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DriveView {
    id: Uuid,
    /// Whose it is, by persistentID.
    node: String,
    name: String,
    state: &'static str,
    /// Why it is not online.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Of the medium; journal and metadata included.
    size_bytes: u64,
    capacity_bytes: u64,
    unreserved_bytes: u64,
    used_bytes: u64,
    write_through: bool,
    /// How far its removal has come, or why the last one ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    evacuation: Option<EvacuationView>,
}

/// The volumes of a drive on their way to others.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EvacuationView {
    moved_bytes: u64,
    /// May grow while hosts write.
    total_bytes: u64,
    /// Why it ended with volumes left on the drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl From<Evacuation> for EvacuationView {
    fn from(Evacuation { moved_bytes, total_bytes, failure }: Evacuation) -> Self {
        Self { moved_bytes, total_bytes, failure }
    }
}

impl DriveView {
    /// Of all nodes that answer.
    pub(super) fn all(observed: Observed) -> Vec<Self> {
        let of_node = |(id, node): (String, ObservedNode)| {
            node.drives.into_iter().map(move |drive| Self::new(id.clone(), drive))
        };
        observed.nodes.into_iter().flat_map(of_node).collect()
    }

    fn new(node: String, drive: DriveInfo) -> Self {
        let (state, reason) = match drive.state {
            DriveState::Online => ("online", None),
            DriveState::Evacuating => ("evacuating", None),
            DriveState::ReadOnly(why) => ("read-only", Some(why)),
            DriveState::Failed(why) => ("failed", Some(why)),
        };
        Self {
            id: drive.uuid,
            node,
            name: drive.name,
            state,
            reason,
            size_bytes: drive.size_bytes,
            capacity_bytes: drive.capacity_bytes,
            unreserved_bytes: drive.unreserved_bytes,
            used_bytes: drive.used_bytes,
            write_through: drive.write_through,
            evacuation: drive.evacuation.map(EvacuationView::from),
        }
    }
}

#[utoipa::path(get, path = "/drives", tag = "Drives", summary = "List drives",
    responses((status = 200, body = Vec<DriveView>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>) -> Response {
    Json(DriveView::all(app.observe().await)).into_response()
}

/// Opens a drive and remembers it: it is opened at every start from now on.
#[utoipa::path(post, path = "/drives", tag = "Drives", summary = "Open a drive",
    request_body = DriveAdd,
    responses((status = 201, body = DriveView, description = "done")))]
pub(crate) async fn add(
    State(app): State<SharedApp>,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let body = body?.0;
    let config = parse(&body)?;
    let node = taker(&app, Fields::new(&body).text("node", limits::NAME_CHARS)?).await?;
    let this = SharedApp::clone(&app);
    let change = async move {
        let drive = this.nodes.of(&node)?.add_drive(config).await?;
        Ok(DriveView::new(node, drive))
    };
    Ok((StatusCode::CREATED, Json(app.complete(change).await?)).into_response())
}

/// The node that gets the drive: the one that is named, else the one in this process, else the only one.
async fn taker(app: &App, named: Option<&str>) -> Result<String, ApiError> {
    let names = names(app).await?;
    let Some(named) = named else {
        let only = names.keys().next().filter(|_| names.len() == 1);
        let taker = app.own_node.as_ref().or(only).cloned();
        return taker.ok_or_else(|| Failure::of_field("node", "is required: whose drive is it?").into());
    };
    let is_named = |(id, name): &(&String, &String)| *id == named || *name == named;
    let mut found = names.iter().filter(is_named).map(|(id, _)| id.clone());
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Failure::of_field("node", format!("is no node: {named:?}")).into()),
        (Some(_), Some(_)) => Err(Failure::of_field("node", format!("{named:?} names several nodes")).into()),
    }
}

fn parse(body: &Map<String, Value>) -> Result<DriveConfig, Failure> {
    let fields = Fields::new(body);
    let path = fields.text("path", LONGEST_PATH)?.map(PathBuf::from);
    let memory = fields.label("memory", LONGEST_NAME)?;
    let medium = match (path, memory) {
        (Some(path), None) => DriveMedium::Path(checked(path)?),
        (None, Some(name)) => DriveMedium::Memory(name.to_owned()),
        (None, None) => return Err(Failure::of_field("path", "is required, or memory")),
        (Some(_), Some(_)) => return Err(Failure::of_field("memory", "excludes path")),
    };
    let size_bytes = fields.whole("sizeBytes")?;
    if size_bytes.is_none() && matches!(medium, DriveMedium::Memory(_)) {
        return Err(Failure::of_field("sizeBytes", "is required for a drive in memory"));
    }
    let torn = [("assume-4k-atomic", TornPolicy::Assume4kAtomic), ("torn-safe", TornPolicy::TornSafe)];
    Ok(DriveConfig {
        size_bytes,
        format: fields.truth("format")?.unwrap_or(false),
        write_through: fields.truth("writeThrough")?.filter(|yes| *yes),
        torn: fields.word("tornPolicy", &torn)?,
        ..DriveConfig::new(medium)
    })
}

/// The server's working directory is nobody's business, and a mistyped device must not become a file.
fn checked(path: PathBuf) -> Result<PathBuf, Failure> {
    if !path.is_absolute() {
        return Err(Failure::of_field("path", "must begin with /"));
    }
    if path.starts_with("/dev") && !path.exists() {
        return Err(Failure::of_field("path", format!("names no device: there is no {}", path.display())));
    }
    Ok(path)
}

/// POST on a drive: which action, the path's last part says.
#[utoipa::path(post, path = "/drives/{id}", tag = "Drives", summary = "Enlarge ({id}:grow) or check ({id}:check) a drive",
    request_body = Option<DriveGrow>,
    responses((status = 200, body = Object, description = "done")))]
pub(crate) async fn act(
    State(app): State<SharedApp>,
    params: Params,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    match params.get("id").split_once(':') {
        Some((id, "grow")) => grow(app, parse_id(id)?, &body?.0).await,
        Some((id, "check")) => check(&app, parse_id(id)?).await,
        _ => Err(Failure::new(Code::NotExists, format!("there is no drives/{}", params.get("id"))).into()),
    }
}

async fn grow(app: SharedApp, drive: Uuid, body: &Map<String, Value>) -> Result<Response, BasaltError> {
    let size_bytes = Fields::new(body).whole("sizeBytes")?;
    let this = SharedApp::clone(&app);
    let change = async move {
        let (id, node) = node_of(&this, drive).await?;
        let grown = node.grow_drive(drive, size_bytes).await.map_err(|error| match error {
            NodeError::Invalid(reason) => {
                Failure::of_field("sizeBytes", format!("cannot be: {reason}")).into()
            }
            other => ApiError::from(other),
        });
        Ok(DriveView::new(id, grown?))
    };
    Ok(Json(app.complete(change).await?).into_response())
}

/// Walks all maps of a drive; takes as long as there is metadata.
async fn check(app: &App, drive: Uuid) -> Result<Response, BasaltError> {
    let (_, node) = node_of(app, drive).await?;
    let report = node.check_drive(drive).await.map_err(ApiError::from)?;
    let findings = json!({
        "layers": report.layers,
        "ownedExtents": report.owned_extents,
        "metadataExtents": report.metadata_extents,
        "problems": report.problems,
        "exact": report.exact,
    });
    Ok(Json(findings).into_response())
}

/// Closes a drive and forgets it. Its file stays. What is on it moves to other drives first, which this does not wait
/// for.
#[utoipa::path(delete, path = "/drives/{id}", tag = "Drives", summary = "Empty and close a drive",
    responses(
        (status = 200, body = Object, description = "done"),
        (status = 202, body = DriveView, description = "its volumes move; it is gone when they have")))]
pub(crate) async fn remove(State(app): State<SharedApp>, params: Params) -> Result<Response, BasaltError> {
    let drive = parse_id(params.get("id"))?;
    let this = SharedApp::clone(&app);
    let removal = async move {
        let (id, node) = node_of(&this, drive).await?;
        match node.remove_drive(drive).await {
            Err(NodeError::NotEmpty { .. }) => {
                node.begin_evacuation(drive).await?;
                let left = node.drives().await?.into_iter().find(|other| other.uuid == drive);
                Ok(Some(left.map(|drive| DriveView::new(id, drive))))
            }
            done => Ok(done.map(|()| None)?),
        }
    };
    Ok(match app.complete(removal).await? {
        Some(Some(begun)) => (StatusCode::ACCEPTED, Json(begun)).into_response(),
        // Without volumes in it any more by now, or at once.
        Some(None) | None => Json(json!({ "removed": drive })).into_response(),
    })
}

/// The node that has the drive.
async fn node_of(app: &App, drive: Uuid) -> Result<(String, NodeHandle), ApiError> {
    let observed = app.observe().await;
    let has = |node: &ObservedNode| node.drives.iter().any(|other| other.uuid == drive);
    let found = observed.nodes.iter().find(|(_, node)| has(node));
    let (id, _) = found.ok_or(NodeError::NotFound(NodeObject::Drive))?;
    Ok((id.clone(), app.nodes.of(id)?))
}

fn parse_id(id: &str) -> Result<Uuid, Failure> {
    parse_uuid(id).ok_or_else(|| Failure::new(Code::NotExists, format!("there is no drive {id:?}")))
}

/// Of Linux.
const LONGEST_PATH: usize = 4095;
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_field_is_named() {
        let wrong = [
            ("path", json!({})),
            ("path", json!({"path": 7})),
            ("path", json!({"path": "relative.img"})),
            ("path", json!({"path": "/dev/basalt-none"})),
            ("memory", json!({"path": "/a", "memory": "m"})),
            ("sizeBytes", json!({"memory": "m"})),
            ("sizeBytes", json!({"path": "/a", "sizeBytes": "16G"})),
            ("format", json!({"path": "/a", "format": "yes"})),
            ("tornPolicy", json!({"path": "/a", "tornPolicy": "never"})),
        ];
        for (field, body) in wrong {
            let failure = parse(body.as_object().unwrap()).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(field), "{body}");
        }
        let body =
            json!({"path": "/a", "sizeBytes": 1 << 30, "tornPolicy": "torn-safe", "writeThrough": false});
        let config = parse(body.as_object().unwrap()).unwrap();
        assert_eq!(config.medium, DriveMedium::Path("/a".into()));
        assert_eq!((config.size_bytes, config.torn), (Some(1 << 30), Some(TornPolicy::TornSafe)));
        assert_eq!((config.write_through, config.format), (None, false), "the drive's cache decides");
    }
}
