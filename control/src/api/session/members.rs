//! groups/{id}/members (session.md §8).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use super::{By, SessionError, account, change, empty, view::UserView};
use crate::{
    accounts::{AccountId, Directory, Ends, Privilege},
    app::SharedApp,
    envelope::{ApiError, Failure},
    fields::Fields,
    limits,
    openapi::bodies::MemberAdd,
    request::{JsonBody, Params},
};

/// Those whose primary group it is, too.
#[utoipa::path(get, path = "/groups/{id}/members", tag = "Groups", summary = "The members of a group",
    responses((status = 200, body = Vec<UserView>, description = "done")))]
pub(crate) async fn list(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupRead)?;
    let directory = app.auth.accounts.directory().await?;
    let group = directory.group(account(&params, "id")?)?;
    let views = directory.members_of(group).map(|user| UserView::new(user, &directory));
    Ok(Json(views.collect::<Vec<_>>()).into_response())
}

#[utoipa::path(post, path = "/groups/{id}/members", tag = "Groups", summary = "Take a user into a group",
    request_body = MemberAdd, responses((status = 200, description = "done")))]
pub(crate) async fn add(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupWrite)?;
    let group = account(&params, "id")?;
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    let member = fields.text("member_id", limits::NAME_CHARS)?.map(str::parse);
    let Ok(member) = fields.require("member_id", member)?.map(AccountId) else {
        return Err(Failure::of_field("member_id", "must be the id of a user").into());
    };
    let edit = move |directory: &mut Directory| directory.add_member(group, member);
    change(&app, by, Ends::Nothing, edit, move |()| {
        (member, format!("took user {member} into group {group}"))
    })
    .await?;
    Ok(empty())
}

#[utoipa::path(delete, path = "/groups/{id}/members/{user}", tag = "Groups", summary = "Take a user out of a group",
    responses((status = 200, description = "done")))]
pub(crate) async fn remove(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
) -> Result<Response, SessionError> {
    by.require(Privilege::LocalGroupWrite)?;
    let (group, member) = (account(&params, "id")?, account(&params, "user")?);
    let edit = move |directory: &mut Directory| directory.remove_member(group, member);
    change(&app, by, Ends::Nothing, edit, move |()| {
        (member, format!("took user {member} out of group {group}"))
    })
    .await?;
    Ok(empty())
}
