//! The answers that every operation of an API may give, as schemas.
#![expect(dead_code, reason = "these types stand for what is sent; only their schemas are used")]

use utoipa::ToSchema;
use uuid::Uuid;

/// The provisioner API's verdict.
#[derive(ToSchema)]
pub(crate) struct Status {
    /// `Success`, or a result code such as `VolumeIsInUse`.
    status: String,
    /// Names the field or object and the reason.
    description: String,
}

/// The verdict, with the UUID of what was made.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    status: String,
    description: String,
    persistent_id: Uuid,
}

/// The verdict, with the number of an internal command.
#[derive(ToSchema)]
pub(crate) struct Numbered {
    status: String,
    description: String,
    id: Option<u64>,
}

/// The verdict, with the id of the tenant that was made.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantCreated {
    status: String,
    description: String,
    tenant_id: String,
}

/// What was asked for, or why it cannot be had: a refusal comes with HTTP 200, too (provisioner D5).
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Answer<T> {
    Done(T),
    Refused(Status),
}

/// An error of `/basalt/v1`.
#[derive(ToSchema)]
pub(crate) struct Problem {
    /// For programs.
    code: String,
    /// For people.
    message: String,
    /// The field of the request that is wrong, if it is one.
    field: Option<String>,
}

/// An error of the session API.
#[derive(ToSchema)]
pub(crate) struct SessionProblem {
    module: String,
    /// For programs: `invalid_request_error`, `http_not_found_error` and so on, by the status.
    error_class: String,
    /// For people.
    description: String,
    /// Always empty.
    stack: Vec<String>,
    user_visible: bool,
}

/// An error of the role API.
#[derive(ToSchema)]
pub(crate) struct RoleProblem {
    /// `false`.
    result: bool,
    /// For people.
    message: String,
}
