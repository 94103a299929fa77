//! Of the session API (session.md).
#![expect(dead_code, reason = "these types stand for what is received; only their schemas are used")]

use utoipa::ToSchema;

#[derive(ToSchema)]
pub(crate) struct Login {
    username: String,
    password: String,
}

#[derive(ToSchema)]
pub(crate) struct PasswordChange {
    old_password: String,
    #[schema(min_length = 8)]
    new_password: String,
}

#[derive(ToSchema)]
pub(crate) struct NewPassword {
    #[schema(min_length = 8)]
    new_password: String,
}

#[derive(ToSchema)]
pub(crate) struct UserCreate {
    /// Unique over users and groups.
    name: String,
    /// The id of a group.
    #[schema(example = "513")]
    primary_group: String,
    /// Of POSIX; `""` is none.
    uid: Option<String>,
    #[schema(min_length = 8)]
    password: String,
    home_directory: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct UserReplace {
    /// As in the path.
    id: Option<String>,
    name: String,
    primary_group: String,
    uid: Option<String>,
    /// Absent: as it is.
    #[schema(min_length = 8)]
    password: Option<String>,
    home_directory: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct GroupCreate {
    /// Unique over users and groups.
    name: String,
    /// Of POSIX; `""` is none.
    gid: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct GroupReplace {
    /// As in the path.
    id: Option<String>,
    name: String,
    gid: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct MemberAdd {
    /// The id of a user.
    member_id: String,
}

/// At least one besides `domain`; all that are given must mean the same user or group.
#[derive(ToSchema)]
#[schema(example = json!({"name": "admin"}))]
pub(crate) struct IdentityGiven {
    /// `LOCAL`.
    domain: Option<String>,
    auth_id: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
    sid: Option<String>,
    name: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct IdentityExpand {
    id: IdentityGiven,
}

#[derive(ToSchema)]
#[schema(example = json!({"user": {"name": "admin"}}))]
pub(crate) struct AccessTokenCreate {
    user: IdentityGiven,
    /// RFC 3339 with a zone; absent: never.
    expiration_time: Option<String>,
}

/// What is absent stays.
#[derive(ToSchema)]
pub(crate) struct AccessTokenChange {
    expiration_time: Option<String>,
    enabled: Option<bool>,
}

#[derive(ToSchema)]
pub(crate) struct ClusterSettingsPut {
    cluster_name: String,
}
