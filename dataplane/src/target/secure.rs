//! Which hosts have keys for TLS, and what each connection proved with one (TCP §3.6.1).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nvmeof::{
    Nqn,
    controller::{ConnectRefusal, ConnectRequest, TransportSecurity},
    tls::{PskIdentity, TlsPsk},
};

use super::association::Association;
use crate::{
    node::{HostTls, NodeError, StartError},
    rt::net::tls::TlsAcceptor,
};

/// The keys of all hosts. Locked by handshakes and by the control plane only.
#[derive(Debug, Default)]
pub(super) struct HostKeys(Mutex<BTreeMap<Nqn, HostTls>>);

impl HostKeys {
    /// Replaces all. Connections that exist go on.
    pub(super) fn set(&self, hosts: Vec<(String, HostTls)>) -> Result<(), NodeError> {
        let all: Result<_, NodeError> =
            hosts.into_iter().map(|(host, tls)| Ok((checked(host, &tls)?, tls))).collect();
        *self.lock() = all?;
        Ok(())
    }

    /// Replaces those of these hosts, or takes them away. Connections that exist go on.
    pub(super) fn update(&self, hosts: Vec<(String, Option<HostTls>)>) -> Result<(), NodeError> {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for (host, tls) in hosts {
            match tls {
                Some(tls) => new.push((checked(host, &tls)?, tls)),
                // By what is no NQN nobody has keys.
                None => gone.extend(Nqn::new(host).ok()),
            }
        }
        let mut all = self.lock();
        all.retain(|host, _| !gone.contains(host));
        all.extend(new);
        Ok(())
    }

    /// What a host may or must do.
    pub(super) fn security(&self, host: &Nqn) -> TransportSecurity {
        security(&self.lock(), host)
    }

    /// The key of an identity that somebody offers. Only version 1 says which of a host's keys it is of; otherwise
    /// it is one of the identity's own hash, if there is any.
    fn find(&self, identity: &[u8]) -> Option<TlsPsk> {
        let identity = PskIdentity::parse(identity).ok()?;
        let keys = self.lock();
        let keys = &keys.get(&identity.host)?.keys;
        let (own, other): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.hash() == identity.hash);
        own.into_iter().chain(other).find_map(|key| key.tls_psk(&identity))
    }

    /// Nothing changes while this is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Nqn, HostTls>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn security(keys: &BTreeMap<Nqn, HostTls>, host: &Nqn) -> TransportSecurity {
    match keys.get(host) {
        Some(tls) if tls.required => TransportSecurity::Required,
        Some(_) => TransportSecurity::Allowed,
        None => TransportSecurity::Off,
    }
}

/// A host's name, if these are its keys.
fn checked(host: String, tls: &HostTls) -> Result<Nqn, NodeError> {
    let host = Nqn::new(host).map_err(|error| NodeError::Invalid(error.to_string()))?;
    if tls.keys.iter().any(|key| *key.host() != host) {
        return Err(NodeError::Invalid(format!("a TLS key for {host} is another host's")));
    }
    Ok(host)
}

/// Takes TLS connections from hosts that have a key.
pub(super) fn acceptor(keys: &Arc<HostKeys>) -> Result<TlsAcceptor, StartError> {
    let keys = keys.clone();
    TlsAcceptor::new(Arc::new(move |identity| keys.find(identity)))
        .map_err(|error| StartError(format!("TLS for NVMe/TCP cannot be set up: {error}")))
}

/// Whether a Connect may come over a connection that proved `secured`: as the host and to the subsystem that the key
/// is for; without TLS only where the host need not have it.
pub(super) fn check_connect(
    keys: &BTreeMap<Nqn, HostTls>,
    request: &ConnectRequest,
    secured: Option<&PskIdentity>,
    is_discovery: bool,
) -> Result<(), ConnectRefusal> {
    match secured {
        Some(identity) if identity.host != request.host.nqn => Err(ConnectRefusal::wrong_host()),
        Some(identity) if identity.subsystem != request.subsystem_nqn => {
            Err(ConnectRefusal::unknown_subsystem())
        }
        // The log names nothing that a host without its key could use.
        None if !is_discovery && security(keys, &request.host.nqn) == TransportSecurity::Required => {
            Err(ConnectRefusal::host_not_allowed())
        }
        _ => Ok(()),
    }
}

/// Whether an I/O queue may join: all queues of an association are in TLS, or none.
pub(super) fn check_join(
    association: &Association,
    request: &ConnectRequest,
    secured: Option<&PskIdentity>,
) -> Result<(), ConnectRefusal> {
    if association.secured != secured.is_some() {
        return Err(ConnectRefusal::host_not_allowed());
    }
    match secured {
        Some(identity) if identity.host != request.host.nqn => Err(ConnectRefusal::wrong_host()),
        Some(identity) if identity.subsystem != request.subsystem_nqn => {
            Err(ConnectRefusal::unknown_subsystem())
        }
        _ => Ok(()),
    }
}
