//! Errors of `/basalt/v1`.

use axum::{
    Json,
    extract::OriginalUri,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{auth::Refused, store::StoreError};

/// `code` is for programs, `message` for people.
#[derive(Debug)]
pub(crate) struct BasaltError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl BasaltError {
    /// The server's fault: logged, too.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, code: "internal", message: error.to_string() }
    }
}

impl From<StoreError> for BasaltError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for BasaltError {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "message": self.message, "field": null });
        (self.status, Json(body)).into_response()
    }
}

pub(crate) async fn not_found(OriginalUri(uri): OriginalUri) -> Response {
    let message = format!("there is no {}", uri.path());
    BasaltError { status: StatusCode::NOT_FOUND, code: "not_found", message }.into_response()
}

pub(crate) async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let message = format!("{} does not take {method}", uri.path());
    BasaltError { status: StatusCode::METHOD_NOT_ALLOWED, code: "method_not_allowed", message }
        .into_response()
}

pub(crate) fn unauthorized(refused: Refused) -> Response {
    let message = refused.to_string();
    BasaltError { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message }.into_response()
}
