//! What is kept of the bearers that are out: digests, never the texts.

use serde::{Deserialize, Serialize};

use super::{
    bearer::{BearerId, SecretDigest},
    directory::AccountId,
};
use crate::state::Record;

/// From a login, for as many seconds as the configuration says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub(crate) id: BearerId,
    pub(crate) user: AccountId,
    pub(crate) digest: SecretDigest,
    /// Milliseconds since the epoch.
    pub(crate) ends_ms: u64,
}

impl Record for SessionRecord {
    const PREFIX: &'static str = "sessions/";
    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// A long-lived bearer of a service (session.md §7).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessTokenRecord {
    pub(crate) id: BearerId,
    pub(crate) user: AccountId,
    /// Who made it; may be gone by now.
    pub(crate) creator: AccountId,
    pub(crate) digest: SecretDigest,
    /// Milliseconds since the epoch.
    pub(crate) created_ms: u64,
    /// Milliseconds since the epoch, which may be before it. `None`: never.
    pub(crate) expires_ms: Option<i64>,
    pub(crate) enabled: bool,
}

impl AccessTokenRecord {
    pub(crate) fn is_valid_at(&self, now_ms: u64) -> bool {
        let expired = |ms: i64| u64::try_from(ms).is_ok_and(|ms| ms <= now_ms) || ms < 0;
        self.enabled && !self.expires_ms.is_some_and(expired)
    }
}

impl Record for AccessTokenRecord {
    const PREFIX: &'static str = "access-tokens/";
    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// A token of the role API (role.md §2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UserTokenRecord {
    /// Of its text.
    pub(crate) digest: String,
    pub(crate) user: AccountId,
    /// The name of the tenant that it is scoped to.
    pub(crate) tenant: Option<String>,
    /// The bearer that it came from, and ends with.
    pub(crate) origin: Option<BearerId>,
    /// Milliseconds since the epoch.
    pub(crate) ends_ms: u64,
}

impl Record for UserTokenRecord {
    const PREFIX: &'static str = "user-tokens/";
    fn id(&self) -> String {
        self.digest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::bearer::{Bearer, BearerKind};

    #[test]
    fn a_token_is_valid_until_it_expires_and_while_it_is_enabled() {
        let bearer = Bearer::new(BearerKind::AccessToken);
        let token = |expires_ms, enabled| AccessTokenRecord {
            id: bearer.id,
            user: AccountId::ADMIN,
            creator: AccountId::ADMIN,
            digest: bearer.digest(),
            created_ms: 0,
            expires_ms,
            enabled,
        };
        let cases =
            [(None, true), (Some(101), true), (Some(100), false), (Some(0), false), (Some(-1), false)];
        for (expires_ms, valid) in cases {
            assert_eq!(token(expires_ms, true).is_valid_at(100), valid, "{expires_ms:?}");
            assert!(!token(expires_ms, false).is_valid_at(100), "{expires_ms:?}");
        }
    }
}
