//! Tokens of this server: GET and POST tokens, DELETE tokens/{id}, POST tokens:rotate.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::BasaltError;
use crate::{
    app::SharedApp,
    auth::{IssueError, IssuedRole, IssuedToken},
    envelope::{ApiError, Code, Failure},
    events::Kind,
    fields::{Fields, parse_uuid},
    limits,
    openapi::bodies::TokenCreate,
    request::{JsonBody, Params},
};

/// Of §1.1: the default and shortest lifetime, and the longest.
const HOUR_SECONDS: u64 = 3600;
const LONGEST_SECONDS: u64 = 30 * 24 * HOUR_SECONDS;

/// A token that was issued; the token itself is shown once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenView {
    id: Uuid,
    /// `admin`, `observer` or `metrics`.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Milliseconds since the epoch, as `expiresMs`.
    created_ms: u64,
    /// Absent: it never expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    /// The bearer, where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenView {
    fn new(issued: IssuedToken, token: Option<String>) -> Self {
        let role = ROLES.into_iter().find(|(_, role)| *role == issued.role).map_or("", |(name, _)| name);
        let IssuedToken { id, name, created_ms, expires_ms, .. } = issued;
        Self { id, role, name, created_ms, expires_ms, token }
    }
}

const ROLES: [(&str, IssuedRole); 3] =
    [("admin", IssuedRole::Admin), ("observer", IssuedRole::Observer), ("metrics", IssuedRole::Metrics)];

#[utoipa::path(get, path = "/tokens", tag = "Node", summary = "List issued tokens",
    responses((status = 200, body = Vec<TokenView>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>) -> Result<Response, BasaltError> {
    let tokens = app.auth.issued.list().await?.into_iter().map(|issued| TokenView::new(issued, None));
    Ok(Json(tokens.collect::<Vec<_>>()).into_response())
}

#[utoipa::path(post, path = "/tokens", tag = "Node", summary = "Issue a token",
    request_body = TokenCreate,
    responses((status = 201, body = TokenView, description = "it is shown this once")))]
pub(crate) async fn create(
    State(app): State<SharedApp>,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, BasaltError> {
    let Wanted { role, name, lifetime_seconds } = Wanted::parse(&body?.0)?;
    let issued = app.auth.issued.issue(role, name, lifetime_seconds.map(|s| s * 1000)).await;
    let (issued, token) = issued.map_err(|error| match error {
        IssueError::TooMany => BasaltError::conflict("too_many", error.to_string()),
        IssueError::Store(error) => error.into(),
    })?;
    let view = TokenView::new(issued, Some(token));
    let said = format!("a token with the role {} was issued", view.role);
    app.events.add(Kind::TokensChanged, view.id, said).await;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    role: IssuedRole,
    name: Option<String>,
    /// `None`: for ever.
    lifetime_seconds: Option<u64>,
}

impl Wanted {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let role = fields.require("role", fields.word("role", &ROLES)?)?;
        let lifetime = fields.whole("lifetimeSeconds")?;
        if lifetime.is_some_and(|s| !(HOUR_SECONDS..=LONGEST_SECONDS).contains(&s)) {
            let range = format!("must be from {HOUR_SECONDS} to {LONGEST_SECONDS} (1 hour to 30 days)");
            return Err(Failure::of_field("lifetimeSeconds", range));
        }
        Ok(Self {
            role,
            name: fields.label("name", limits::NAME_CHARS)?.map(str::to_owned),
            lifetime_seconds: match role {
                // Scrapers are set up once, and theirs opens nothing that could be harmed.
                IssuedRole::Metrics => lifetime,
                IssuedRole::Admin | IssuedRole::Observer => lifetime.or(Some(HOUR_SECONDS)),
            },
        })
    }
}

#[utoipa::path(delete, path = "/tokens/{id}", tag = "Node", summary = "Revoke an issued token",
    responses((status = 200, body = Object, description = "it is refused from now on")))]
pub(crate) async fn revoke(State(app): State<SharedApp>, params: Params) -> Result<Response, BasaltError> {
    let unknown = || Failure::new(Code::NotExists, format!("there is no token {:?}", params.get("id")));
    let id = parse_uuid(params.get("id")).ok_or_else(unknown)?;
    if !app.auth.issued.revoke(id).await? {
        return Err(unknown().into());
    }
    app.events.add(Kind::TokensChanged, id, "a token was revoked").await;
    Ok(Json(json!({ "revoked": id })).into_response())
}

/// Replaces the administrator's token of the first start, here and in its file; the answer holds the new one.
#[utoipa::path(post, path = "/tokens:rotate", tag = "Node", summary = "Replace the administrator's token",
    responses((status = 200, body = Object, description = "the new one")))]
pub(crate) async fn rotate(State(app): State<SharedApp>) -> Result<Response, BasaltError> {
    let this = SharedApp::clone(&app);
    // In a task of its own: once begun it ends, even if the client goes away.
    let rotated = tokio::spawn(async move { this.auth.tokens.rotate().await }).await;
    match rotated.expect("rotation neither panics nor is cancelled") {
        Ok(token) => Ok(Json(json!({ "token": token })).into_response()),
        Err(error) => Err(BasaltError::internal(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: Value) -> Result<Wanted, Failure> {
        Wanted::parse(body.as_object().unwrap())
    }

    #[test]
    fn lifetimes_from_an_hour_to_thirty_days() {
        let lifetime = |body| parse(body).map(|wanted| wanted.lifetime_seconds);
        assert_eq!(lifetime(json!({"role": "admin"})), Ok(Some(3600)));
        assert_eq!(lifetime(json!({"role": "observer", "lifetimeSeconds": 2_592_000})), Ok(Some(2_592_000)));
        assert_eq!(lifetime(json!({"role": "metrics"})), Ok(None));
        for (field, body) in [
            ("role", json!({})),
            ("role", json!({"role": "root"})),
            ("lifetimeSeconds", json!({"role": "admin", "lifetimeSeconds": 3599})),
            ("lifetimeSeconds", json!({"role": "metrics", "lifetimeSeconds": 2_592_001})),
            ("name", json!({"role": "admin", "name": ""})),
        ] {
            assert_eq!(parse(body.clone()).unwrap_err().field.as_deref(), Some(field), "{body}");
        }
    }
}
