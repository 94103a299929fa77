//! Is it alive, is it ready? Open to all, so they say nothing else.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::app::SharedApp;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "About", summary = "Does the process answer?", security(()),
    responses((status = 200, body = Object, description = "done")))]
pub(crate) async fn healthz() -> Response {
    Json(json!({ "healthy": true })).into_response()
}

/// Some node behind it answers, too: 503 if none does.
#[utoipa::path(get, path = "/readyz", tag = "About", summary = "Does the storage node answer?", security(()),
    responses((status = 200, body = Object, description = "yes"), (status = 503, body = Object, description = "no")))]
pub(crate) async fn readyz(State(app): State<SharedApp>) -> Response {
    let ready = app.nodes.is_any_alive();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready }))).into_response()
}
