//! The users of every API: who they are, what they may do, and the bearers that speak for them (session.md).

mod bearer;
mod directory;
mod identity;
mod opaque;
mod password;
mod records;
mod role;
mod throttle;
mod user_token;

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use tokio::time::Instant;

pub(crate) use bearer::{Bearer, BearerId, BearerKind};
pub(crate) use directory::{AccountId, Directory, DirectoryError, Group, User};
pub(crate) use identity::{Account, DOMAIN, Identity};
pub(crate) use opaque::{new_token, token_digest};
use password::Passwords;
use records::UserTokenRecord;
pub(crate) use records::{AccessTokenRecord, SessionRecord};
pub(crate) use role::{Privilege, Role, Roles};
use throttle::{Attempt, Throttle};
pub(crate) use user_token::UserIdentity;

use crate::{
    ControlError,
    app::now_ms,
    credentials, files, limits,
    role::TenantProfile,
    state::{Change, State, Stored},
    store::StoreError,
};

pub(crate) struct Accounts {
    state: State,
    passwords: Passwords,
    throttle: Throttle,
    /// How long a login is good for.
    session_ms: u64,
}

/// Who a request speaks for, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: AccountId,
    pub(crate) roles: Roles,
    /// Ids of the tenants that it may act in, whatever its roles.
    pub(crate) tenants: BTreeSet<String>,
    /// `None`: the administrator's token or certificate.
    pub(crate) bearer: Option<BearerId>,
}

impl Caller {
    /// Whoever holds the first start's token or a certificate of our CA acts as the user admin.
    pub(crate) const ADMINISTRATOR: Self =
        Self { user: AccountId::ADMIN, roles: Roles::ADMINISTRATOR, tenants: BTreeSet::new(), bearer: None };
}

