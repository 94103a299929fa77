//! Errors of the role API: `{"result":false,"message":"…"}` (role.md §1).

use axum::{
    extract::OriginalUri,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::answer;
use crate::{
    accounts::LoginError,
    envelope::{ApiError, Failure},
    role::{ArgumentError, YrnError},
    store::StoreError,
};

/// Nothing was changed.
#[derive(Debug)]
pub(crate) struct RoleError {
    status: StatusCode,
    message: String,
}

/// Why, for those who asked for it in a header.
#[derive(Debug, Clone)]
pub(super) struct Reason(pub(super) String);

impl RoleError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl IntoResponse for RoleError {
    fn into_response(self) -> Response {
        let mut response = answer::json(self.status, &json!({ "result": false, "message": self.message }));
        response.extensions_mut().insert(Reason(self.message));
        response
    }
}

impl From<StoreError> for RoleError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request failed in the metadata store");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<Failure> for RoleError {
    /// The readers of requests know only requests that are wrong.
    fn from(failure: Failure) -> Self {
        Self::bad(failure.description)
    }
}

impl From<ApiError> for RoleError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Domain(failure) => failure.into(),
            ApiError::Protocol { status, description, .. } => Self::new(status, description),
            ApiError::Store(error) => error.into(),
        }
    }
}

impl From<YrnError> for RoleError {
    fn from(error: YrnError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<ArgumentError> for RoleError {
    fn from(error: ArgumentError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<LoginError> for RoleError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Store(error) => error.into(),
            LoginError::Wrong => Self::not_found(error.to_string()),
            LoginError::TooMany { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
        }
    }
}

pub(crate) async fn not_found(OriginalUri(uri): OriginalUri) -> RoleError {
    RoleError::not_found(format!("there is no {}", uri.path()))
}

pub(crate) async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> RoleError {
    RoleError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}
