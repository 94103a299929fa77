//! GET and POST volumes/{id}/path-state: how hosts see a volume through this node.

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
    model::replica::Replica,
    nodes::wire::WireAnaState,
    openapi::bodies::PathStateSet,
    request::{JsonBody, Params},
};

/// The path of a volume through this node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PathStateView {
    #[serde(rename = "volumeID")]
    volume_id: Uuid,
    /// `optimized`, `non-optimized`, `inaccessible`, `persistent-loss` or `change`.
    ana_state: &'static str,
}

/// In Linux' words (`/sys/class/nvme/…/ana_state`).
const STATES: [(&str, AnaState); 5] = [
    ("optimized", AnaState::Optimized),
    ("non-optimized", AnaState::NonOptimized),
    ("inaccessible", AnaState::Inaccessible),
    ("persistent-loss", AnaState::PersistentLoss),
    ("change", AnaState::Change),
];

#[utoipa::path(get, path = "/volumes/{id}/path-state", tag = "Volumes", summary = "How hosts see a volume through this node",
    responses((status = 200, body = PathStateView, description = "done")))]
pub(crate) async fn show(State(app): State<SharedApp>, params: Params) -> Result<Response, BasaltError> {
    let (volume_id, replica) = find(&app, params.get("id")).await?;
    let node = app.nodes.of(&replica.backend).map_err(ApiError::from)?;
    let WireAnaState(state) = node.ana_state(replica.uuid).await.map_err(ApiError::from)?;
    Ok(Json(PathStateView { volume_id, ana_state: word(state) }).into_response())
}

/// For maintenance: hosts that have other paths use those. Once this has answered `inaccessible`, `persistent-loss` or
/// `change`, nothing more reaches the volume through this node. A restart of the node makes every path `optimized`
/// again.
#[utoipa::path(post, path = "/volumes/{id}/path-state", tag = "Volumes", summary = "Take a volume's path through this node out of use, or back",
    request_body = PathStateSet,
    responses((status = 200, body = PathStateView, description = "done")))]
pub(crate) async fn set(
    State(app): State<SharedApp>,
    params: Params,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let state = parse(&body?.0)?;
    let (volume_id, replica) = find(&app, params.get("id")).await?;
    let this = SharedApp::clone(&app);
    let change = async move {
        this.nodes.of(&replica.backend)?.set_ana_state(replica.uuid, WireAnaState(state)).await.map_err(
            |error| match error {
                NodeError::Invalid(reason) => {
                    Failure::of_field("anaState", format!("cannot be set: {reason}")).into()
                }
                other => ApiError::from(other),
            },
        )?;
        let text = format!("the path of volume {volume_id} through this node is {}", word(state));
        this.events.add(Kind::VolumePathChanged, &volume_id.to_string(), text).await;
        Ok::<_, ApiError>(())
    };
    app.complete(change).await?;
    Ok(Json(PathStateView { volume_id, ana_state: word(state) }).into_response())
}

fn parse(body: &Map<String, Value>) -> Result<AnaState, Failure> {
    let fields = Fields::new(body);
    fields.require("anaState", fields.word("anaState", &STATES)?)
}

fn word(state: AnaState) -> &'static str {
    let found = STATES.iter().find(|(_, other)| *other == state);
    found.expect("all states have a word").0
}

/// The volume, and what the node has of it.
async fn find(app: &App, id: &str) -> Result<(Uuid, Replica), ApiError> {
    let missing = || Failure::new(Code::NotExists, format!("there is no volume {id:?}"));
    let volume = volumes::find_of_any_tenant(app, id).await?.ok_or_else(missing)?.value;
    let replica = volume.replicas.first().ok_or_else(missing)?;
    Ok((volume.uuid, replica.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_state_has_a_word_and_nothing_else_is_one() {
        for state in AnaState::ALL {
            let body = json!({ "anaState": word(state) });
            assert_eq!(parse(body.as_object().unwrap()).unwrap(), state);
        }
        for body in [json!({}), json!({"anaState": "Optimized"}), json!({"anaState": 1})] {
            let failure = parse(body.as_object().unwrap()).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some("anaState"), "{body}");
        }
    }
}
