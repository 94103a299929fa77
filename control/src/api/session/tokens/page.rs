//! Which access tokens a listing asks for, and where the next page lies.

use crate::{
    accounts::{AccessTokenRecord, Account, AccountId, BearerId, Directory, Identity},
    envelope::Failure,
    request::Query,
};

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    user: Option<String>,
    limit: usize,
    after: Option<BearerId>,
}

impl Listing {
    pub(super) fn parse(query: &Query) -> Result<Self, Failure> {
        // The Python client asks for `?user=alice?limit=2` (session.md §7).
        let (user, more) = match query.get("user").map(|user| user.split_once('?').unwrap_or((user, ""))) {
            Some((user, more)) => (Some(user.to_owned()), more),
            None => (None, ""),
        };
        let hidden = |name: &str| more.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let value = |name: &str| query.get(name).or_else(|| hidden(name));
        let limit = match value("limit").map(str::parse) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit @ 1..=LARGEST_LIMIT)) => limit,
            Some(_) => return Err(Failure::of_field("limit", format!("must be from 1 to {LARGEST_LIMIT}"))),
        };
        let after = match value("after").map(str::parse) {
            None => None,
            Some(Ok(after)) => Some(after),
            Some(Err(_)) => return Err(Failure::of_field("after", "must be the id of an access token")),
        };
        Ok(Self { user, limit, after })
    }

    /// The user whose tokens are asked for, if not all.
    pub(super) fn user_of(&self, directory: &Directory) -> Result<Option<AccountId>, Failure> {
        let Some(text) = &self.user else { return Ok(None) };
        match Identity::from_text(text).and_then(|identity| identity.find(directory)) {
            Some(Account::User(user)) => Ok(Some(user.id)),
            _ => Err(Failure::of_field("user", format!("must name a user: there is no {text:?}"))),
        }
    }

    /// This page of the tokens, and the path of the next one: `""` if there is none.
    pub(super) fn cut(&self, mut tokens: Vec<AccessTokenRecord>) -> (Vec<AccessTokenRecord>, String) {
        tokens.sort_by_key(|token| token.id);
        tokens.retain(|token| self.after.is_none_or(|after| token.id > after));
        let is_last = tokens.len() <= self.limit;
        tokens.truncate(self.limit);
        let next = match tokens.last() {
            Some(last) if !is_last => self.path_after(last.id),
            _ => String::new(),
        };
        (tokens, next)
    }

    fn path_after(&self, id: BearerId) -> String {
        let user = match &self.user {
            Some(user) => format!("user={}&", encoded(user)),
            None => String::new(),
        };
        format!("/v1/auth/access-tokens/?{user}limit={}&after={id}", self.limit)
    }
}

/// Percent-encoded, for a query.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    let one = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use axum::{extract::FromRequestParts, http::Request};

    use super::*;
    use crate::accounts::{Bearer, BearerKind};

    async fn listing(query: &str) -> Result<Listing, Failure> {
        let request = Request::get(format!("/?{query}")).body(()).unwrap();
        let query = Query::from_request_parts(&mut request.into_parts().0, &()).await.unwrap();
        Listing::parse(&query)
    }

    #[tokio::test]
    async fn the_clients_double_question_mark_is_read() {
        let odd = listing("user=alice?limit=2").await.unwrap();
        assert_eq!(odd, listing("user=alice&limit=2").await.unwrap());
        assert_eq!((odd.user.as_deref(), odd.limit), (Some("alice"), 2));
        assert_eq!(listing("").await.unwrap().limit, DEFAULT_LIMIT);
    }

    #[tokio::test]
    async fn wrong_arguments_are_named() {
        for (field, query) in
            [("limit", "limit=0"), ("limit", "limit=1001"), ("limit", "user=a?limit=x"), ("after", "after=x")]
        {
            assert_eq!(listing(query).await.unwrap_err().field.as_deref(), Some(field), "{query}");
        }
    }

    #[tokio::test]
    async fn pages_reach_every_token_once() {
        let token = || {
            let bearer = Bearer::new(BearerKind::AccessToken);
            AccessTokenRecord {
                id: bearer.id,
                user: AccountId::ADMIN,
                creator: AccountId::ADMIN,
                digest: bearer.digest(),
                created_ms: 0,
                expires_ms: None,
                enabled: true,
            }
        };
        let tokens: Vec<_> = (0..5).map(|_| token()).collect();
        let (mut query, mut seen) = ("user=a%20b&limit=2".to_owned(), Vec::new());
        loop {
            let (page, next) = listing(&query).await.unwrap().cut(tokens.clone());
            seen.extend(page.iter().map(|token| token.id));
            match next.split_once('?') {
                Some((_, more)) => query = more.to_owned(),
                None => break,
            }
        }
        let mut all: Vec<_> = tokens.iter().map(|token| token.id).collect();
        all.sort();
        assert_eq!(seen, all);
        assert!(query.starts_with("user=a%20b&limit=2&after="), "{query}");
    }
}
