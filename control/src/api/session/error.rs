//! Errors of the session API (session.md §2).

use axum::{
    Json,
    extract::OriginalUri,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    accounts::{DirectoryError, LoginError},
    envelope::{ApiError, Failure},
    store::StoreError,
};

/// The status decides the error class.
#[derive(Debug)]
pub(crate) struct SessionError {
    status: StatusCode,
    description: String,
}

impl SessionError {
    pub(crate) fn new(status: StatusCode, description: impl Into<String>) -> Self {
        Self { status, description: description.into() }
    }

    pub(crate) fn invalid(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, description)
    }

    fn class(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => "http_unauthorized_error",
            StatusCode::FORBIDDEN => "http_forbidden_error",
            StatusCode::NOT_FOUND => "http_not_found_error",
            StatusCode::METHOD_NOT_ALLOWED => "http_method_not_allowed_error",
            StatusCode::CONFLICT => "http_conflict_error",
            StatusCode::PRECONDITION_FAILED => "http_precondition_failed_error",
            StatusCode::TOO_MANY_REQUESTS => "http_too_many_requests_error",
            StatusCode::SERVICE_UNAVAILABLE => "http_service_unavailable_error",
            status if status.is_server_error() => "internal_error",
            _ => "invalid_request_error",
        }
    }
}

impl From<Failure> for SessionError {
    /// The readers of fields know only requests that are wrong.
    fn from(failure: Failure) -> Self {
        Self::invalid(failure.description)
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Conflict { .. } = error {
            return Self::new(StatusCode::CONFLICT, error.to_string());
        }
        tracing::error!(%error, "a request failed in the metadata store");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<ApiError> for SessionError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Domain(failure) => failure.into(),
            ApiError::Protocol { status, description, .. } => Self::new(status, description),
            ApiError::Store(error) => error.into(),
        }
    }
}

impl From<DirectoryError> for SessionError {
    fn from(error: DirectoryError) -> Self {
        let status = match error {
            DirectoryError::NoUser(_) | DirectoryError::NoGroup(_) | DirectoryError::NotAMember { .. } => {
                StatusCode::NOT_FOUND
            }
            DirectoryError::NoSuchGroup { .. } | DirectoryError::NoSuchMember(_) => StatusCode::BAD_REQUEST,
            DirectoryError::BuiltIn(_) | DirectoryError::Licensed(_) => StatusCode::FORBIDDEN,
            DirectoryError::OtherState(_) => StatusCode::PRECONDITION_FAILED,
            DirectoryError::NameTaken(_)
            | DirectoryError::NumberTaken { .. }
            | DirectoryError::PrimaryGroup(_)
            | DirectoryError::Full => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<LoginError> for SessionError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Store(error) => error.into(),
            LoginError::Wrong => Self::new(StatusCode::UNAUTHORIZED, error.to_string()),
            LoginError::TooMany { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
        }
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let body = json!({
            "module": "basalt",
            "error_class": self.class(),
            "description": self.description,
            "stack": [],
            "user_visible": true,
        });
        (self.status, Json(body)).into_response()
    }
}

pub(crate) async fn not_found(OriginalUri(uri): OriginalUri) -> SessionError {
    SessionError::new(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
}

pub(crate) async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> SessionError {
    let why = format!("{} does not take {method}", uri.path());
    SessionError::new(StatusCode::METHOD_NOT_ALLOWED, why)
}
