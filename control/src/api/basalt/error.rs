//! Errors of `/basalt/v1`.

use axum::{
    Json,
    extract::OriginalUri,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    auth::Refused,
    envelope::{ApiError, Code, Failure},
    store::StoreError,
};

/// `code` is for programs, `message` for people; `field` names the field of the request that is wrong.
#[derive(Debug)]
pub(crate) struct BasaltError {
    status: StatusCode,
    code: &'static str,
    message: String,
    field: Option<String>,
}

impl BasaltError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None }
    }

    pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The server's fault: logged, too.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    }
}

impl From<StoreError> for BasaltError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<Failure> for BasaltError {
    fn from(failure: Failure) -> Self {
        let (status, code) = match failure.code {
            Code::InvalidInput | Code::InvalidSize => (StatusCode::BAD_REQUEST, "invalid_input"),
            Code::NotExists | Code::DeviceNotFound | Code::TenantNotFound => {
                (StatusCode::NOT_FOUND, "not_found")
            }
            Code::AlreadyExists => (StatusCode::CONFLICT, "already_exists"),
            Code::VolumeIsInUse => (StatusCode::CONFLICT, "in_use"),
            Code::NoFreeSpace => (StatusCode::INSUFFICIENT_STORAGE, "no_free_space"),
            Code::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Code::NotAvailable => (StatusCode::SERVICE_UNAVAILABLE, "not_available"),
            _ => (StatusCode::CONFLICT, "refused"),
        };
        Self { field: failure.field, ..Self::new(status, code, failure.description) }
    }
}

impl From<ApiError> for BasaltError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Domain(failure) => failure.into(),
            ApiError::Protocol { status, description, .. } if status.is_server_error() => {
                Self::new(status, "internal", description)
            }
            ApiError::Protocol { status, description, .. } => Self::new(status, "bad_request", description),
            ApiError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for BasaltError {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "message": self.message, "field": self.field });
        (self.status, Json(body)).into_response()
    }
}

pub(crate) async fn not_found(OriginalUri(uri): OriginalUri) -> Response {
    let message = format!("there is no {}", uri.path());
    BasaltError::new(StatusCode::NOT_FOUND, "not_found", message).into_response()
}

pub(crate) async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let message = format!("{} does not take {method}", uri.path());
    BasaltError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into_response()
}

pub(crate) fn refused(status: StatusCode, why: &Refused) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        _ => "internal",
    };
    BasaltError::new(status, code, why.to_string()).into_response()
}
