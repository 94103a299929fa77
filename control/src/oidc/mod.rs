//! Tokens of an authorization server (OpenID Connect; provisioner §4.10, D49, D50).

mod config;
mod keys;

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

pub(crate) use config::{KeySource, OidcConfig, OidcRecord, Party};
use keys::{Keys, KeysError};

use crate::{
    accounts::Roles,
    outbound::{HttpsError, Trust, post_form},
    sealed::Seal,
    state::{Change, State},
    store::StoreError,
};

pub(crate) struct Oidc {
    state: State,
    trust: Trust,
    /// `None`: no authorization server is configured.
    active: RwLock<Option<Arc<Active>>>,
    /// One change at a time.
    changing: Mutex<()>,
}

struct Active {
    config: OidcConfig,
    keys: Keys,
}

/// Whose token was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Provisioner,
    Backends,
}

/// Why an authorization server is not taken; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error("this is the present configuration")]
    NoChange,
    #[error("no authorization server is configured")]
    NotSet,
    #[error("no token: {1}")]
    Create(Whose, GrantError),
    #[error("the token's signature could not be checked: {1}")]
    Decrypt(Whose, Untrusted),
    #[error("the client has no role ADMIN at its resource")]
    Unauthorized(Whose),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    #[error("the token URL {0}")]
    Url(&'static str),
    #[error(transparent)]
    Https(#[from] HttpsError),
    #[error("the answer holds no access_token")]
    NoToken,
}

/// Why a token does not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error("it is no signed JWT")]
    NoJwt,
    #[error("no key of the authorization server signed it, or it has expired")]
    Signature,
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl Oidc {
    /// As it was left. A configuration whose secrets cannot be opened any more counts as none: certificates and our own
    /// tokens still let people in to set it anew.
    pub(crate) async fn open(state: State, seal: &Seal, trust: Trust) -> Result<Self, StoreError> {
        let active = RwLock::new(Self::stored(&state, seal, &trust).await?);
        Ok(Self { state, trust, active, changing: Mutex::default() })
    }

    /// What is in the store counts from now on.
    pub(crate) async fn reload(&self, seal: &Seal) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        let stored = Self::stored(&self.state, seal, &self.trust).await?;
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = stored;
        Ok(())
    }

    async fn stored(state: &State, seal: &Seal, trust: &Trust) -> Result<Option<Arc<Active>>, StoreError> {
        let active = match state.get::<OidcRecord>(OidcRecord::KEY).await? {
            None => None,
            Some(stored) => match stored.value.open(seal) {
                Ok(config) => Keys::new(&config.keys, trust).ok().map(|keys| Active { config, keys }),
                Err(error) => {
                    tracing::error!(%error, "the authorization server's settings cannot be used");
                    None
                }
            },
        };
        Ok(active.map(Arc::new))
    }

    fn active(&self) -> Option<Arc<Active>> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn config(&self) -> Option<OidcConfig> {
        self.active().map(|active| active.config.clone())
    }

    pub(crate) fn is_set(&self) -> bool {
        self.active().is_some()
    }

    /// Tries the configuration with both clients, in the order of D50, and takes it if all is well.
    pub(crate) async fn set(&self, config: OidcConfig, seal: &Seal) -> Result<(), OidcError> {
        let _one = self.changing.lock().await;
        if self.config().as_ref() == Some(&config) {
            return Err(OidcError::NoChange);
        }
        let keys = Keys::new(&config.keys, &self.trust)?;
        for (whose, party) in [(Whose::Provisioner, &config.provisioner), (Whose::Backends, &config.backends)]
        {
            let token = self.grant(&config, party).await.map_err(|e| OidcError::Create(whose, e))?;
            let claims = trusted(&keys, &token).await.map_err(|e| OidcError::Decrypt(whose, e))?;
            if !roles(&claims, &party.resource_id).administrator {
                return Err(OidcError::Unauthorized(whose));
            }
        }
        let record = OidcRecord::seal(&config, seal);
        let stored = self.state.get(OidcRecord::KEY).await?;
        self.state.commit(Change::default().set(stored.as_ref(), &record)).await?;
        self.become_active(Some(Active { config, keys }));
        Ok(())
    }

    pub(crate) async fn clear(&self) -> Result<(), OidcError> {
        let _one = self.changing.lock().await;
        let Some(stored) = self.state.get::<OidcRecord>(OidcRecord::KEY).await? else {
            return Err(OidcError::NotSet);
        };
        self.state.commit(Change::default().remove(&stored)).await?;
        self.become_active(None);
        Ok(())
    }

    fn become_active(&self, active: Option<Active>) {
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = active.map(Arc::new);
    }

    /// RFC 6749 §4.4.
    async fn grant(&self, config: &OidcConfig, party: &Party) -> Result<Zeroizing<String>, GrantError> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
        }
        let url = config.token_url().map_err(GrantError::Url)?;
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(party.client_scope.as_deref().map(|scope| ("scope", scope)));
        let answer = post_form(&self.trust, &url, &party.client_id, &party.client_secret, &form).await?;
        let granted: Granted = serde_json::from_slice(&answer).map_err(|_| GrantError::NoToken)?;
        Ok(Zeroizing::new(granted.access_token))
    }

    /// What the bearer of this token may do at the provisioner. `None`: the token does not count.
    pub(crate) async fn judge(&self, token: &str) -> Option<Roles> {
        let active = self.active()?;
        match trusted(&active.keys, token).await {
            Ok(claims) => Some(roles(&claims, &active.config.provisioner.resource_id)),
            Err(Untrusted::Keys(error)) => {
                tracing::warn!(%error, "a token could not be checked");
                None
            }
            Err(_) => None,
        }
    }
}

