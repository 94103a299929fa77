//! auth/access-tokens (session.md §7): one's own without a privilege, others' with one.

mod page;
mod view;

use std::future::Future;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use self::{
    page::Listing,
    view::{AccessTokenView, MadeView, TokenPage, parse_time},
};
use super::{
    By, IfMatch, SessionError, empty,
    identity::{known, parse},
    tagged,
};
use crate::{
    accounts::{AccessTokenRecord, Account, AccountId, Bearer, BearerKind, Privilege},
    app::{App, SharedApp, now_ms, retry},
    envelope::ApiError,
    events::Kind,
    fields::Fields,
    limits,
    openapi::bodies::{AccessTokenChange, AccessTokenCreate},
    request::{JsonBody, Params, Query},
    state::{Change, Stored},
};

#[utoipa::path(get, path = "/auth/access-tokens", tag = "Access Tokens", summary = "List access tokens",
    params(("user" = Option<String>, Query, description = "only that user's: a name, a SID, auth_id:N or uid:N"),
        ("limit" = Option<u64>, Query, description = "at most so many, 1 to 1000"),
        ("after" = Option<String>, Query, description = "only those with a larger id")),
    responses((status = 200, body = TokenPage, description = "paging.next is the path of the next page")))]
pub(crate) async fn list(
    State(app): State<SharedApp>,
    by: By,
    query: Query,
) -> Result<Response, SessionError> {
    let listing = Listing::parse(&query)?;
    let directory = app.auth.accounts.directory().await?;
    let only = listing.user_of(&directory)?;
    let all = by.0.roles.allow(Privilege::AccessTokensRead);
    let mut tokens: Vec<AccessTokenRecord> =
        app.state.list::<AccessTokenRecord>().await?.into_iter().map(|token| token.value).collect();
    tokens.retain(|token| (all || token.user == by.0.user) && only.is_none_or(|only| token.user == only));
    let (tokens, next) = listing.cut(tokens);
    let entries = tokens.iter().map(|token| AccessTokenView::new(token, &directory)).collect();
    Ok(Json(TokenPage::new(entries, next)).into_response())
}

#[utoipa::path(get, path = "/auth/access-tokens/{id}", tag = "Access Tokens", summary = "An access token",
    responses((status = 200, body = AccessTokenView, description = "without its bearer")))]
pub(crate) async fn get(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
) -> Result<Response, SessionError> {
    let token = find(&app, &by, params.get("id"), Privilege::AccessTokensRead).await?;
    let directory = app.auth.accounts.directory().await?;
    Ok(tagged(&AccessTokenView::new(&token.value, &directory)))
}

#[utoipa::path(post, path = "/auth/access-tokens", tag = "Access Tokens", summary = "Make an access token",
    request_body = AccessTokenCreate,
    responses((status = 200, body = MadeView, description = "the bearer is shown this once")))]
pub(crate) async fn create(
    State(app): State<SharedApp>,
    by: By,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    let identity = parse(fields.require("user", fields.object("user", "user.")?)?)?;
    let expires_ms = parse_time(fields, "expiration_time")?;
    let directory = app.auth.accounts.directory().await?;
    let user = match identity.find(&directory) {
        Some(account) if account.id() == by.0.user => by.0.user,
        _ => {
            by.require(Privilege::AccessTokensWrite)?;
            match known(&identity, &directory)? {
                Account::User(user) => user.id,
                Account::Group(group) => {
                    let why = format!("user must be a user: {} is a group", group.name);
                    return Err(SessionError::invalid(why));
                }
            }
        }
    };
    let bearer = Bearer::new(BearerKind::AccessToken);
    let token = AccessTokenRecord {
        id: bearer.id,
        user,
        creator: by.0.user,
        digest: bearer.digest(),
        created_ms: now_ms(),
        expires_ms,
        enabled: true,
    };
    let this = SharedApp::clone(&app);
    let keeping = async move { retry(|| keep(&this, token.clone())).await };
    carry_through(&app, by, user, "made", keeping).await?;
    Ok(Json(MadeView::new(&bearer)).into_response())
}

