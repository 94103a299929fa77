//! groups (session.md §8).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use super::{By, SessionError, account, change, check_same_id, empty, users::posix_id, view::GroupView};
use crate::{
    accounts::{Directory, Ends, Group, Privilege},
    app::SharedApp,
    envelope::{ApiError, Failure},
    fields::Fields,
    limits,
    openapi::bodies::{GroupCreate, GroupReplace},
    request::{JsonBody, Params},
};

#[utoipa::path(get, path = "/groups", tag = "Groups", summary = "List groups",
    responses((status = 200, body = Vec<GroupView>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, by: By) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupRead)?;
    let directory = app.auth.accounts.directory().await?;
    let views = directory.groups.values().map(|group| GroupView::new(group, &directory));
    Ok(Json(views.collect::<Vec<_>>()).into_response())
}

#[utoipa::path(get, path = "/groups/{id}", tag = "Groups", summary = "A group",
    responses((status = 200, body = GroupView, description = "done")))]
pub(crate) async fn get(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupRead)?;
    let directory = app.auth.accounts.directory().await?;
    Ok(Json(GroupView::new(directory.group(account(&params, "id")?)?, &directory)).into_response())
}

#[utoipa::path(post, path = "/groups", tag = "Groups", summary = "Make a group", request_body = GroupCreate,
    responses((status = 200, body = GroupView, description = "done")))]
pub(crate) async fn create(
    State(app): State<SharedApp>,
    by: By,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupWrite)?;
    let (name, gid) = parse(&body?.0)?;
    let edit = move |directory: &mut Directory| directory.add_group(name.clone(), gid);
    changed(&app, by, edit, "made").await
}

#[utoipa::path(put, path = "/groups/{id}", tag = "Groups", summary = "Replace a group", request_body = GroupReplace,
    responses((status = 200, body = GroupView, description = "done")))]
pub(crate) async fn replace(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupWrite)?;
    let id = account(&params, "id")?;
    let JsonBody(body) = body?;
    check_same_id(Fields::new(&body), id)?;
    let (name, gid) = parse(&body)?;
    let edit = move |directory: &mut Directory| directory.change_group(id, name.clone(), gid);
    changed(&app, by, edit, "changed").await
}

async fn changed(
    app: &SharedApp,
    by: By,
    edit: impl Fn(&mut Directory) -> Result<Group, crate::accounts::DirectoryError> + Send + Sync + 'static,
    verb: &'static str,
) -> Result<Response, SessionError> {
    let said = move |group: &Group| (group.id, format!("{verb} group {}", group.name));
    let group = change(app, by, Ends::Nothing, edit, said).await?;
    let directory = app.auth.accounts.directory().await?;
    Ok(Json(GroupView::new(&group, &directory)).into_response())
}

#[utoipa::path(delete, path = "/groups/{id}", tag = "Groups", summary = "Delete a group",
    responses((status = 200, description = "done")))]
pub(crate) async fn delete(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupWrite)?;
    let id = account(&params, "id")?;
    let edit = move |directory: &mut Directory| directory.remove_group(id);
    let said = |group: &Group| (group.id, format!("deleted group {}", group.name));
    change(&app, by, Ends::Nothing, edit, said).await?;
    Ok(empty())
}

fn parse(body: &Map<String, Value>) -> Result<(String, Option<u32>), Failure> {
    let fields = Fields::new(body);
    let name = fields.require("name", fields.label("name", limits::NAME_CHARS)?)?;
    Ok((name.to_owned(), posix_id(fields, "gid")?))
}