/// The claims of a token that the authorization server signed and that has not expired.
async fn trusted(keys: &Keys, token: &str) -> Result<Map<String, Value>, Untrusted> {
    let header = decode_header(token).map_err(|_| Untrusted::NoJwt)?;
    for key in keys.candidates(&header).await? {
        let mut rules = Validation::new(header.alg);
        rules.algorithms = key.algorithms;
        rules.validate_nbf = true;
        // What a token is for, its roles say (D50): auth servers fill `aud` in each in their own way.
        rules.validate_aud = false;
        if let Ok(decoded) = decode::<Map<String, Value>>(token, &key.key, &rules) {
            return Ok(decoded.claims);
        }
    }
    Err(Untrusted::Signature)
}

/// `resource_access.<resourceID>.roles`; only where a token has no `resource_access` at all, `roles` (D50).
fn roles(claims: &Map<String, Value>, resource_id: &str) -> Roles {
    let named = match claims.get("resource_access") {
        Some(resources) => resources.get(resource_id).and_then(|resource| resource.get("roles")),
        None => claims.get("roles"),
    };
    let has = |role: &str| match named {
        Some(Value::Array(roles)) => roles.iter().any(|held| held == role),
        Some(one) => one == role,
        None => false,
    };
    Roles { administrator: has("ADMIN"), observer: has("OBSERVER") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_of_keycloak_and_of_adfs() {
        let of = |claims: Value| {
            let roles = roles(claims.as_object().unwrap(), "prov");
            (roles.administrator, roles.observer)
        };
        assert_eq!(of(json!({"resource_access": {"prov": {"roles": ["x", "ADMIN"]}}})), (true, false));
        assert_eq!(of(json!({"resource_access": {"prov": {"roles": ["OBSERVER"]}}})), (false, true));
        assert_eq!(of(json!({"resource_access": {"other": {"roles": ["ADMIN"]}}})), (false, false));
        assert_eq!(of(json!({"resource_access": {}, "roles": ["ADMIN"]})), (false, false));
        assert_eq!(of(json!({"roles": ["ADMIN", "OBSERVER"]})), (true, true));
        assert_eq!(of(json!({"roles": "ADMIN"})), (true, false));
        assert_eq!(of(json!({"roles": "ADMINS"})), (false, false));
        assert_eq!(of(json!({})), (false, false));
    }
}
