//! groups (session.md §8).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use super::{
    By, IfMatch, SessionError, account, change, check_same_id, empty, tagged, users::posix_id,
    view::GroupView,
};
use crate::{
    accounts::{AccountId, Directory, DirectoryError, Ends, Group, Privilege},
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
    Ok(tagged(&GroupView::new(directory.group(account(&params, "id")?)?, &directory)))
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
    if_match: IfMatch,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupWrite)?;
    let id = account(&params, "id")?;
    let JsonBody(body) = body?;
    check_same_id(Fields::new(&body), id)?;
    let (name, gid) = parse(&body)?;
    let edit = move |directory: &mut Directory| {
        check_named(directory, id, &if_match)?;
        directory.change_group(id, name.clone(), gid)
    };
    changed(&app, by, edit, "changed").await
}

async fn changed(
    app: &SharedApp,
    by: By,
    edit: impl Fn(&mut Directory) -> Result<Group, DirectoryError> + Send + Sync + 'static,
    verb: &'static str,
) -> Result<Response, SessionError> {
    let said = move |group: &Group| (group.id, format!("{verb} group {}", group.name));
    let group = change(app, by, Ends::Nothing, edit, said).await?;
    let directory = app.auth.accounts.directory().await?;
    Ok(tagged(&GroupView::new(&group, &directory)))
}

#[utoipa::path(delete, path = "/groups/{id}", tag = "Groups", summary = "Delete a group",
    responses((status = 200, description = "done")))]
pub(crate) async fn delete(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
    if_match: IfMatch,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupWrite)?;
    let id = account(&params, "id")?;
    let edit = move |directory: &mut Directory| {
        check_named(directory, id, &if_match)?;
        directory.remove_group(id)
    };
    let said = |group: &Group| (group.id, format!("deleted group {}", group.name));
    change(&app, by, Ends::Nothing, edit, said).await?;
    Ok(empty())
}

/// Whether the group is as If-Match names it.
fn check_named(directory: &Directory, id: AccountId, if_match: &IfMatch) -> Result<(), DirectoryError> {
    match if_match.admits(&GroupView::new(directory.group(id)?, directory)) {
        true => Ok(()),
        false => Err(DirectoryError::OtherState(id)),
    }
}

fn parse(body: &Map<String, Value>) -> Result<(String, Option<u32>), Failure> {
    let fields = Fields::new(body);
    let name = fields.require("name", fields.label("name", limits::NAME_CHARS)?)?;
    Ok((name.to_owned(), posix_id(fields, "gid")?))
}
