//! What hosts have to prove before they are let in: that they have a secret, or a key for TLS.
//!
//! A name is let in by what is exported to it, so its proof is demanded before the first export and given up after the
//! last: whoever has only the name finds no moment between them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use dataplane::node::{HostTls, NodeError, Requirement};

use crate::{
    app::App,
    model::{host::HostRecord, secret::HostSecretRecord, tls_key::TlsKeyRecord},
    nodes::{
        NodeHandle,
        wire::{WireHostTls, WireRequirement},
    },
    store::StoreError,
};

/// By NQN, of every host that is known; hosts may share a name.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    secrets: BTreeMap<String, Option<Requirement>>,
    keys: BTreeMap<String, Option<HostTls>>,
    /// Their secrets or keys cannot be used.
    barred: BTreeSet<String>,
}

impl Proofs {
    /// Reads what the hosts have to prove.
    pub(super) async fn read(
        app: &App,
        hosts: impl Iterator<Item = &HostRecord> + Clone,
    ) -> Result<Self, StoreError> {
        let mut proofs = Self::default();
        for host in hosts.clone() {
            proofs.secrets.insert(host.nqn.clone(), None);
            proofs.keys.insert(host.nqn.clone(), None);
        }
        let hosts: HashMap<&str, &HostRecord> = hosts.map(|host| (host.id.as_str(), host)).collect();
        let mut secrets: Vec<_> = app.state.list::<HostSecretRecord>().await?;
        // Of hosts that share a name the newest secret counts.
        secrets.sort_by_key(|secret| secret.value.since_ms);
        for secret in secrets.into_iter().map(|secret| secret.value) {
            let Some(host) = hosts.get(secret.host_id.as_str()) else { continue };
            match secret.requirement(&app.seal) {
                Ok(requirement) => proofs.require_secret(host, requirement),
                Err(error) => proofs.bar(host, "secret", &error),
            }
        }
        for key in app.state.list::<TlsKeyRecord>().await?.into_iter().map(|key| key.value) {
            let Some(host) = hosts.get(key.host_id.as_str()) else { continue };
            match key.open(&host.nqn, &app.seal) {
                Ok(tls) => proofs.require_key(host, tls),
                Err(error) => proofs.bar(host, "TLS key", &error),
            }
        }
        Ok(proofs)
    }

    fn require_secret(&mut self, host: &HostRecord, requirement: Requirement) {
        let other = self.secrets.insert(host.nqn.clone(), Some(requirement)).flatten();
        if other.is_some() {
            tracing::warn!(
                host = host.id,
                nqn = host.nqn,
                "another host has this NQN: the newer secret counts"
            );
        }
    }

    /// Of hosts that share a name either key will do, and one of them in TLS demands it of all.
    fn require_key(&mut self, host: &HostRecord, tls: HostTls) {
        match self.keys.entry(host.nqn.clone()).or_default() {
            Some(both) => {
                both.required |= tls.required;
                both.keys.extend(tls.keys);
            }
            none => *none = Some(tls),
        }
    }

    fn bar(&mut self, host: &HostRecord, what: &str, error: &dyn fmt::Display) {
        tracing::error!(host = host.id, %error, "the host is not let in: set its {what} anew");
        self.barred.insert(host.nqn.clone());
    }

    /// Whether nobody is to be let in by this name, least of all without the proof.
    pub(super) fn bars(&self, nqn: &str) -> bool {
        self.barred.contains(nqn)
    }

    /// Before anything is exported. Whoever is not known, or barred, still has to prove what it had to.
    pub(super) async fn demand(&self, node: &NodeHandle) -> Result<(), NodeError> {
        let secrets = self.secrets.clone().into_iter().filter(|(nqn, _)| !self.bars(nqn));
        let secrets = secrets.map(|(nqn, secret)| (nqn, secret.map(WireRequirement)));
        node.update_requirements(secrets.collect()).await?;
        let keys = self.keys.clone().into_iter().filter(|(nqn, _)| !self.bars(nqn));
        let keys = keys.map(|(nqn, tls)| (nqn, tls.map(WireHostTls)));
        node.update_host_tls(keys.collect()).await
    }

    /// Once nothing is exported to others any more.
    pub(super) async fn demand_of_no_others(&self, node: &NodeHandle) -> Result<(), NodeError> {
        let secrets = self
            .secrets
            .clone()
            .into_iter()
            .filter_map(|(nqn, secret)| Some((nqn, WireRequirement(secret?))));
        node.set_requirements(secrets.collect()).await?;
        let keys = self.keys.clone().into_iter().filter_map(|(nqn, tls)| Some((nqn, WireHostTls(tls?))));
        node.set_host_tls(keys.collect()).await
    }
}

#[cfg(test)]
mod tests {
    use dataplane::node::{
        ConfiguredPsk, Credentials, DhGroup, HashFunction, Nqn, PskHash, RetainedPsk, Secret,
    };

    use super::*;

    const NQN: &str = "nqn.2014-08.org.example:shared";

    fn host(id: &str) -> HostRecord {
        HostRecord {
            id: id.to_owned(),
            name: id.to_owned(),
            nqn: NQN.to_owned(),
            client_type: String::new(),
            version: String::new(),
            duration_seconds: 0,
            multipath: false,
            used_namespace_ids: Vec::new(),
            last_probe_ms: 0,
        }
    }

    fn tls(byte: u8, required: bool) -> HostTls {
        let configured = ConfiguredPsk::generate(PskHash::Sha256, |bytes| bytes.fill(byte));
        HostTls { required, keys: vec![RetainedPsk::new(&configured, Nqn::new(NQN).unwrap())] }
    }

    #[test]
    fn hosts_that_share_a_name_do_not_open_it_for_each_other() {
        for required in [[true, false], [false, true]] {
            let mut proofs = Proofs::default();
            proofs.require_key(&host("a"), tls(1, required[0]));
            proofs.require_key(&host("b"), tls(2, required[1]));
            let both = proofs.keys[NQN].clone().unwrap();
            assert_eq!((both.required, both.keys.len()), (true, 2));
        }
        let requirement = |byte| Requirement {
            credentials: Credentials {
                host: Secret::generate(HashFunction::Sha256, |key| key.fill(byte)),
                controller: None,
            },
            hash: HashFunction::Sha256,
            group: DhGroup::Null,
        };
        let mut proofs = Proofs::default();
        proofs.require_secret(&host("a"), requirement(1));
        proofs.require_secret(&host("b"), requirement(2));
        assert_eq!(proofs.secrets[NQN], Some(requirement(2)));
        proofs.bar(&host("a"), "secret", &"sealed with another key");
        assert!(proofs.bars(NQN), "by whichever host it is");
    }
}
