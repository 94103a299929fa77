//! /v1/user/tokens: tokens for users, inside a tenant or not (role.md §2).

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    RoleError,
    answer::{done, nothing},
    call::{Body, Call},
};
use crate::{
    accounts::UserIdentity,
    limits,
    openapi::{RoleProblem, bodies::UserTokenCreate},
    role::{Arguments, Tenant, tenants},
};

/// What a real client leaves in place of a user name that it did not fill in.
const PLACEHOLDER: &str = "<user name>";

/// Name and password, or nothing where the token in the header tells who asks.
struct Asked {
    credentials: Option<(String, String)>,
    tenant: Option<String>,
}

#[utoipa::path(post, path = "/user/tokens", tag = "Roles", summary = "A user token", security((), ("token" = [])),
    request_body = UserTokenCreate, responses(
        (status = 201, body = Object, description = "the token; scoped if a tenant is named"),
        (status = 429, body = RoleProblem, description = "too many failed logins")))]
pub(crate) async fn create(call: Call, body: Body) -> Result<Response, RoleError> {
    let mut body = body.fields();
    let auth = match body.0.remove("auth") {
        None | Some(Value::Null) => Arguments::default(),
        Some(Value::Object(auth)) => Arguments(auth),
        Some(_) => return Err(RoleError::bad("auth must be an object")),
    };
    let credentials = match auth.raw("passwordCredentials") {
        Some(Value::Object(map)) => Arguments(map.clone()),
        None => Arguments::default(),
        Some(_) => return Err(RoleError::bad("auth.passwordCredentials must be an object")),
    };
    let named = pair(&credentials, "username")?;
    let credentials = if named.is_some() { named } else { pair(&auth, "user")? };
    issue(&call, Asked { credentials, tenant: auth.text("tenantName")?.map(str::to_owned) }).await
}

#[utoipa::path(put, path = "/user/tokens", tag = "Roles", summary = "A user token, by arguments", security((), ("token" = [])),
    params(("username" = Option<String>, Query, description = "who"), ("password" = Option<String>, Query, description = "the password"), ("tenantname" = Option<String>, Query, description = "the tenant")),
    responses(
        (status = 201, body = Object, description = "the token; scoped if a tenant is named"),
        (status = 429, body = RoleProblem, description = "too many failed logins")))]
pub(crate) async fn put(call: Call) -> Result<Response, RoleError> {
    let named = pair(&call.arguments, "username")?;
    let credentials = if named.is_some() { named } else { pair(&call.arguments, "user")? };
    let tenant = call.arguments.text("tenantname")?.map(str::to_owned);
    issue(&call, Asked { credentials, tenant }).await
}

fn pair(given: &Arguments, user: &str) -> Result<Option<(String, String)>, RoleError> {
    let Some(name) = given.text(user)?.filter(|name| *name != PLACEHOLDER) else { return Ok(None) };
    let password = given.need("password")?;
    if name.chars().count() > limits::NAME_CHARS || password.chars().count() > limits::PASSWORD_CHARS {
        return Err(RoleError::bad(format!("{user} or password is too long")));
    }
    Ok(Some((name.to_owned(), password.to_owned())))
}

async fn issue(call: &Call, asked: Asked) -> Result<Response, RoleError> {
    let accounts = &call.app.auth.accounts;
    let user = match asked.credentials {
        Some((name, password)) => {
            accounts.identity_of(accounts.check_password(call.source, &name, password).await?).await?
        }
        None if !call.has_token() => {
            return Err(RoleError::bad("username must be given, or a token in the header x-auth-token"));
        }
        None => {
            let wrong = |_| RoleError::not_found("the token in the header x-auth-token is not valid");
            call.user().await.map_err(wrong)?
        }
    };
    let tenant = match asked.tenant {
        Some(name) => Some(admitting(call, &user, &name).await?),
        None => None,
    };
    let scope = tenant.as_ref().map(|tenant| tenant.name.as_str());
    let token = accounts.open_user_token(&user, scope).await?;
    let answer = json!({ "message": "succeed", "scoped": scope.is_some(), "token": token });
    Ok(done(StatusCode::CREATED, answer))
}

/// The tenant of that name; whether it does not exist or does not admit the user is not told apart.
async fn admitting(call: &Call, user: &UserIdentity, name: &str) -> Result<Tenant, RoleError> {
    let name = name.to_lowercase();
    let tenants = tenants(&call.app.state).await?;
    let found = tenants.into_iter().find(|tenant| tenant.name == name && tenant.admits(user));
    found.ok_or_else(|| RoleError::not_found(format!("{} is in no tenant {name:?}", user.user.name)))
}

/// The tenants that the user may act in; of a scoped token its own.
#[utoipa::path(get, path = "/user/tokens", tag = "Roles", summary = "What a user token is good for", security(("token" = [])),
    responses((status = 200, body = Object, description = "the user and the tenants")))]
pub(crate) async fn show(call: Call) -> Result<Response, RoleError> {
    let user = call.user().await?;
    let tenants = tenants(&call.app.state).await?.into_iter();
    let reachable = tenants.filter(|tenant| tenant.admits(&user));
    let listed = reachable.filter(|tenant| user.tenant.as_ref().is_none_or(|name| *name == tenant.name));
    let views: Vec<Value> = listed.map(|tenant| {
        let display = tenant.profile.display.as_deref().unwrap_or(&tenant.name);
        json!({ "name": tenant.name, "id": tenant.id, "description": tenant.profile.description, "display": display })
    }).collect();
    let answer = json!({
        "message": "succeed", "scoped": user.tenant.is_some(), "user": user.user.name, "tenants": views,
    });
    Ok(done(StatusCode::OK, answer))
}

#[utoipa::path(head, path = "/user/tokens", tag = "Roles", summary = "Whether a user token is valid", security(("token" = [])),
    responses((status = 204, description = "yes"), (status = 401, description = "no")))]
pub(crate) async fn check(call: Call) -> Result<Response, RoleError> {
    call.user().await?;
    Ok(nothing())
}
