//! POST placements:explain: where a volume would lie, or why nowhere.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::BasaltError;
use crate::{
    api::{
        tenants::{Tenant, admit},
        volumes::{VolumeRequest, candidates},
    },
    app::{App, SharedApp},
    envelope::{ApiError, Failure},
    fields::Fields,
    limits,
    model::{
        placement::{self, Broken, Candidate, Explanation, Place, Wanted},
        volume::Size,
    },
    openapi::bodies::PlacementExplain,
    request::JsonBody,
};

/// What would become of a request for a volume now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlacementView {
    copies: u64,
    /// Of each copy, as are `reserved_bytes`.
    capacity_bytes: u64,
    reserved_bytes: u64,
    /// Every backend.
    backends: Vec<VerdictView>,
    /// One per copy; empty if the request would be refused.
    chosen: Vec<PlaceView>,
    /// `null` if it would not.
    refusal: Option<RefusalView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VerdictView {
    #[serde(rename = "persistentID")]
    persistent_id: String,
    /// It breaks no rule.
    fits: bool,
    failed: Vec<Broken>,
}

#[derive(Debug, Serialize, ToSchema)]
struct PlaceView {
    #[serde(rename = "persistentID")]
    persistent_id: String,
    /// One, or those that the copy may span.
    drives: Vec<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RefusalView {
    /// The result code that POST /volumes would answer.
    code: String,
    message: String,
}

/// Changes nothing and reserves nothing. Takes the body of POST /volumes; of that, what says which volume it is does
/// not matter here.
#[utoipa::path(post, path = "/placements:explain", tag = "Volumes", summary = "Where a volume would lie, and why not elsewhere",
    request_body = PlacementExplain,
    responses((status = 200, body = PlacementView, description = "done")))]
pub(crate) async fn explain(
    State(app): State<SharedApp>,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let body = body?.0;
    let fields = Fields::new(&body);
    let request = VolumeRequest::parse(fields)?;
    let tenant_id = fields.text("tenantId", limits::NAME_CHARS)?.unwrap_or_default();
    let tenant = Tenant::find(&app, tenant_id).await?;
    let observed = app.observe().await;
    let size = request.size(&app, &observed).await?;
    let (wanted, candidates) = (request.wanted(size), candidates(&app, &observed).await?);
    let mut explanation = placement::explain(wanted, &candidates);
    if let Err(failure) = before_placement(&app, &tenant, &request, wanted, size, &candidates).await? {
        explanation.outcome = Err(failure);
    }
    Ok(Json(PlacementView::new(&request, size, &candidates, explanation)).into_response())
}

/// What POST /volumes refuses before it looks for places, in its order.
async fn before_placement(
    app: &App,
    tenant: &Tenant,
    request: &VolumeRequest,
    wanted: Wanted<'_>,
    size: Size,
    candidates: &[Candidate],
) -> Result<Result<(), Failure>, ApiError> {
    let hosts = candidates.iter().map(|c| &c.record);
    let checked = request
        .check_replicas(app.config.default_replication)
        .and_then(|()| placement::require_host(wanted, hosts));
    match checked {
        Ok(()) => match admit(app, tenant.id(), request.takes(size)).await {
            Ok(_) => Ok(Ok(())),
            Err(ApiError::Domain(failure)) => Ok(Err(failure)),
            Err(error) => Err(error),
        },
        refused => Ok(refused),
    }
}

impl PlacementView {
    fn new(request: &VolumeRequest, size: Size, candidates: &[Candidate], explanation: Explanation) -> Self {
        let verdict = |(candidate, failed): (&Candidate, Vec<Broken>)| VerdictView {
            persistent_id: candidate.record.persistent_id.clone(),
            fits: failed.is_empty(),
            failed,
        };
        let chosen = |place: Place| PlaceView { persistent_id: place.backend, drives: place.drives };
        let (chosen, refusal) = match explanation.outcome {
            Ok(places) => (places.into_iter().map(chosen).collect(), None),
            Err(Failure { code, description, .. }) => {
                (Vec::new(), Some(RefusalView { code: format!("{code:?}"), message: description }))
            }
        };
        Self {
            copies: request.class.num_replicas,
            capacity_bytes: size.capacity_bytes(),
            reserved_bytes: size.reserved_bytes,
            backends: candidates.iter().zip(explanation.broken).map(verdict).collect(),
            chosen,
            refusal,
        }
    }
}
