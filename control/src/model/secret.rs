//! How a host has to prove who it is, as it is stored.

use dataplane::node::{Credentials, DhGroup, HashFunction, Requirement, Secret};
use serde::{Deserialize, Serialize};

use crate::sealed::{Seal, Unopened};

/// The stored form of a host's secrets. Its existence demands authentication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostSecretRecord {
    pub(crate) host_id: String,
    /// By the numbers of the specification.
    hash: u8,
    dh_group: u8,
    /// `DHHC-1:…`.
    host: String,
    controller: Option<String>,
    /// Milliseconds since the epoch.
    pub(crate) since_ms: u64,
}

/// Names of the hash functions in the API.
pub(crate) const HASHES: [(&str, HashFunction); 3] =
    [("sha256", HashFunction::Sha256), ("sha384", HashFunction::Sha384), ("sha512", HashFunction::Sha512)];

/// Names of the groups in the API.
pub(crate) const DH_GROUPS: [(&str, DhGroup); 6] = [
    ("null", DhGroup::Null),
    ("ffdhe2048", DhGroup::Ffdhe2048),
    ("ffdhe3072", DhGroup::Ffdhe3072),
    ("ffdhe4096", DhGroup::Ffdhe4096),
    ("ffdhe6144", DhGroup::Ffdhe6144),
    ("ffdhe8192", DhGroup::Ffdhe8192),
];

impl HostSecretRecord {
    pub(crate) fn new(host_id: &str, requirement: &Requirement, seal: &Seal, since_ms: u64) -> Self {
        let Requirement { credentials, hash, group } = requirement;
        let sealed = |what, secret: &Secret| seal.seal(&place(host_id, what), &secret.to_text());
        Self {
            host_id: host_id.to_owned(),
            hash: *hash as u8,
            dh_group: *group as u8,
            host: sealed("host", &credentials.host),
            controller: credentials.controller.as_ref().map(|secret| sealed("controller", secret)),
            since_ms,
        }
    }

    pub(crate) fn hash_name(&self) -> &'static str {
        name_of(&HASHES, HashFunction::from_id(self.hash))
    }

    pub(crate) fn dh_group_name(&self) -> &'static str {
        name_of(&DH_GROUPS, DhGroup::from_id(self.dh_group))
    }

    /// Whether the controller can prove itself, too.
    pub(crate) fn is_two_way(&self) -> bool {
        self.controller.is_some()
    }

    /// What the node demands of the host.
    pub(crate) fn requirement(&self, seal: &Seal) -> Result<Requirement, Unsealed> {
        let open = |what, sealed: &str| {
            let text = seal.unseal(&place(&self.host_id, what), sealed)?;
            Secret::parse(&text).map_err(|_| Unsealed::Unknown)
        };
        Ok(Requirement {
            credentials: Credentials {
                host: open("host", &self.host)?,
                controller: self
                    .controller
                    .as_deref()
                    .map(|sealed| open("controller", sealed))
                    .transpose()?,
            },
            hash: HashFunction::from_id(self.hash).ok_or(Unsealed::Unknown)?,
            group: DhGroup::from_id(self.dh_group).ok_or(Unsealed::Unknown)?,
        })
    }
}

/// Why a stored secret cannot be used; its host is not let in then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsealed {
    #[error(transparent)]
    Unopened(#[from] Unopened),
    #[error("a stored secret is of a kind that this version does not know")]
    Unknown,
}

fn place(host_id: &str, what: &str) -> String {
    format!("host-secrets/{host_id}/{what}")
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: Option<T>) -> &'static str {
    names.iter().find(|(_, known)| value.as_ref() == Some(known)).map_or("unknown", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_shows_no_secret_and_gives_the_same_back() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(dir.path()).unwrap();
        let secret = |byte| Secret::generate(HashFunction::Sha384, |key| key.fill(byte));
        for controller in [None, Some(secret(2))] {
            let credentials = Credentials { host: secret(1), controller };
            let requirement =
                Requirement { credentials, hash: HashFunction::Sha384, group: DhGroup::Ffdhe3072 };
            let record = HostSecretRecord::new("h", &requirement, &seal, 7);
            assert!(!serde_json::to_string(&record).unwrap().contains("DHHC"));
            assert_eq!((record.hash_name(), record.dh_group_name()), ("sha384", "ffdhe3072"));
            assert_eq!(record.requirement(&seal).unwrap(), requirement);
            let moved = HostSecretRecord { host_id: "other".to_owned(), ..record };
            assert!(moved.requirement(&seal).is_err());
        }
    }
}
