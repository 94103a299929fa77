//! Tokens that this server issues (provisioner D55, §1.1): JWTs signed with a key of the data directory. Each counts as
//! long as its record is in the store, so that it can be revoked.

use std::path::Path;

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ControlError,
    app::now_ms,
    files, limits,
    state::{Change, Record, State},
    store::StoreError,
};

const KEY_FILE: &str = "tokens.key";
const ISSUER: &str = "basalt";
const ALGORITHM: Algorithm = Algorithm::HS256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum IssuedRole {
    Admin,
    Observer,
    /// Opens `GET /metrics` and nothing else.
    Metrics,
}

/// What is kept of a token: everything but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IssuedToken {
    pub(crate) id: Uuid,
    pub(crate) role: IssuedRole,
    /// What it is for, for people.
    pub(crate) name: Option<String>,
    /// Milliseconds since the epoch, as `expires_ms`.
    pub(crate) created_ms: u64,
    /// `None`: never.
    pub(crate) expires_ms: Option<u64>,
}

impl Record for IssuedToken {
    const PREFIX: &'static str = "issued-tokens/";
    fn id(&self) -> String {
        self.id.to_string()
    }
}

impl IssuedToken {
    fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|end| end <= now_ms)
    }
}

/// The names are those of RFC 7519; times in seconds.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The token's id.
    jti: Uuid,
    roles: [IssuedRole; 1],
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    Valid(IssuedRole),
    /// It was one of ours.
    Expired,
    Unknown,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    #[error("{} tokens are out: revoke those that nobody needs any more", limits::ISSUED_TOKENS)]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(crate) struct IssuedTokens {
    state: State,
    signing: EncodingKey,
    checking: DecodingKey,
}

impl IssuedTokens {
    /// With the data directory's key, which is made at the first start.
    pub(crate) fn open(state: State, data_dir: &Path) -> Result<Self, ControlError> {
        let key = files::private_key(&data_dir.join(KEY_FILE))?;
        Ok(Self { state, signing: EncodingKey::from_secret(&key), checking: DecodingKey::from_secret(&key) })
    }

