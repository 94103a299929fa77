//! POST tokens:rotate.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::error::BasaltError;
use crate::app::SharedApp;

/// Replaces the administrator's token of the first start, here and in its file; the answer holds the new one.
#[utoipa::path(post, path = "/tokens:rotate", tag = "Node", summary = "Replace the administrator's token",
    responses((status = 200, body = Object, description = "the new one")))]
pub(crate) async fn rotate(State(app): State<SharedApp>) -> Result<Response, BasaltError> {
    let this = SharedApp::clone(&app);
    // In a task of its own: once begun it ends, even if the client goes away.
    let rotated = tokio::spawn(async move { this.auth.tokens.rotate().await }).await;
    match rotated.expect("rotation neither panics nor is cancelled") {
        Ok(token) => Ok(Json(json!({ "token": token })).into_response()),
        Err(error) => Err(BasaltError::internal(&error)),
    }
}
