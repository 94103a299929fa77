//! /v1/tenant: storage tenants, and who may act in them (role.md §4 Tenant list, §7).

use std::collections::BTreeSet;

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    RoleError,
    answer::{done, nothing},
    call::{Body, Call},
};
use crate::{
    accounts::{AccountId, Directory, UserIdentity},
    api::tenants::change as storage,
    app::{SharedApp, retry},
    envelope::ApiError,
    events::Kind as EventKind,
    limits,
    model::tenant::{Budget, TenantRecord},
    openapi::bodies::{TenantOfRolesChange, TenantOfRolesCreate},
    role::{Arguments, Given, Tenant, TenantProfile, tenants},
    state::Change,
};

/// What the names of tenants that are made here begin with.
const PREFIX: &str = "local@";

#[utoipa::path(get, path = "/tenant", tag = "Roles", summary = "The tenants that one may act in", security(("token" = [])),
    params(("expand" = Option<bool>, Query, description = "with their users; true unless said otherwise")),
    responses((status = 200, body = Object, description = "of an administrator all of them")))]
pub(crate) async fn list(call: Call) -> Result<Response, RoleError> {
    let user = call.user().await?;
    let expand = call.arguments.truth("expand", true)?;
    let directory = call.app.auth.accounts.directory().await?;
    let found = tenants(&call.app.state).await?.into_iter().filter(|tenant| tenant.admits(&user));
    let views: Vec<Value> = match expand {
        true => found.map(|tenant| view(&tenant, &directory)).collect(),
        false => found.map(|tenant| Value::from(tenant.name)).collect(),
    };
    Ok(done(StatusCode::OK, json!({ "tenants": views })))
}

fn view(tenant: &Tenant, directory: &Directory) -> Value {
    let users = tenant.profile.users.iter().filter_map(|id| directory.user(*id).ok());
    json!({
        "name": tenant.name, "id": tenant.id, "desc": tenant.profile.description,
        "display": tenant.profile.display.as_deref().unwrap_or(&tenant.name),
        "users": users.map(|user| user.name.as_str()).collect::<Vec<_>>(),
    })
}

#[utoipa::path(get, path = "/tenant/{name}", tag = "Roles", summary = "A tenant that one may act in", security(("token" = [])),
    responses((status = 200, body = Object, description = "with its users")))]
pub(crate) async fn show(call: Call) -> Result<Response, RoleError> {
    let tenant = find(&call, &call.user().await?, &call.path).await?;
    let directory = call.app.auth.accounts.directory().await?;
    Ok(done(StatusCode::OK, json!({ "tenant": view(&tenant, &directory) })))
}

#[utoipa::path(head, path = "/tenant/{name}", tag = "Roles", summary = "Whether one may act in a tenant", security(("token" = [])),
    responses((status = 204, description = "yes"), (status = 400, description = "no")))]
pub(crate) async fn check(call: Call) -> Result<Response, RoleError> {
    find(&call, &call.user().await?, &call.path).await?;
    Ok(nothing())
}

/// The tenant of that name, if the user may act in it.
async fn find(call: &Call, user: &UserIdentity, name: &str) -> Result<Tenant, RoleError> {
    let name = name.to_lowercase();
    let found = tenants(&call.app.state).await?.into_iter().find(|t| t.name == name && t.admits(user));
    found.ok_or_else(|| RoleError::bad(format!("there is no tenant {name:?}")))
}

/// With no capacity of its own; the caller becomes one of its users.
#[utoipa::path(post, path = "/tenant", tag = "Roles", summary = "Make a tenant", security(("token" = [])),
    request_body = TenantOfRolesCreate, responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn create(call: Call, body: Body) -> Result<Response, RoleError> {
    make(&call, &body.object("tenant")?).await
}

#[utoipa::path(put, path = "/tenant", tag = "Roles", summary = "Make a tenant, by arguments", security(("token" = [])),
    params(("name" = String, Query, description = "begins with local@"), ("desc" = Option<String>, Query, description = "anything"), ("display" = Option<String>, Query, description = "anything"), ("users" = Option<String>, Query, description = "names")),
    responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn put(call: Call) -> Result<Response, RoleError> {
    make(&call, &call.arguments).await
}

async fn make(call: &Call, given: &Arguments) -> Result<Response, RoleError> {
    let user = administrator(call).await?;
    let name = given.need("name")?.to_lowercase();
    let name = if name.starts_with(PREFIX) { name } else { format!("{PREFIX}{name}") };
    let bad = |c: char| c == '/' || c == ':' || c.is_control();
    if name.len() == PREFIX.len() || name.chars().count() > limits::NAME_CHARS || name.contains(bad) {
        return Err(RoleError::bad(
            "name must have 1 to 249 characters, none of them '/', ':' or a control character",
        ));
    }
    let id = Uuid::new_v4().to_string();
    let mut profile = TenantProfile { tenant_id: id.clone(), ..TenantProfile::default() };
    fill(call, &mut profile, given).await?;
    profile.users.insert(user.user.id);
    let (this, budget) =
        (SharedApp::clone(&call.app), Budget { capacity_gib: 0, iops: 0, bytes_per_second: 0 });
    let work = async move {
        storage::make(&this, TenantRecord { id, name, budget }).await?;
        store(&this, profile, &user.user.name).await
    };
    call.app.complete(work).await?;
    Ok(done(StatusCode::CREATED, json!({})))
}

