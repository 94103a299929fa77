//! GET events.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use super::error::BasaltError;
use crate::{app::SharedApp, envelope::Failure, events::Event, request::Query};

/// The kept events with a number above `after` (default 0: all of them), the oldest first.
#[utoipa::path(get, path = "/events", tag = "Node", summary = "What happened",
    params(("after" = Option<u64>, Query, description = "only those with a larger number")),
    responses((status = 200, body = Vec<Event>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, query: Query) -> Result<Response, BasaltError> {
    let after = match query.get("after").map(str::parse) {
        None => 0,
        Some(Ok(after)) => after,
        Some(Err(_)) => {
            return Err(Failure::of_field("after", "must be the number of an event, or 0").into());
        }
    };
    Ok(Json(app.events.after(after).await?).into_response())
}
