//! How access tokens look to clients, and how they write times.

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use crate::{
    accounts::{AccessTokenRecord, Account, AccountId, Bearer, Directory},
    api::session::view::IdentityView,
    envelope::Failure,
    fields::Fields,
    limits, utc,
};

/// Everything but the bearer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccessTokenView {
    id: String,
    user: IdentityView,
    creator: IdentityView,
    creation_time: String,
    /// `null`: never.
    expiration_time: Option<String>,
    enabled: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeView {
    id: String,
    bearer_token: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenPage {
    entries: Vec<AccessTokenView>,
    paging: Paging,
}

#[derive(Debug, Serialize, ToSchema)]
struct Paging {
    /// `""`: this was the last page.
    next: String,
}

impl TokenPage {
    pub(super) fn new(entries: Vec<AccessTokenView>, next: String) -> Self {
        Self { entries, paging: Paging { next } }
    }
}

impl MadeView {
    pub(super) fn new(bearer: &Bearer) -> Self {
        Self { id: bearer.id.to_string(), bearer_token: bearer.text() }
    }
}

impl AccessTokenView {
    pub(super) fn new(token: &AccessTokenRecord, directory: &Directory) -> Self {
        Self {
            id: token.id.to_string(),
            user: identity(token.user, directory),
            creator: identity(token.creator, directory),
            creation_time: text(i64::try_from(token.created_ms).unwrap_or(i64::MAX)),
            expiration_time: token.expires_ms.map(text),
            enabled: token.enabled,
        }
    }
}

/// A creator may be gone; its number says who it was.
fn identity(id: AccountId, directory: &Directory) -> IdentityView {
    match directory.users.get(&id) {
        Some(user) => IdentityView::new(Account::User(user), directory),
        None => IdentityView::gone(id, directory),
    }
}

/// In UTC.
fn text(epoch_ms: i64) -> String {
    utc::text(epoch_ms, &Rfc3339).unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

/// RFC 3339 with a zone, as milliseconds since the epoch, which may be before it.
pub(super) fn parse_time(fields: Fields<'_>, name: &str) -> Result<Option<i64>, Failure> {
    let Some(text) = fields.text(name, limits::NAME_CHARS)? else { return Ok(None) };
    let wrong = || Failure::of_field(name, "must be a time with a zone, such as 2026-01-31T12:00:00Z");
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).map(Some).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: serde_json::Value) -> Result<Option<i64>, Failure> {
        let body = json!({ "t": value });
        parse_time(Fields::new(body.as_object().unwrap()), "t")
    }

    #[test]
    fn times_come_in_any_zone_and_go_in_utc() {
        let ms = parse(json!("2026-01-31T13:00:00.5+01:00")).unwrap().unwrap();
        assert_eq!(text(ms), "2026-01-31T12:00:00.5Z");
        assert_eq!(text(parse(json!("1960-01-01T00:00:00Z")).unwrap().unwrap()), "1960-01-01T00:00:00Z");
        assert_eq!(parse(json!(null)).unwrap(), None);
        for wrong in [json!("2026-01-31T13:00:00"), json!("tomorrow"), json!(5), json!("")] {
            assert!(parse(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