#[utoipa::path(post, path = "/tenant/{name}", tag = "Roles", summary = "Change who may act in a tenant", security(("token" = [])),
    request_body = TenantOfRolesChange, responses((status = 200, body = Object, description = "done")))]
pub(crate) async fn change(call: Call, body: Body) -> Result<Response, RoleError> {
    update(&call, &body.object("tenant")?).await
}

#[utoipa::path(put, path = "/tenant/{name}", tag = "Roles", summary = "Change who may act in a tenant, by arguments", security(("token" = [])),
    params(("id" = String, Query, description = "the tenant's"), ("desc" = Option<String>, Query, description = "anything"), ("display" = Option<String>, Query, description = "anything"), ("users" = Option<String>, Query, description = "names")),
    responses((status = 200, body = Object, description = "done")))]
pub(crate) async fn put_change(call: Call) -> Result<Response, RoleError> {
    update(&call, &call.arguments).await
}

async fn update(call: &Call, given: &Arguments) -> Result<Response, RoleError> {
    let user = administrator(call).await?;
    let tenant = find(call, &user, &call.path).await?;
    check_id(given, &tenant)?;
    let mut profile = tenant.profile;
    fill(call, &mut profile, given).await?;
    let this = SharedApp::clone(&call.app);
    call.app.complete(async move { store(&this, profile, &user.user.name).await }).await?;
    Ok(done(StatusCode::OK, json!({})))
}

fn check_id(given: &Arguments, tenant: &Tenant) -> Result<(), RoleError> {
    match given.need("id")? == tenant.id {
        true => Ok(()),
        false => Err(RoleError::bad(format!("id must be that of tenant {}", tenant.name))),
    }
}

/// What is absent stays as it is.
async fn fill(call: &Call, profile: &mut TenantProfile, given: &Arguments) -> Result<(), RoleError> {
    let text = |name: &str, old: Option<String>| match given.text(name)? {
        Some(text) if text.chars().count() > limits::NAME_CHARS => {
            Err(RoleError::bad(format!("{name} must have at most {} characters", limits::NAME_CHARS)))
        }
        Some(text) => Ok(Some(text.to_owned())),
        None => Ok(old),
    };
    profile.description = text("desc", profile.description.take())?;
    profile.display = text("display", profile.display.take())?;
    let directory = call.app.auth.accounts.directory().await?;
    let id = |name: &String| match directory.user_named(name) {
        Some(user) => Ok(user.id),
        None => Err(RoleError::bad(format!("users must be names of users: there is no {name:?}"))),
    };
    let users = match given.texts("users")? {
        Given::Value(names) => {
            Given::Value(names.iter().map(id).collect::<Result<BTreeSet<AccountId>, _>>()?)
        }
        Given::Empty => Given::Empty,
        Given::Absent => Given::Absent,
    };
    profile.users = users.or(std::mem::take(&mut profile.users));
    Ok(())
}

async fn store(app: &SharedApp, profile: TenantProfile, who: &str) -> Result<(), ApiError> {
    retry(async || {
        let tenant = app.state.get::<TenantRecord>(&profile.tenant_id).await?;
        let stored = app.state.get::<TenantProfile>(&profile.tenant_id).await?;
        let change = Change::default().set(stored.as_ref(), &profile);
        // Of a tenant that is deleted meanwhile nothing may stay. The default one has no record.
        let change = tenant.iter().fold(change, Change::rest_on);
        Ok(app.state.commit(change).await?)
    })
    .await?;
    let what = format!("{who} changed who may act in tenant {}", profile.tenant_id);
    app.events.add(EventKind::RolesChanged, &profile.tenant_id, what).await;
    Ok(())
}

#[utoipa::path(delete, path = "/tenant/{name}", tag = "Roles", summary = "Delete a tenant that has nothing", security(("token" = [])),
    params(("id" = String, Query, description = "the tenant's")),
    responses((status = 204, description = "done"), (status = 403, description = "it has volumes")))]
pub(crate) async fn delete(call: Call) -> Result<Response, RoleError> {
    remove(&call, &call.path).await
}

#[utoipa::path(delete, path = "/tenant", tag = "Roles", summary = "Delete a tenant that has nothing, by arguments", security(("token" = [])),
    params(("tenant" = String, Query, description = "its name"), ("id" = String, Query, description = "its id")),
    responses((status = 204, description = "done"), (status = 403, description = "it has volumes")))]
pub(crate) async fn delete_named(call: Call) -> Result<Response, RoleError> {
    let name = call.arguments.need("tenant")?.to_owned();
    remove(&call, &name).await
}

async fn remove(call: &Call, name: &str) -> Result<Response, RoleError> {
    let user = administrator(call).await?;
    let tenant = find(call, &user, name).await?;
    check_id(&call.arguments, &tenant)?;
    let this = SharedApp::clone(&call.app);
    match call.app.complete(async move { storage::remove_tenant(&this, &tenant.id).await }).await {
        Ok(()) => Ok(nothing()),
        Err(ApiError::Domain(failure)) => Err(RoleError::forbidden(failure.description)),
        Err(error) => Err(error.into()),
    }
}

/// Tenants are made and changed by administrators.
async fn administrator(call: &Call) -> Result<UserIdentity, RoleError> {
    let user = call.user().await?;
    match user.administrator {
        true => Ok(user),
        false => Err(RoleError::forbidden("this needs the role Administrators")),
    }
}
