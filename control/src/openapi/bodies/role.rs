//! Of the role API (role.md).
#![expect(dead_code, reason = "these types stand for what is received; only their schemas are used")]

use serde_json::Value;
use utoipa::ToSchema;

#[derive(ToSchema)]
pub(crate) struct UserTokenCreate {
    auth: Option<UserTokenAuth>,
}

/// Without credentials the token in the header says who asks.
#[derive(ToSchema)]
pub(crate) struct UserTokenAuth {
    /// Absent: a token that is scoped to no tenant.
    #[serde(rename = "tenantName")]
    tenant_name: Option<String>,
    #[serde(rename = "passwordCredentials")]
    password_credentials: Option<PasswordCredentials>,
}

#[derive(ToSchema)]
pub(crate) struct PasswordCredentials {
    username: String,
    password: String,
}

#[derive(ToSchema)]
pub(crate) struct RoleCreate {
    role: RoleFields,
}

#[derive(ToSchema)]
pub(crate) struct RoleFields {
    /// `r1`, `r1/sub`, or in full: `yrn:yahoo:::demo:role:r1`.
    name: String,
    /// Full names in the own tenant. Absent: as they are; empty: none.
    policies: Option<Vec<String>>,
    /// Full names of roles of any tenant.
    alias: Option<Vec<String>>,
}

#[derive(ToSchema)]
pub(crate) struct RoleHostAdd {
    /// Or a list of them.
    host: RoleHost,
    /// Drop all host names first.
    clear_hostname: Option<bool>,
    /// Drop all addresses first.
    clear_ips: Option<bool>,
}

#[derive(ToSchema)]
pub(crate) struct RoleHost {
    /// A name or an address. Absent: the caller's address.
    host: Option<String>,
    /// 0: any.
    port: Option<u16>,
    /// The machine's id. Absent: any.
    cuk: Option<String>,
    /// An initiator's name, which must match then, or a known word.
    extra: Option<String>,
    tag: Option<String>,
    inboundip: Option<String>,
    outboundip: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct PolicyCreate {
    policy: PolicyFields,
}

#[derive(ToSchema)]
pub(crate) struct PolicyFields {
    name: String,
    /// `allow` or `deny`.
    effect: Option<String>,
    /// `yrn:yahoo::::action:read`, `yrn:yahoo::::action:write`.
    action: Option<Vec<String>>,
    /// Full names in the own tenant, such as `yrn:yahoo:::demo:resource:volume`.
    resource: Option<Vec<String>>,
    /// Kept, not judged.
    condition: Option<String>,
    /// Full names of policies in the own tenant.
    alias: Option<Vec<String>>,
}

#[derive(ToSchema)]
pub(crate) struct ResourceCreate {
    resource: ResourceFields,
}

#[derive(ToSchema)]
pub(crate) struct ResourceFields {
    name: String,
    /// `string` or `object`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Of that type. Absent: as it is.
    #[schema(value_type = Object)]
    data: Option<Value>,
    #[schema(value_type = Object)]
    keys: Option<Value>,
    /// Full names of resources.
    alias: Option<Vec<String>>,
}

#[derive(ToSchema)]
pub(crate) struct ResourceWrite {
    resource: ResourceData,
}

#[derive(ToSchema)]
pub(crate) struct ResourceData {
    /// `string` or `object`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Of that type.
    #[schema(value_type = Object)]
    data: Option<Value>,
    #[schema(value_type = Object)]
    keys: Option<Value>,
}

#[derive(ToSchema)]
pub(crate) struct TenantOfRolesCreate {
    tenant: TenantOfRoles,
}

#[derive(ToSchema)]
pub(crate) struct TenantOfRoles {
    /// Gets `local@` in front if it has not.
    name: String,
    desc: Option<String>,
    display: Option<String>,
    /// Names of users who may act in it. Absent: as they are.
    users: Option<Vec<String>>,
}

#[derive(ToSchema)]
pub(crate) struct TenantOfRolesChange {
    tenant: TenantOfRolesFields,
}

#[derive(ToSchema)]
pub(crate) struct TenantOfRolesFields {
    /// The tenant's.
    id: String,
    desc: Option<String>,
    display: Option<String>,
    users: Option<Vec<String>>,
}
