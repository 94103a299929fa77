//! How values of the protocol, which know nothing of JSON, are sent to nodes. Secrets go over these connections only,
//! which both ends have proved.

use base64::{Engine, engine::general_purpose::STANDARD};
use dataplane::node::{
    AnaState, Credentials, DhGroup, HashFunction, HostTls, Nqn, Requirement, RetainedPsk, Secret,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// As the ANA log numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub(crate) struct WireAnaState(pub(crate) AnaState);

impl From<WireAnaState> for u8 {
    fn from(state: WireAnaState) -> Self {
        state.0.code()
    }
}

impl TryFrom<u8> for WireAnaState {
    type Error = Unknown;
    fn try_from(id: u8) -> Result<Self, Unknown> {
        AnaState::ALL.into_iter().find(|state| state.code() == id).map(Self).ok_or(Unknown("ANA state"))
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "RequirementText", into = "RequirementText")]
pub(crate) struct WireRequirement(pub(crate) Requirement);

#[derive(Serialize, Deserialize)]
struct RequirementText {
    /// `DHHC-1:…`.
    host: String,
    controller: Option<String>,
    /// By the numbers of the specification.
    hash: u8,
    group: u8,
}

impl From<WireRequirement> for RequirementText {
    fn from(WireRequirement(Requirement { credentials, hash, group }): WireRequirement) -> Self {
        Self {
            host: credentials.host.to_text().to_string(),
            controller: credentials.controller.map(|secret| secret.to_text().to_string()),
            hash: hash as u8,
            group: group as u8,
        }
    }
}

impl TryFrom<RequirementText> for WireRequirement {
    type Error = Unknown;
    fn try_from(text: RequirementText) -> Result<Self, Unknown> {
        let secret = |text: &str| Secret::parse(text).map_err(|_| Unknown("secret"));
        let credentials = Credentials {
            host: secret(&text.host)?,
            controller: text.controller.as_deref().map(secret).transpose()?,
        };
        let hash = HashFunction::from_id(text.hash).ok_or(Unknown("hash function"))?;
        let group = DhGroup::from_id(text.group).ok_or(Unknown("DH group"))?;
        Ok(Self(Requirement { credentials, hash, group }))
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "HostTlsText", into = "HostTlsText")]
pub(crate) struct WireHostTls(pub(crate) HostTls);

#[derive(Serialize, Deserialize)]
struct HostTlsText {
    required: bool,
    /// The host's NQN and the retained PSK in base64.
    keys: Vec<(String, String)>,
}

impl From<WireHostTls> for HostTlsText {
    fn from(WireHostTls(HostTls { required, keys }): WireHostTls) -> Self {
        let text = |key: &RetainedPsk| (key.host().to_string(), STANDARD.encode(&*key.to_stored()));
        Self { required, keys: keys.iter().map(text).collect() }
    }
}

impl TryFrom<HostTlsText> for WireHostTls {
    type Error = Unknown;
    fn try_from(text: HostTlsText) -> Result<Self, Unknown> {
        let key = |(host, key): (String, String)| {
            let stored = STANDARD.decode(&*key).map(Zeroizing::new).ok()?;
            RetainedPsk::from_stored(Nqn::new(&host).ok()?, &stored)
        };
        let keys: Option<Vec<_>> = text.keys.into_iter().map(key).collect();
        Ok(Self(HostTls { required: text.required, keys: keys.ok_or(Unknown("TLS key"))? }))
    }
}

/// The other end is another version.
#[derive(Debug, thiserror::Error)]
#[error("this version knows no such {0}")]
pub(crate) struct Unknown(&'static str);
