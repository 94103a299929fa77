//! users (session.md §8).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use super::{
    By, IfMatch, SessionError, account, change, check_same_id, empty, tagged,
    view::{GroupView, UserView},
};
use crate::{
    accounts::{AccountId, Directory, DirectoryError, Ends, Privilege, User},
    admin::entitlement::Entitlement,
    app::SharedApp,
    envelope::{ApiError, Failure},
    fields::Fields,
    limits,
    openapi::bodies::{NewPassword, UserCreate, UserReplace},
    request::{JsonBody, Params},
};

const LEAST_PASSWORD: usize = 8;
/// Of Linux.
const LONGEST_PATH: usize = 4095;

#[utoipa::path(get, path = "/users", tag = "Users", summary = "List users",
    responses((status = 200, body = Vec<UserView>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, by: By) -> Result<Response, SessionError> {
    by.require(Privilege::LocalUserRead)?;
    let directory = app.auth.accounts.directory().await?;
    let views = directory.users.values().map(|user| UserView::new(user, &directory));
    Ok(Json(views.collect::<Vec<_>>()).into_response())
}

#[utoipa::path(get, path = "/users/{id}", tag = "Users", summary = "A user",
    responses((status = 200, body = UserView, description = "done")))]
pub(crate) async fn get(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalUserRead)?;
    let directory = app.auth.accounts.directory().await?;
    Ok(tagged(&UserView::new(directory.user(account(&params, "id")?)?, &directory)))
}

#[utoipa::path(get, path = "/users/{id}/groups", tag = "Users", summary = "The groups of a user",
    responses((status = 200, body = Vec<GroupView>, description = "done")))]
pub(crate) async fn groups(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalUserRead)?;
    let directory = app.auth.accounts.directory().await?;
    let user = directory.user(account(&params, "id")?)?;
    let views = directory.groups_of(user).map(|group| GroupView::new(group, &directory));
    Ok(Json(views.collect::<Vec<_>>()).into_response())
}

#[utoipa::path(post, path = "/users", tag = "Users", summary = "Make a user", request_body = UserCreate,
    responses((status = 200, body = UserView, description = "done")))]
pub(crate) async fn create(
    State(app): State<SharedApp>,
    by: By,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalUserWrite)?;
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    let mut user = parse(&body)?;
    let password = fields.require("password", password(fields, "password")?)?;
    user.password = Some(app.auth.accounts.hash(password.to_owned()).await);
    let most = Entitlement::installed(&app.state).await?.map(|license| license.users);
    let edit = move |directory: &mut Directory| {
        directory.check_license(most)?;
        directory.add_user(user.clone())
    };
    let made =
        change(&app, by, Ends::Nothing, edit, |user| (user.id, format!("made user {}", user.name))).await?;
    let directory = app.auth.accounts.directory().await?;
    Ok(tagged(&UserView::new(&made, &directory)))
}

#[utoipa::path(put, path = "/users/{id}", tag = "Users", summary = "Replace a user", request_body = UserReplace,
    responses((status = 200, body = UserView, description = "done")))]
pub(crate) async fn replace(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
    if_match: IfMatch,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalUserWrite)?;
    let id = account(&params, "id")?;
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    check_same_id(fields, id)?;
    let wanted = parse(&body)?;
    let hash = match password(fields, "password")? {
        Some(password) => Some(app.auth.accounts.hash(password.to_owned()).await),
        None => None,
    };
    let ends = match hash {
        Some(_) => Ends::Sessions { user: id, but: by.0.bearer },
        None => Ends::Nothing,
    };
    let edit = move |directory: &mut Directory| {
        let old = as_named(directory, id, &if_match)?;
        let password = hash.clone().or_else(|| old.password.clone());
        let new = User { id, password, enabled: old.enabled, ..wanted.clone() };
        directory.replace_user(new)
    };
    let made = change(&app, by, ends, edit, |user| (user.id, format!("changed user {}", user.name))).await?;
    let directory = app.auth.accounts.directory().await?;
    Ok(tagged(&UserView::new(&made, &directory)))
}

#[utoipa::path(delete, path = "/users/{id}", tag = "Users", summary = "Delete a user",
    responses((status = 200, description = "done; its sessions and access tokens have ended")))]
pub(crate) async fn delete(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
    if_match: IfMatch,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalUserWrite)?;
    let id = account(&params, "id")?;
    let edit = move |directory: &mut Directory| {
        as_named(directory, id, &if_match)?;
        directory.remove_user(id)
    };
    let said = |user: &User| (user.id, format!("deleted user {}", user.name));
    change(&app, by, Ends::Everything { user: id }, edit, said).await?;
    Ok(empty())
}

#[utoipa::path(post, path = "/users/{id}/setpassword", tag = "Users", summary = "Give a user a new password",
    request_body = NewPassword,
    responses((status = 200, description = "done; its sessions have ended")))]
pub(crate) async fn set_password(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalUserWrite)?;
    let id = account(&params, "id")?;
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    let password = fields.require("new_password", password(fields, "new_password")?)?;
    app.auth.accounts.directory().await?.user(id)?;
    let hash = app.auth.accounts.hash(password.to_owned()).await;
    let edit = move |directory: &mut Directory| {
        let user = directory.user_mut(id)?;
        user.password = Some(hash.clone());
        Ok(user.clone())
    };
    let ends = Ends::Sessions { user: id, but: by.0.bearer };
    change(&app, by, ends, edit, |user| (user.id, format!("gave user {} a new password", user.name))).await?;
    Ok(empty())
}

/// The user, if it is as If-Match names it.
fn as_named<'a>(
    directory: &'a Directory,
    id: AccountId,
    if_match: &IfMatch,
) -> Result<&'a User, DirectoryError> {
    let user = directory.user(id)?;
    match if_match.admits(&UserView::new(user, directory)) {
        true => Ok(user),
        false => Err(DirectoryError::OtherState(id)),
    }
}

/// A password that may be set, if one is given.
pub(super) fn password<'a>(fields: Fields<'a>, name: &str) -> Result<Option<&'a str>, Failure> {
    let password = fields.text(name, limits::PASSWORD_CHARS)?;
    match password.filter(|password| password.chars().count() < LEAST_PASSWORD) {
        Some(_) => Err(Failure::of_field(name, format!("must have at least {LEAST_PASSWORD} characters"))),
        None => Ok(password),
    }
}

/// Everything but id and password.
fn parse(body: &Map<String, Value>) -> Result<User, Failure> {
    let fields = Fields::new(body);
    let name = fields.require("name", fields.label("name", limits::NAME_CHARS)?)?;
    let primary_group = fields.text("primary_group", limits::NAME_CHARS)?.map(str::parse);
    let primary_group = match fields.require("primary_group", primary_group)? {
        Ok(id) => AccountId(id),
        Err(_) => return Err(Failure::of_field("primary_group", "must be the id of a group")),
    };
    Ok(User {
        id: AccountId(0),
        name: name.to_owned(),
        primary_group,
        uid: posix_id(fields, "uid")?,
        home_directory: fields.text("home_directory", LONGEST_PATH)?.map(str::to_owned),
        password: None,
        enabled: true,
    })
}

/// Decimal text; `""` is none.
pub(super) fn posix_id(fields: Fields<'_>, name: &str) -> Result<Option<u32>, Failure> {
    match fields.text(name, limits::NAME_CHARS)?.filter(|text| !text.is_empty()).map(str::parse) {
        None => Ok(None),
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(_)) => Err(Failure::of_field(name, "must be \"\" or a whole number as text")),
    }
}
