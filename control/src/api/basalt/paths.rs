//! GET and POST volumes/{id}/path-state: how hosts see a volume through the nodes of its copies.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use dataplane::node::{AnaState, NodeError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::BasaltError;
use crate::{
    api::volumes,
    app::{App, SharedApp},
    envelope::{ApiError, Code, Failure},
    events::Kind,
    fields::Fields,
    model::{replica::Replica, volume::VolumeRecord},
    nodes::wire::WireAnaState,
    openapi::bodies::PathStateSet,
    request::{JsonBody, Params},
};

/// The paths of a volume: one through the node of each copy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PathStateView {
    #[serde(rename = "volumeID")]
    volume_id: Uuid,
    /// Of the only path: `optimized`, `non-optimized`, `inaccessible`, `persistent-loss` or `change`; omitted where there
    /// are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    ana_state: Option<&'static str>,
    paths: Vec<PathView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PathView {
    #[serde(rename = "replicaID")]
    replica_id: Uuid,
    #[serde(rename = "persistentID")]
    persistent_id: String,
    /// Omitted while the node does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    ana_state: Option<&'static str>,
}

/// In Linux' words (`/sys/class/nvme/…/ana_state`).
const STATES: [(&str, AnaState); 5] = [
    ("optimized", AnaState::Optimized),
    ("non-optimized", AnaState::NonOptimized),
    ("inaccessible", AnaState::Inaccessible),
    ("persistent-loss", AnaState::PersistentLoss),
    ("change", AnaState::Change),
];

#[utoipa::path(get, path = "/volumes/{id}/path-state", tag = "Volumes", summary = "How hosts see a volume through its nodes",
    responses((status = 200, body = PathStateView, description = "done")))]
pub(crate) async fn show(State(app): State<SharedApp>, params: Params) -> Result<Response, BasaltError> {
    let volume = find(&app, params.get("id")).await?;
    Ok(Json(view(&app, &volume).await?).into_response())
}

/// A node that does not answer is an error only if nothing else is left to tell.
async fn view(app: &App, volume: &VolumeRecord) -> Result<PathStateView, ApiError> {
    let (mut paths, mut away) = (Vec::new(), None);
    for replica in there(volume) {
        let told = match app.nodes.of(&replica.backend) {
            Ok(node) => node.ana_state(replica.uuid).await,
            Err(error) => Err(error),
        };
        let ana_state = match told {
            Ok(WireAnaState(state)) => Some(word(state)),
            Err(error) => {
                away = Some(error);
                None
            }
        };
        let persistent_id = replica.backend.clone();
        paths.push(PathView { replica_id: replica.uuid, persistent_id, ana_state });
    }
    if let (Some(error), true) = (away, paths.iter().all(|path| path.ana_state.is_none())) {
        return Err(error.into());
    }
    let ana_state = match paths.as_slice() {
        [only] => only.ana_state,
        _ => None,
    };
    Ok(PathStateView { volume_id: volume.uuid, ana_state, paths })
}

/// For maintenance: hosts that have other paths use those. Once this has answered `inaccessible`, `persistent-loss` or
/// `change`, nothing more reaches the volume through that node. A restart of the node makes every path `optimized`
/// again.
#[utoipa::path(post, path = "/volumes/{id}/path-state", tag = "Volumes", summary = "Take a volume's path through a node out of use, or back",
    request_body = PathStateSet,
    responses((status = 200, body = PathStateView, description = "done")))]
pub(crate) async fn set(
    State(app): State<SharedApp>,
    params: Params,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let wanted = PathChange::parse(&body?.0)?;
    let volume = find(&app, params.get("id")).await?;
    let replica = wanted.replica_of(&volume)?;
    let (this, volume_id) = (SharedApp::clone(&app), volume.uuid);
    let change = async move {
        let Replica { uuid, backend, .. } = replica;
        let done = this.nodes.of(&backend)?.set_ana_state(uuid, WireAnaState(wanted.state)).await;
        done.map_err(|error| match error {
            NodeError::Invalid(reason) => {
                Failure::of_field("anaState", format!("cannot be set: {reason}")).into()
            }
            other => ApiError::from(other),
        })?;
        let text = format!("the path of volume {volume_id} through node {backend} is {}", word(wanted.state));
        this.events.add(Kind::VolumePathChanged, volume_id, text).await;
        Ok::<_, ApiError>(())
    };
    app.complete(change).await?;
    Ok(Json(view(&app, &volume).await?).into_response())
}

struct PathChange {
    state: AnaState,
    /// Which path, of several.
    replica: Option<Uuid>,
}

impl PathChange {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        Ok(Self {
            state: fields.require("anaState", fields.word("anaState", &STATES)?)?,
            replica: fields.uuid("replicaID")?,
        })
    }

    /// The copy whose path is meant.
    fn replica_of(&self, volume: &VolumeRecord) -> Result<Replica, Failure> {
        let mut copies = there(volume);
        let found = match self.replica {
            Some(wanted) => copies.find(|replica| replica.uuid == wanted),
            None if volume.replicas.len() > 1 => {
                let why = "is required: the volume has several copies, each with a path of its own";
                return Err(Failure::of_field("replicaID", why));
            }
            None => copies.next(),
        };
        found
            .cloned()
            .ok_or_else(|| Failure::of_field("replicaID", "is no copy of the volume that is on a node"))
    }
}

/// The copies that are on nodes.
fn there(volume: &VolumeRecord) -> impl Iterator<Item = &Replica> {
    volume.shown_replicas().filter(|replica| !replica.is_lost())
}

fn word(state: AnaState) -> &'static str {
    let found = STATES.iter().find(|(_, other)| *other == state);
    found.expect("all states have a word").0
}

async fn find(app: &App, id: &str) -> Result<VolumeRecord, ApiError> {
    let missing = || Failure::new(Code::NotExists, format!("there is no volume {id:?}"));
    Ok(volumes::find_of_any_tenant(app, id).await?.ok_or_else(missing)?.value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::volume::tests::volume;

    fn parse(body: &Value) -> Result<PathChange, Failure> {
        PathChange::parse(body.as_object().unwrap())
    }

    #[test]
    fn of_several_copies_one_must_be_named() {
        let mut volume = volume(1, 1);
        let change = |replica: Option<Uuid>| PathChange { state: AnaState::Change, replica };
        let meant = |volume: &VolumeRecord, replica| change(replica).replica_of(volume).map(|r| r.uuid);
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(meant(&volume, None), Ok(first));
        assert!(meant(&volume, Some(second)).is_err());
        volume.replicas.push(Replica::new(second, "02:00:00:00:00:02", 0));
        assert_eq!(meant(&volume, None).unwrap_err().field.as_deref(), Some("replicaID"));
        assert_eq!(meant(&volume, Some(second)), Ok(second));
        volume.replicas[1].lose(1);
        assert!(meant(&volume, Some(second)).is_err(), "it is on no node");
    }

    #[test]
    fn every_state_has_a_word_and_nothing_else_is_one() {
        for state in AnaState::ALL {
            let body = json!({ "anaState": word(state) });
            assert_eq!(parse(&body).unwrap().state, state);
        }
        for body in [json!({}), json!({"anaState": "Optimized"}), json!({"anaState": 1})] {
            let failure = parse(&body).err().unwrap();
            assert_eq!(failure.field.as_deref(), Some("anaState"), "{body}");
        }
    }
}
