//! POST session/login: from a name and a password to a bearer (session.md §4).

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::SessionError;
use crate::{
    accounts::LoginError,
    app::SharedApp,
    envelope::ApiError,
    events::Kind,
    fields::Fields,
    limits,
    openapi::{SessionProblem, bodies::Login},
    request::JsonBody,
    tls::Peer,
};

#[derive(Debug, Serialize, ToSchema)]
struct BearerView {
    /// Goes into the header `Authorization: Bearer …`.
    bearer_token: String,
}

#[utoipa::path(post, path = "/session/login", tag = "Session", summary = "Log in", security(()),
    request_body = Login,
    responses(
        (status = 200, body = BearerView, description = "valid for ten hours"),
        (status = 401, body = SessionProblem, description = "the user name or the password is wrong"),
        (status = 429, body = SessionProblem, description = "too many failed logins")))]
pub(crate) async fn login(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    let name = fields.require("username", fields.text("username", limits::NAME_CHARS)?)?;
    let password = fields.require("password", fields.text("password", limits::PASSWORD_CHARS)?)?;
    let source = peer.remote.ip().to_canonical();
    match app.auth.accounts.check_password(source, name, password.to_owned()).await {
        Ok(user) => {
            let bearer = app.auth.accounts.open_session(user.id).await?;
            app.events.add(Kind::LoggedIn, user.id, format!("{name} logged in from {source}")).await;
            Ok(Json(BearerView { bearer_token: bearer.text() }).into_response())
        }
        Err(error) => {
            tracing::info!(name, %source, %error, "refused a login");
            // One event per burst: who guesses passwords must not push the other events out.
            if matches!(error, LoginError::TooMany { first: true }) {
                let why = format!("too many failed logins of {name} from {source}");
                app.events.add(Kind::LoginsThrottled, name, why).await;
            }
            Err(error.into())
        }
    }
}