    /// The new token's text, which is kept nowhere. Tokens that have expired are swept.
    pub(crate) async fn issue(
        &self,
        role: IssuedRole,
        name: Option<String>,
        lifetime_ms: Option<u64>,
    ) -> Result<(IssuedToken, String), IssueError> {
        let now = now_ms();
        let token = IssuedToken {
            id: Uuid::new_v4(),
            role,
            name,
            created_ms: now,
            expires_ms: lifetime_ms.map(|ms| now + ms),
        };
        let (expired, live): (Vec<_>, Vec<_>) =
            self.list().await?.into_iter().partition(|token| token.has_expired(now));
        if live.len() >= limits::ISSUED_TOKENS {
            return Err(IssueError::TooMany);
        }
        let change = expired.iter().fold(Change::default(), Change::forget);
        self.state.create(token.clone(), change).await?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            jti: token.id,
            roles: [role],
            iat: now / 1000,
            exp: token.expires_ms.map(|ms| ms / 1000),
        };
        let text = encode(&Header::new(ALGORITHM), &claims, &self.signing);
        Ok((token, text.expect("claims are JSON, and the key is the algorithm's")))
    }

    /// Expired ones stay in it until the next is issued.
    pub(crate) async fn list(&self) -> Result<Vec<IssuedToken>, StoreError> {
        let mut tokens: Vec<IssuedToken> =
            self.state.list().await?.into_iter().map(|stored| stored.value).collect();
        tokens.sort_by_key(|token| (token.created_ms, token.id));
        Ok(tokens)
    }

    /// Refused from now on. `false`: there is no such token.
    pub(crate) async fn revoke(&self, id: Uuid) -> Result<bool, StoreError> {
        let Some(stored) = self.state.get::<IssuedToken>(&id.to_string()).await? else { return Ok(false) };
        match self.state.commit(Change::default().remove(&stored)).await {
            // Somebody else revoked it meanwhile: records are never changed.
            Err(StoreError::Conflict { .. }) => Ok(false),
            done => done.map(|()| true),
        }
    }

    pub(crate) async fn judge(&self, text: &str) -> Result<Judged, StoreError> {
        let mut rules = Validation::new(ALGORITHM);
        rules.set_required_spec_claims(&["iss"]);
        rules.set_issuer(&[ISSUER]);
        rules.leeway = 0;
        let claims = match decode::<Claims>(text, &self.checking, &rules) {
            Ok(token) => token.claims,
            // Said of tokens whose signature is right only.
            Err(error) if *error.kind() == ErrorKind::ExpiredSignature => return Ok(Judged::Expired),
            Err(_) => return Ok(Judged::Unknown),
        };
        let stored = self.state.get::<IssuedToken>(&claims.jti.to_string()).await?;
        Ok(stored.map_or(Judged::Unknown, |stored| Judged::Valid(stored.value.role)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::RedbStore;

    fn open(dir: &Path) -> IssuedTokens {
        let store = Arc::new(RedbStore::open(&dir.join("store.redb")).unwrap());
        IssuedTokens::open(State::new(store), dir).unwrap()
    }

    #[tokio::test]
    async fn a_token_counts_until_it_is_revoked_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = open(dir.path());
        let (admin, text) = tokens.issue(IssuedRole::Admin, None, Some(3_600_000)).await.unwrap();
        let (_, scrape) =
            tokens.issue(IssuedRole::Metrics, Some("prometheus".to_owned()), None).await.unwrap();
        drop(tokens);
        let tokens = open(dir.path());
        assert_eq!(tokens.judge(&text).await.unwrap(), Judged::Valid(IssuedRole::Admin));
        assert_eq!(tokens.judge(&scrape).await.unwrap(), Judged::Valid(IssuedRole::Metrics));
        assert!(tokens.revoke(admin.id).await.unwrap() && !tokens.revoke(admin.id).await.unwrap());
        assert_eq!(tokens.judge(&text).await.unwrap(), Judged::Unknown);
        assert_eq!(tokens.list().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn forged_and_expired_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = open(dir.path());
        let (token, text) = tokens.issue(IssuedRole::Observer, None, Some(3_600_000)).await.unwrap();
        let claims = |iss: &str, exp| Claims {
            iss: iss.to_owned(),
            jti: token.id,
            roles: [IssuedRole::Admin],
            iat: 0,
            exp: Some(exp),
        };
        let far = now_ms() / 1000 + 3600;
        let sign = |claims: Claims, algorithm, key: &EncodingKey| {
            encode(&Header::new(algorithm), &claims, key).unwrap()
        };
        let own = &tokens.signing;
        let other = EncodingKey::from_secret(&[7; 32]);
        let (head, rest) = text.split_once('.').unwrap();
        let none = format!("eyJhbGciOiJub25lIn0.{}.", rest.split_once('.').unwrap().0);
        for (text, expected) in [
            (sign(claims(ISSUER, 1), ALGORITHM, own), Judged::Expired),
            (sign(claims(ISSUER, 1), ALGORITHM, &other), Judged::Unknown),
            (sign(claims(ISSUER, far), ALGORITHM, &other), Judged::Unknown),
            (sign(claims("else", far), ALGORITHM, own), Judged::Unknown),
            (sign(claims(ISSUER, far), Algorithm::HS512, own), Judged::Unknown),
            (none, Judged::Unknown),
            (format!("{head}.{head}.{head}"), Judged::Unknown),
            (String::new(), Judged::Unknown),
            // What it may do stands in the record, whatever a token says.
            (sign(claims(ISSUER, far), ALGORITHM, own), Judged::Valid(IssuedRole::Observer)),
        ] {
            assert_eq!(tokens.judge(&text).await.unwrap(), expected, "{text}");
        }
    }
}
