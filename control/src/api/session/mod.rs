//! Sessions, users, groups and access tokens (session.md): true HTTP statuses, bare JSON, errors as `error` says.

pub(crate) mod cluster;
mod error;
mod etag;
pub(crate) mod groups;
pub(crate) mod identity;
pub(crate) mod login;
pub(crate) mod members;
pub(crate) mod own;
pub(crate) mod tokens;
pub(crate) mod users;
pub(crate) mod version;
mod view;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};

pub(crate) use error::{SessionError, method_not_allowed, not_found};
use etag::{IfMatch, tagged};

use crate::{
    accounts::{AccountId, AccountsError, Caller, Directory, DirectoryError, Ends, Privilege},
    app::SharedApp,
    envelope::ApiError,
    events::Kind,
    fields::Fields,
    limits,
    request::Params,
};

/// Who asks; every operation that is not open to anyone takes one.
pub(crate) struct By(Caller);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller
            .map(Self)
            .ok_or_else(|| SessionError::new(StatusCode::UNAUTHORIZED, "a bearer token is required"))
    }
}

impl By {
    fn require(&self, privilege: Privilege) -> Result<(), SessionError> {
        match self.0.roles.allow(privilege) {
            true => Ok(()),
            false => {
                let why = format!("this needs {}", privilege.name());
                Err(SessionError::new(StatusCode::FORBIDDEN, why))
            }
        }
    }

    /// What people call the caller.
    fn name(&self, directory: &Directory) -> String {
        directory.user(self.0.user).map_or_else(|_| self.0.user.to_string(), |user| user.name.clone())
    }
}

/// The account that a path names; one that is no number names nobody.
fn account(params: &Params, name: &str) -> Result<AccountId, SessionError> {
    let text = params.get(name);
    let id = text.parse().map(AccountId);
    id.map_err(|_| SessionError::new(StatusCode::NOT_FOUND, format!("there is no user or group {text:?}")))
}

/// An object that replaces another may say its id again, but no other one.
fn check_same_id(body: Fields<'_>, id: AccountId) -> Result<(), SessionError> {
    match body.text("id", limits::NAME_CHARS)? {
        Some(given) if given != id.to_string() => {
            Err(SessionError::invalid(format!("id must be {id}, as in the path")))
        }
        _ => Ok(()),
    }
}

/// A change of the accounts is carried through even if its client goes away, and is an event that says who made it.
async fn change<T: Send + 'static>(
    app: &SharedApp,
    by: By,
    ends: Ends,
    edit: impl Fn(&mut Directory) -> Result<T, DirectoryError> + Send + Sync + 'static,
    said: impl FnOnce(&T) -> (AccountId, String) + Send + 'static,
) -> Result<T, SessionError> {
    let this = SharedApp::clone(app);
    let change = async move {
        let done = match this.auth.accounts.change(ends, edit).await {
            Ok(done) => done,
            Err(AccountsError::Directory(refused)) => return Ok(Err(refused)),
            Err(AccountsError::Store(error)) => return Err(ApiError::from(error)),
        };
        let (account, what) = said(&done);
        let who = by.name(&this.auth.accounts.directory().await?);
        this.events.add(Kind::AccountsChanged, account, format!("{who} {what}")).await;
        Ok(Ok(done))
    };
    Ok(app.complete(change).await??)
}

/// 200 without a body.
fn empty() -> Response {
    StatusCode::OK.into_response()
}