/// Which bearers end with a change of their user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    Nothing,
    /// The user's sessions and user tokens, but not the session that asks nor what came from it.
    Sessions {
        user: AccountId,
        but: Option<BearerId>,
    },
    /// The user's sessions, user tokens and access tokens.
    Everything {
        user: AccountId,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountsError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// One text for every reason: it must not tell which user names exist.
    #[error("the user name or the password is wrong")]
    Wrong,
    #[error("too many failed logins: try again in a minute")]
    TooMany {
        /// Since logins were last allowed.
        first: bool,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Makes the first accounts at a first start: the user admin gets the password of the credentials' file.
    pub(crate) async fn open(
        state: State,
        credentials: &Path,
        session_ms: u64,
    ) -> Result<Self, ControlError> {
        let this = Self { state, passwords: Passwords::new(), throttle: Throttle::default(), session_ms };
        let file = credentials.join(credentials::ADMIN_PASSWORD);
        let in_store = |e: StoreError| ControlError::bad_file(credentials, e);
        if this.state.get::<Directory>(Directory::KEY).await.map_err(in_store)?.is_none() {
            let password = match files::read_if_there(&file)? {
                Some(text) => Some(this.passwords.hash(text.trim().to_owned()).await),
                None => None,
            };
            let first = Directory::first(password);
            this.state.create(first, Change::default()).await.map_err(in_store)?;
        }
        Ok(this)
    }

    pub(crate) async fn directory(&self) -> Result<Directory, StoreError> {
        Ok(self.stored().await?.value)
    }

    /// The directory as it was read, for changes that rest on it.
    pub(crate) async fn stored(&self) -> Result<Stored<Directory>, StoreError> {
        let stored = self.state.get::<Directory>(Directory::KEY).await?;
        stored.ok_or_else(|| StoreError::Failed("the users are gone from the store".to_owned()))
    }

    /// Changes the directory, and ends bearers in the same transaction; tried again while others are faster.
    pub(crate) async fn change<T>(
        &self,
        ends: Ends,
        edit: impl Fn(&mut Directory) -> Result<T, DirectoryError>,
    ) -> Result<T, AccountsError> {
        let mut tries = 1;
        loop {
            let mut stored = self.stored().await?;
            let done = edit(&mut stored.value)?;
            let change = self.ending(ends, Change::default().replace(&stored)).await?;
            match self.state.commit(change).await {
                Ok(()) => return Ok(done),
                Err(StoreError::Conflict { .. }) if tries < limits::TXN_TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn ending(&self, ends: Ends, mut change: Change) -> Result<Change, StoreError> {
        let (user, but) = match ends {
            Ends::Nothing => return Ok(change),
            Ends::Sessions { user, but } => (user, but),
            Ends::Everything { user } => (user, None),
        };
        for session in self.state.list::<SessionRecord>().await? {
            if session.value.user == user && Some(session.value.id) != but {
                change = change.forget(&session.value);
            }
        }
        for token in self.state.list::<UserTokenRecord>().await? {
            if token.value.user == user && (but.is_none() || token.value.origin != but) {
                change = change.forget(&token.value);
            }
        }
        if matches!(ends, Ends::Everything { .. }) {
            for token in self.state.list::<AccessTokenRecord>().await? {
                if token.value.user == user {
                    change = change.forget(&token.value);
                }
            }
        }
        Ok(change)
    }

    pub(crate) async fn hash(&self, password: String) -> String {
        self.passwords.hash(password).await
    }

    /// Is it the user's password now? Slowed down as a login is.
    pub(crate) async fn check_password(
        &self,
        source: IpAddr,
        name: &str,
        password: String,
    ) -> Result<User, LoginError> {
        if let Attempt::Refused { first } = self.throttle.begin(source, name, Instant::now()) {
            return Err(LoginError::TooMany { first });
        }
        let directory = self.directory().await?;
        let user = directory.user_named(name).filter(|user| user.enabled);
        let digest = user.and_then(|user| user.password.as_deref());
        match (self.passwords.is_right(password, digest).await, user) {
            (true, Some(user)) => {
                self.throttle.succeeded(source, name);
                Ok(user.clone())
            }
            _ => Err(LoginError::Wrong),
        }
    }

    /// A new session's bearer. Sessions that have ended are swept, and a user's oldest goes if it has too many.
    pub(crate) async fn open_session(&self, user: AccountId) -> Result<Bearer, StoreError> {
        let bearer = Bearer::new(BearerKind::Session);
        let now = now_ms();
        let ends_ms = now + self.session_ms;
        let session = SessionRecord { id: bearer.id, user, digest: bearer.digest(), ends_ms };
        let (ended, live): (Vec<_>, Vec<_>) = self
            .state
            .list::<SessionRecord>()
            .await?
            .into_iter()
            .map(|session| session.value)
            .partition(|session| session.ends_ms <= now);
        let mut own: Vec<_> = live.into_iter().filter(|session| session.user == user).collect();
        own.sort_by_key(|session| session.ends_ms);
        let too_many = (own.len() + 1).saturating_sub(limits::SESSIONS_OF_USER);
        let swept = ended.iter().chain(own.iter().take(too_many));
        let change = swept.fold(Change::default(), Change::forget);
        // A user that was deleted meanwhile leaves a session that speaks for nobody, until it is swept.
        self.state.create(session, change).await?;
        Ok(bearer)
    }

    /// Whom a bearer text speaks for, now.
    pub(crate) async fn caller(&self, text: &str) -> Result<Option<Caller>, StoreError> {
        let Some(bearer) = Bearer::parse(text) else { return Ok(None) };
        let Some(id) = self.holder(&bearer).await? else { return Ok(None) };
        let directory = self.directory().await?;
        let Some(user) = directory.user(id).ok().filter(|user| user.enabled) else { return Ok(None) };
        let (roles, tenants) = (directory.roles_of(user), self.tenants_of(id).await?);
        Ok(Some(Caller { user: id, roles, tenants, bearer: Some(bearer.id) }))
    }

    async fn tenants_of(&self, user: AccountId) -> Result<BTreeSet<String>, StoreError> {
        let profiles = self.state.list::<TenantProfile>().await?.into_iter().map(|profile| profile.value);
        Ok(profiles
            .filter(|profile| profile.users.contains(&user))
            .map(|profile| profile.tenant_id)
            .collect())
    }

    async fn holder(&self, bearer: &Bearer) -> Result<Option<AccountId>, StoreError> {
        let id = bearer.id.to_string();
        let now = now_ms();
        Ok(match bearer.id.kind() {
            BearerKind::Session => {
                let found = self.state.get::<SessionRecord>(&id).await?.map(|stored| stored.value);
                found.filter(|s| s.digest.is_of(bearer) && now < s.ends_ms).map(|s| s.user)
            }
            BearerKind::AccessToken => {
                let found = self.state.get::<AccessTokenRecord>(&id).await?.map(|stored| stored.value);
                found.filter(|t| t.digest.is_of(bearer) && t.is_valid_at(now)).map(|t| t.user)
            }
        })
    }
}
