//! identity/find, identity/expand and auth/roles (session.md §8).

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{By, SessionError, view::IdentityView};
use crate::{
    accounts::{Account, Directory, Identity, Privilege, Role},
    app::SharedApp,
    envelope::{ApiError, Failure},
    fields::Fields,
    limits,
    openapi::bodies::{IdentityExpand, IdentityGiven},
    request::JsonBody,
};

#[derive(Debug, Serialize, ToSchema)]
struct ExpandedView {
    id: IdentityView,
    /// `USER` or `GROUP`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Always empty: nobody has two identities here.
    equivalent_ids: Vec<IdentityView>,
    group_ids: Vec<IdentityView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RoleView {
    description: &'static str,
    privileges: Vec<&'static str>,
}

#[utoipa::path(post, path = "/identity/find", tag = "Users", summary = "Everything about one identity",
    request_body = IdentityGiven, responses((status = 200, body = IdentityView, description = "done")))]
pub(crate) async fn find(
    State(app): State<SharedApp>,
    by: By,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::IdentityRead)?;
    let identity = parse(Fields::new(&body?.0))?;
    let directory = app.auth.accounts.directory().await?;
    Ok(Json(IdentityView::new(known(&identity, &directory)?, &directory)).into_response())
}

/// Everybody may ask for themselves.
#[utoipa::path(post, path = "/identity/expand", tag = "Users", summary = "The groups of one identity",
    request_body = IdentityExpand, responses((status = 200, body = ExpandedView, description = "done")))]
pub(crate) async fn expand(
    State(app): State<SharedApp>,
    by: By,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    let identity = parse(fields.require("id", fields.object("id", "id.")?)?)?;
    let directory = app.auth.accounts.directory().await?;
    let found = identity.find(&directory);
    if found.map(Account::id) != Some(by.0.user) {
        by.require(Privilege::IdentityRead)?;
    }
    let account = known(&identity, &directory)?;
    let (kind, group_ids) = match account {
        Account::User(user) => ("USER", directory.groups_of(user).map(Account::Group).collect()),
        Account::Group(_) => ("GROUP", Vec::new()),
    };
    let view = |account| IdentityView::new(account, &directory);
    let expanded = ExpandedView {
        id: view(account),
        kind,
        equivalent_ids: Vec::new(),
        group_ids: group_ids.into_iter().map(view).collect(),
    };
    Ok(Json(expanded).into_response())
}

#[utoipa::path(get, path = "/auth/roles", tag = "Users", summary = "The roles and what they may do",
    responses((status = 200, body = BTreeMap<String, RoleView>, description = "done")))]
pub(crate) async fn roles(by: By) -> Result<Response, SessionError> {
    by.require(Privilege::RoleRead)?;
    let view = |role: Role| RoleView {
        description: role.description(),
        privileges: role.privileges().map(Privilege::name).collect(),
    };
    let roles: BTreeMap<&str, RoleView> =
        Role::ALL.into_iter().map(|role| (role.name(), view(role))).collect();
    Ok(Json(roles).into_response())
}

/// An identity of a request body.
pub(super) fn parse(fields: Fields<'_>) -> Result<Identity, Failure> {
    let text = |name: &str| Ok::<_, Failure>(fields.text(name, limits::NAME_CHARS)?.map(str::to_owned));
    let number = |name: &str| match fields.whole(name)?.map(u32::try_from) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(Failure::of_field(name, format!("must be from 0 to {}", u32::MAX))),
    };
    let identity = Identity {
        domain: text("domain")?,
        auth_id: text("auth_id")?,
        uid: number("uid")?,
        gid: number("gid")?,
        sid: text("sid")?,
        name: text("name")?,
    };
    match identity.names_somebody() {
        true => Ok(identity),
        false => Err(Failure::invalid("an identity needs one of auth_id, uid, gid, sid and name")),
    }
}

pub(super) fn known<'a>(identity: &Identity, directory: &'a Directory) -> Result<Account<'a>, SessionError> {
    let nobody = || SessionError::new(StatusCode::NOT_FOUND, "there is no such identity");
    identity.find(directory).ok_or_else(nobody)
}
