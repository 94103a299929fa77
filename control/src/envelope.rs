//! The provisioner API's answers: `{status, description, …}` (provisioner §1.3, D5).

use std::fmt::Display;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use dataplane::node::NodeError;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::store::StoreError;

/// Result codes; the contract's own (§7), those of its protocol failures (D5), and `DeviceNotFound` of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    AlreadyExists,
    AllReplicasDown,
    AlreadyPublished,
    BackendHasVolumes,
    BackendWithHostIdAlreadyExists,
    BackendsClientUnauthorized,
    CommunicationError,
    CreateBackendsClientTokenFailed,
    CreateProvisionerClientTokenFailed,
    DecryptBackendsClientTokenFailed,
    DecryptProvisionerClientTokenFailed,
    DeviceNotFound,
    Forbidden,
    HostAvailable,
    HostNotFound,
    InternalError,
    InvalidAuthMode,
    InvalidInput,
    InvalidLicense,
    InvalidLocationValue,
    InvalidReplicas,
    InvalidSize,
    LicenseError,
    MethodNotAllowed,
    NoBackendToMigrateReplica,
    NoBackendWithHostIdExists,
    NoBackends,
    NoChange,
    NoFreeSpace,
    NoGroups,
    NoMatchingBackend,
    NoTask,
    NoTerminating,
    NotAvailable,
    NotEnoughMatchingBackends,
    NotEnoughReplicas,
    NotExists,
    NotFound,
    NotInUse,
    NotReplicated,
    OngoingTask,
    ProvisionerClientUnauthorized,
    PublishFailed,
    ReplicaNotFound,
    ReplicaTerminating,
    Replicated,
    SameRackNotAllowed,
    SyslogNotAvailable,
    TaskAlreadyRunning,
    TaskBelongsToOtherHost,
    TaskEnded,
    TaskNotFound,
    TenantAlreadyExists,
    TenantCapacityExceeded,
    TenantHasVolumes,
    TenantNotFound,
    TopologyConstraints,
    Unauthorized,
    UnpublishFailed,
    UpdateTaskFailed,
    VolumeIsInUse,
    VolumeNotFound,
    VolumeNotInHost,
    VolumeNotPublished,
    VolumePublishedToMultipleHosts,
}

/// An operation that could not be done; nothing was changed. Sent with HTTP 200 (D5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// The field of the request that is wrong, where it is one.
    pub(crate) field: Option<String>,
    /// Names the field or object and the reason.
    pub(crate) description: String,
}

impl Failure {
    pub(crate) fn new(code: Code, description: impl Into<String>) -> Self {
        Self { code, field: None, description: description.into() }
    }

    pub(crate) fn invalid(description: impl Into<String>) -> Self {
        Self::new(Code::InvalidInput, description)
    }

    /// `InvalidInput`: "`field` `reason`".
    pub(crate) fn of_field(field: impl Into<String>, reason: impl Display) -> Self {
        let field = field.into();
        let description = format!("{field} {reason}");
        Self { code: Code::InvalidInput, field: Some(field), description }
    }
}

/// What a handler answers if not what was asked for.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The caller's request cannot be done.
    Domain(Failure),
    /// The request is not one of this API, or the server failed; true HTTP status.
    Protocol { status: StatusCode, code: Code, description: String },
    /// The store failed, or (`Conflict`) others were faster time and again.
    Store(StoreError),
}

pub(crate) type Reply = Result<Response, ApiError>;

impl ApiError {
    pub(crate) fn protocol(status: StatusCode, description: impl Into<String>) -> Self {
        let code = match status {
            StatusCode::UNAUTHORIZED => Code::Unauthorized,
            StatusCode::FORBIDDEN => Code::Forbidden,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
            status if status.is_server_error() => Code::InternalError,
            _ => Code::InvalidInput,
        };
        Self::Protocol { status, code, description: description.into() }
    }

    pub(crate) fn internal(description: impl Into<String>) -> Self {
        Self::protocol(StatusCode::INTERNAL_SERVER_ERROR, description)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self::Domain(failure)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NodeError> for Failure {
    /// The node's own codes pass through (provisioner §1.3).
    fn from(error: NodeError) -> Self {
        let code = match &error {
            NodeError::NotFound(_) => Code::DeviceNotFound,
            NodeError::AlreadyExists(_) => Code::AlreadyExists,
            NodeError::Invalid(_) => Code::InvalidInput,
            NodeError::NoFreeSpace { .. } => Code::NoFreeSpace,
            NodeError::InUse(_) | NodeError::NotEmpty { .. } => Code::VolumeIsInUse,
            NodeError::Drive(_) | NodeError::ShuttingDown | NodeError::NoAnswer(_) => Code::NotAvailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        Failure::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Domain(Failure { code, description, .. }) => {
                Json(json!({ "status": format!("{code:?}"), "description": description })).into_response()
            }
            Self::Protocol { status, code, description } => {
                // Clients look for the text, not for the status (D5).
                let description = format!("HTTP Status {}: {description}", status.as_u16());
                let body = json!({ "status": format!("{code:?}"), "description": description });
                (status, Json(body)).into_response()
            }
            Self::Store(error) => {
                tracing::error!(%error, "a request failed in the metadata store");
                Self::internal(error.to_string()).into_response()
            }
        }
    }
}

/// `{S}`.
pub(crate) fn success() -> Response {
    Json(json!({ "status": "Success", "description": "Success." })).into_response()
}

/// `{S}` and the UUID of what was made (D26).
pub(crate) fn created(uuid: Uuid) -> Response {
    let body: Value = json!({ "status": "Success", "description": "Success.", "persistentId": uuid });
    Json(body).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn sent(error: ApiError) -> (StatusCode, Value) {
        let response = error.into_response();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn domain_failures_are_http_200_and_protocol_failures_say_their_status() {
        let (status, body) = sent(Failure::new(Code::NotExists, "no volume x").into()).await;
        assert_eq!(
            (status, body),
            (StatusCode::OK, json!({"status": "NotExists", "description": "no volume x"}))
        );
        for (status, code) in [
            (400, "InvalidInput"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (404, "NotFound"),
            (405, "MethodNotAllowed"),
            (500, "InternalError"),
        ] {
            let (sent, body) = sent(ApiError::protocol(StatusCode::from_u16(status).unwrap(), "why")).await;
            assert_eq!((sent.as_u16(), &body["status"]), (status, &json!(code)));
            assert_eq!(body["description"], format!("HTTP Status {status}: why"));
        }
    }
}
