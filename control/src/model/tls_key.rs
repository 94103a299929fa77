//! A host's key for TLS, as it is stored.

use base64::{Engine, engine::general_purpose::STANDARD};
use dataplane::node::{HostTls, Nqn, PskHash, RetainedPsk};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::sealed::{Seal, Unopened};

/// The stored form of a host's TLS key: the retained PSK, which is bound to the host's NQN (TCP §3.6.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TlsKeyRecord {
    pub(crate) host_id: String,
    nqn: String,
    key: String,
    hash: Hash,
    pub(crate) policy: TlsPolicy,
    /// Milliseconds since the epoch.
    pub(crate) since_ms: u64,
}

/// Whether a host with a key must connect in TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum TlsPolicy {
    Required,
    Allowed,
}

impl TlsPolicy {
    /// Their names in the API.
    pub(crate) const NAMES: [(&str, Self); 2] = [("required", Self::Required), ("allowed", Self::Allowed)];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Allowed => "allowed",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Hash {
    Sha256,
    Sha384,
}

/// Names of the hash functions in the API.
pub(crate) const HASHES: [(&str, PskHash); 2] = [("sha256", PskHash::Sha256), ("sha384", PskHash::Sha384)];

/// Why a stored key cannot be used; its host is not let in then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Unopened(#[from] Unopened),
    #[error("the TLS key is for the host's earlier NQN {0}")]
    OtherNqn(String),
    #[error("the stored TLS key is none")]
    Malformed,
}

impl TlsKeyRecord {
    pub(crate) fn new(
        host_id: &str,
        key: &RetainedPsk,
        policy: TlsPolicy,
        seal: &Seal,
        since_ms: u64,
    ) -> Self {
        let text = Zeroizing::new(STANDARD.encode(&*key.to_stored()));
        Self {
            host_id: host_id.to_owned(),
            nqn: key.host().to_string(),
            key: seal.seal(&place(host_id), &text),
            hash: match key.hash() {
                PskHash::Sha256 => Hash::Sha256,
                PskHash::Sha384 => Hash::Sha384,
            },
            policy,
            since_ms,
        }
    }

    pub(crate) fn hash_name(&self) -> &'static str {
        match self.hash {
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
        }
    }

    /// What the node is told of the host, which has that NQN now.
    pub(crate) fn open(&self, nqn: &str, seal: &Seal) -> Result<HostTls, Unusable> {
        if nqn != self.nqn {
            return Err(Unusable::OtherNqn(self.nqn.clone()));
        }
        let text = seal.unseal(&place(&self.host_id), &self.key)?;
        let stored = STANDARD.decode(&*text).map(Zeroizing::new).ok();
        let host = Nqn::new(nqn).ok();
        let key = stored.zip(host).and_then(|(stored, host)| RetainedPsk::from_stored(host, &stored));
        let required = self.policy == TlsPolicy::Required;
        Ok(HostTls { required, keys: vec![key.ok_or(Unusable::Malformed)?] })
    }
}

fn place(host_id: &str) -> String {
    format!("host-tls-keys/{host_id}")
}

#[cfg(test)]
mod tests {
    use dataplane::node::ConfiguredPsk;

    use super::*;

    #[test]
    fn what_is_stored_shows_no_key_and_gives_the_same_back_to_the_same_host() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(dir.path()).unwrap();
        for (name, hash) in HASHES {
            let configured = ConfiguredPsk::generate(hash, |bytes| bytes.fill(7));
            let key = RetainedPsk::new(&configured, Nqn::new("nqn.h").unwrap());
            let record = TlsKeyRecord::new("h", &key, TlsPolicy::Allowed, &seal, 7);
            assert_eq!(record.hash_name(), name);
            let plain = STANDARD.encode(&*key.to_stored());
            assert!(!serde_json::to_string(&record).unwrap().contains(&plain[..20]));
            assert_eq!(record.open("nqn.h", &seal).unwrap(), HostTls { required: false, keys: vec![key] });
            assert!(matches!(record.open("nqn.other", &seal), Err(Unusable::OtherNqn(_))));
            let moved = TlsKeyRecord { host_id: "other".to_owned(), ..record };
            assert!(matches!(moved.open("nqn.h", &seal), Err(Unusable::Unopened(_))));
        }
    }
}
