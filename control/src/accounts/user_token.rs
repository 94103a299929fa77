//! User tokens of the role API: they speak for a user, inside one tenant once they are scoped (role.md §2).

use super::{
    AccountId, Accounts, BearerId, BearerKind, User,
    opaque::{new_token, token_digest},
    records::{AccessTokenRecord, SessionRecord, UserTokenRecord},
};
use crate::{
    app::now_ms,
    limits,
    state::{Change, Stored},
    store::StoreError,
};

const LIFE_MS: u64 = 24 * 3_600_000;

/// Who a user token, or a bearer in its place, speaks for.
#[derive(Debug, Clone)]
pub(crate) struct UserIdentity {
    pub(crate) user: User,
    pub(crate) administrator: bool,
    /// The name of the tenant that it is scoped to.
    pub(crate) tenant: Option<String>,
    /// The bearer that it came from, and ends with.
    origin: Option<BearerId>,
    /// Milliseconds since the epoch.
    ends_ms: u64,
}

impl Accounts {
    /// For a user whose password was just checked: good for 24 hours.
    pub(crate) async fn identity_of(&self, user: User) -> Result<UserIdentity, StoreError> {
        let administrator = self.directory().await?.roles_of(&user).administrator;
        Ok(UserIdentity { user, administrator, tenant: None, origin: None, ends_ms: now_ms() + LIFE_MS })
    }

    /// The user of that id as it is now, unless it is gone or disabled.
    pub(crate) async fn identity(&self, id: AccountId) -> Result<Option<UserIdentity>, StoreError> {
        let user = self.directory().await?.user(id).ok().filter(|user| user.enabled).cloned();
        match user {
            Some(user) => Ok(Some(self.identity_of(user).await?)),
            None => Ok(None),
        }
    }

    /// Whom the text speaks for now: a user token's, or a bearer's.
    pub(crate) async fn user_identity(&self, text: &str) -> Result<Option<UserIdentity>, StoreError> {
        match self.caller(text).await? {
            Some(caller) => {
                let user = self.directory().await?.user(caller.user).ok().cloned();
                let Some(origin) = caller.bearer else { return Ok(None) };
                let ends_ms = self.ends_ms(origin).await?.unwrap_or(0).min(now_ms() + LIFE_MS);
                let administrator = caller.roles.administrator;
                Ok(user.map(|user| UserIdentity {
                    user,
                    administrator,
                    tenant: None,
                    origin: Some(origin),
                    ends_ms,
                }))
            }
            None => self.token_identity(text).await,
        }
    }

    async fn token_identity(&self, text: &str) -> Result<Option<UserIdentity>, StoreError> {
        let found = self.state.get::<UserTokenRecord>(&token_digest(text)).await?.map(|stored| stored.value);
        let Some(token) = found.filter(|token| now_ms() < token.ends_ms) else { return Ok(None) };
        if let Some(origin) = token.origin
            && self.ends_ms(origin).await?.is_none()
        {
            return Ok(None);
        }
        let directory = self.directory().await?;
        let user = directory.user(token.user).ok().filter(|user| user.enabled);
        Ok(user.map(|user| UserIdentity {
            administrator: directory.roles_of(user).administrator,
            user: user.clone(),
            tenant: token.tenant,
            origin: token.origin,
            ends_ms: token.ends_ms,
        }))
    }

    /// When a bearer ends; `None` if it has.
    async fn ends_ms(&self, bearer: BearerId) -> Result<Option<u64>, StoreError> {
        let (id, now) = (bearer.to_string(), now_ms());
        Ok(match bearer.kind() {
            BearerKind::Session => {
                let session = self.state.get::<SessionRecord>(&id).await?;
                session.map(|s| s.value.ends_ms).filter(|ends| now < *ends)
            }
            BearerKind::AccessToken => {
                let token = self.state.get::<AccessTokenRecord>(&id).await?.map(|t| t.value);
                token
                    .filter(|t| t.is_valid_at(now))
                    .map(|t| t.expires_ms.map_or(u64::MAX, |ms| u64::try_from(ms).unwrap_or(0)))
            }
        })
    }

    /// A token for the same user, in that tenant or in none; it ends no later than what it comes from. Tokens that
    /// have ended are swept, and a user's oldest goes if it has too many.
    pub(crate) async fn open_user_token(
        &self,
        of: &UserIdentity,
        tenant: Option<&str>,
    ) -> Result<String, StoreError> {
        let text = new_token();
        let record = UserTokenRecord {
            digest: token_digest(&text),
            user: of.user.id,
            tenant: tenant.map(str::to_owned),
            origin: of.origin,
            ends_ms: of.ends_ms,
        };
        let change = self.sweep_user_tokens(of.user.id).await?;
        self.state.create(record, change).await?;
        Ok(text)
    }

    async fn sweep_user_tokens(&self, user: AccountId) -> Result<Change, StoreError> {
        let now = now_ms();
        let (ended, live): (Vec<Stored<UserTokenRecord>>, Vec<_>) = self
            .state
            .list::<UserTokenRecord>()
            .await?
            .into_iter()
            .partition(|token| token.value.ends_ms <= now);
        let mut own: Vec<_> = live.into_iter().filter(|token| token.value.user == user).collect();
        own.sort_by_key(|token| token.value.ends_ms);
        let too_many = (own.len() + 1).saturating_sub(limits::USER_TOKENS_OF_USER);
        let swept = ended.iter().chain(own.iter().take(too_many));
        Ok(swept.fold(Change::default(), |change, token| change.forget(&token.value)))
    }
}
