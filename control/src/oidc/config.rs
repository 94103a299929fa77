//! The settings of an authorization server (provisioner §4.10), as they are stored: secrets sealed.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    outbound::HttpsUrl,
    sealed::{Seal, Unopened},
    state::Record,
};

/// A resource that tokens are for, and the service account that holds ADMIN there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) resource_id: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Zeroizing<String>,
    pub(crate) client_scope: Option<String>,
}

/// Where the keys come from that tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeySource {
    /// PEM or the base64 of an SPKI, as it was given.
    PublicKey(String),
    JwkSetUrl(String),
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OidcConfig {
    pub(crate) token_url: String,
    pub(crate) keys: KeySource,
    pub(crate) provisioner: Party,
    pub(crate) backends: Party,
}

impl OidcConfig {
    pub(crate) fn token_url(&self) -> Result<HttpsUrl, &'static str> {
        self.token_url.parse()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SealedParty {
    resource_id: String,
    client_id: String,
    client_secret: String,
    client_scope: Option<String>,
}

/// The stored form.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OidcRecord {
    token_url: String,
    keys: KeySource,
    provisioner: SealedParty,
    backends: SealedParty,
}

impl OidcRecord {
    /// There is one.
    pub(crate) const KEY: &'static str = "config";

    pub(crate) fn seal(config: &OidcConfig, seal: &Seal) -> Self {
        let party = |party: &Party, place: &str| SealedParty {
            resource_id: party.resource_id.clone(),
            client_id: party.client_id.clone(),
            client_secret: seal.seal(place, &party.client_secret),
            client_scope: party.client_scope.clone(),
        };
        Self {
            token_url: config.token_url.clone(),
            keys: config.keys.clone(),
            provisioner: party(&config.provisioner, PROVISIONER),
            backends: party(&config.backends, BACKENDS),
        }
    }

    pub(crate) fn open(self, seal: &Seal) -> Result<OidcConfig, Unopened> {
        let party = |party: SealedParty, place: &str| {
            Ok(Party {
                client_secret: seal.unseal(place, &party.client_secret)?,
                resource_id: party.resource_id,
                client_id: party.client_id,
                client_scope: party.client_scope,
            })
        };
        Ok(OidcConfig {
            token_url: self.token_url,
            keys: self.keys,
            provisioner: party(self.provisioner, PROVISIONER)?,
            backends: party(self.backends, BACKENDS)?,
        })
    }
}

impl Record for OidcRecord {
    const PREFIX: &'static str = "auth-server/";
    fn id(&self) -> String {
        Self::KEY.to_owned()
    }
}

const PROVISIONER: &str = "auth-server/provisioner";
const BACKENDS: &str = "auth-server/backends";
