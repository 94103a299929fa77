//! What everybody may ask and change about themselves: session/who-am-i, session/roles, session/change-password.

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{By, SessionError, change, empty, users::password, view::UserView};
use crate::{
    accounts::{Ends, Privilege, Role},
    app::SharedApp,
    envelope::ApiError,
    fields::Fields,
    limits,
    openapi::bodies::PasswordChange,
    request::JsonBody,
    tls::Peer,
};

#[derive(Debug, Serialize, ToSchema)]
struct WhoView {
    #[serde(flatten)]
    user: UserView,
    privileges: Vec<&'static str>,
}

#[utoipa::path(get, path = "/session/who-am-i", tag = "Session", summary = "The user of this bearer",
    responses((status = 200, body = WhoView, description = "done")))]
pub(crate) async fn who_am_i(State(app): State<SharedApp>, by: By) -> Result<Response, SessionError> {
    let directory = app.auth.accounts.directory().await?;
    let user = UserView::new(directory.user(by.0.user)?, &directory);
    let held = Privilege::ALL.into_iter().filter(|privilege| by.0.roles.allow(*privilege));
    Ok(Json(WhoView { user, privileges: held.map(Privilege::name).collect() }).into_response())
}

#[utoipa::path(get, path = "/session/roles", tag = "Session", summary = "The names of this user's roles",
    responses((status = 200, body = Vec<String>, description = "done")))]
pub(crate) async fn roles(by: By) -> Response {
    Json(by.0.roles.list().map(Role::name).collect::<Vec<_>>()).into_response()
}

#[utoipa::path(post, path = "/session/change-password", tag = "Session", summary = "Change one's own password",
    request_body = PasswordChange,
    responses((status = 200, description = "done; one's other sessions have ended")))]
pub(crate) async fn change_password(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
    by: By,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    let old = fields.require("old_password", fields.text("old_password", limits::PASSWORD_CHARS)?)?;
    let new = fields.require("new_password", password(fields, "new_password")?)?;
    let user = app.auth.accounts.directory().await?.user(by.0.user)?.clone();
    let source = peer.remote.ip().to_canonical();
    app.auth.accounts.check_password(source, &user.name, old.to_owned()).await?;
    let hash = app.auth.accounts.hash(new.to_owned()).await;
    let (id, but) = (user.id, by.0.bearer);
    let edit = move |directory: &mut crate::accounts::Directory| {
        directory.user_mut(id)?.password = Some(hash.clone());
        Ok(())
    };
    change(&app, by, Ends::Sessions { user: id, but }, edit, move |()| {
        (id, "changed the own password".to_owned())
    })
    .await?;
    Ok(empty())
}
