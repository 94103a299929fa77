//! Answers of the administration API (admin.md §2).

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::PREFIX;
use crate::{
    admin::{NotBegun, form::FormError},
    envelope::ApiError,
    store::StoreError,
};

const ERROR_MESSAGE: HeaderName = HeaderName::from_static("error-message");

/// What was refused or failed. The gate gives it its body, which needs to know whether the first start is over.
#[derive(Debug, Clone)]
pub(crate) struct AdminError {
    status: StatusCode,
    message: Option<String>,
    /// For programs; of updates only.
    code: Option<&'static str>,
}

/// Its form on the wire.
#[derive(ToSchema)]
#[expect(dead_code, reason = "this type stands for what is sent; only its schema is used")]
pub(crate) struct AdminProblem {
    #[schema(rename = "Status", example = "400 Bad Request")]
    status: String,
    /// The reason, if there is one; also a header of that name.
    #[schema(rename = "Error-Message")]
    error_message: Option<String>,
    /// Where a first start makes a passphrase: whether it waits to be used.
    #[schema(rename = "First-Run")]
    first_run: Option<bool>,
}

impl AdminError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()), code: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(crate) fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, message: None, code: None }
    }

    /// The whole answer. `first_run`: `None` where no first start makes a passphrase.
    pub(super) fn answer(&self, first_run: Option<bool>) -> Response {
        let mut body = Map::from_iter([("Status".to_owned(), json!(text(self.status)))]);
        if let Some(message) = &self.message {
            body.insert("Error-Message".to_owned(), json!(message));
            if let Some(first_run) = first_run {
                body.insert("First-Run".to_owned(), json!(first_run));
            }
        }
        if let Some(code) = self.code {
            body.insert("error-code".to_owned(), json!(code));
        }
        let mut response = (self.status, Json(Value::Object(body))).into_response();
        if let Some(message) = &self.message {
            response.headers_mut().insert(ERROR_MESSAGE, header_value(message));
        }
        response
    }
}

/// `400 Bad Request`.
fn text(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

/// What no header can hold becomes `?`.
fn header_value(text: &str) -> HeaderValue {
    let text: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    HeaderValue::from_str(&text).expect("printable ASCII only")
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<FormError> for AdminError {
    fn from(error: FormError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<NotBegun> for AdminError {
    fn from(error: NotBegun) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request failed in the metadata store");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<ApiError> for AdminError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Domain(failure) => Self::invalid(failure.description),
            ApiError::Protocol { status, description, .. } => Self::new(status, description),
            ApiError::Store(error) => error.into(),
        }
    }
}

/// It is done.
pub(super) fn done() -> Response {
    Json(json!({ "Status": text(StatusCode::OK) })).into_response()
}

/// It has begun; `GET` of the same endpoint tells how far it is.
pub(super) fn accepted(endpoint: &str) -> Response {
    let location = format!("{PREFIX}/{endpoint}");
    let body = json!({ "Status": text(StatusCode::ACCEPTED), "Location": location });
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
}

/// Changes from one moment to the next, so nobody shall keep it.
pub(super) fn uncached(body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], body).into_response()
}