/// Rests on the user's record, so that of two makers at once one looks again, and no token outlives its user.
async fn keep(app: &App, token: AccessTokenRecord) -> Result<(), ApiError> {
    let taken = |why: String| ApiError::protocol(StatusCode::CONFLICT, why);
    let directory = app.auth.accounts.stored().await?;
    if directory.value.user(token.user).is_err() {
        return Err(taken(format!("user {} was deleted meanwhile", token.user)));
    }
    let tokens = app.state.list::<AccessTokenRecord>().await?;
    if tokens.iter().filter(|t| t.value.user == token.user).count() >= limits::ACCESS_TOKENS_OF_USER {
        let why = format!("a user has at most {} access tokens", limits::ACCESS_TOKENS_OF_USER);
        return Err(taken(why));
    }
    app.state.create(token, Change::default().replace(&directory)).await?;
    Ok(())
}

#[utoipa::path(patch, path = "/auth/access-tokens/{id}", tag = "Access Tokens", summary = "Change an access token",
    request_body = AccessTokenChange, responses((status = 200, body = AccessTokenView, description = "done")))]
pub(crate) async fn modify(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
    if_match: IfMatch,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, SessionError> {
    let mut token = find(&app, &by, params.get("id"), Privilege::AccessTokensWrite).await?;
    if_match.require(&AccessTokenView::new(&token.value, &app.auth.accounts.directory().await?))?;
    let JsonBody(body) = body?;
    let fields = Fields::new(&body);
    if let Some(expires_ms) = parse_time(fields, "expiration_time")? {
        token.value.expires_ms = Some(expires_ms);
    }
    if let Some(enabled) = fields.truth("enabled")? {
        token.value.enabled = enabled;
    }
    commit(&app, by, "changed", &token, Change::default().replace(&token)).await?;
    let directory = app.auth.accounts.directory().await?;
    Ok(tagged(&AccessTokenView::new(&token.value, &directory)))
}

#[utoipa::path(delete, path = "/auth/access-tokens/{id}", tag = "Access Tokens", summary = "Delete an access token",
    responses((status = 200, description = "done; it is refused from now on")))]
pub(crate) async fn delete(
    State(app): State<SharedApp>,
    by: By,
    params: Params,
    if_match: IfMatch,
) -> Result<Response, SessionError> {
    let token = find(&app, &by, params.get("id"), Privilege::AccessTokensWrite).await?;
    if_match.require(&AccessTokenView::new(&token.value, &app.auth.accounts.directory().await?))?;
    commit(&app, by, "deleted", &token, Change::default().remove(&token)).await?;
    Ok(empty())
}

/// One's own, or with the privilege anybody's. To others it does not exist or is forbidden, whichever is true.
async fn find(
    app: &App,
    by: &By,
    id: &str,
    privilege: Privilege,
) -> Result<Stored<AccessTokenRecord>, SessionError> {
    let found = app.state.get::<AccessTokenRecord>(id).await?;
    if found.as_ref().is_none_or(|token| token.value.user != by.0.user) && !by.0.roles.allow(privilege) {
        by.require(privilege)?;
    }
    found.ok_or_else(|| SessionError::new(StatusCode::NOT_FOUND, format!("there is no access token {id:?}")))
}

async fn commit(
    app: &SharedApp,
    by: By,
    verb: &'static str,
    token: &Stored<AccessTokenRecord>,
    change: Change,
) -> Result<(), SessionError> {
    let this = SharedApp::clone(app);
    let committing = async move { Ok(this.state.commit(change).await?) };
    carry_through(app, by, token.value.user, verb, committing).await
}

/// Makes a change and an event that says who made it, even if the client goes away.
async fn carry_through(
    app: &SharedApp,
    by: By,
    user: AccountId,
    verb: &'static str,
    change: impl Future<Output = Result<(), ApiError>> + Send + 'static,
) -> Result<(), SessionError> {
    let this = SharedApp::clone(app);
    let change = async move {
        change.await?;
        let directory = this.auth.accounts.directory().await?;
        let name = |id| directory.users.get(&id).map_or_else(|| id.to_string(), |user| user.name.clone());
        let message = format!("{} {verb} an access token of {}", by.name(&directory), name(user));
        this.events.add(Kind::AccessTokensChanged, user, message).await;
        Ok(())
    };
    Ok(app.complete(change).await?)
}
