//! GET events.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use super::error::BasaltError;
use crate::{app::SharedApp, envelope::Failure, request::Query};

/// The kept events with a number above `after` (default 0: all of them), the oldest first.
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
