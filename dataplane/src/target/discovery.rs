//! The discovery subsystem: what hosts find here, and where.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nvmeof::{
    Nqn,
    controller::{DiscoveryKind, DiscoveryRecord, TransportSecurity},
};

use super::{
    association::Association,
    portal::{Portal, Serves},
    subsystem::TargetSubsystem,
};
use crate::{limits, node::StartError};

/// Known under the well-known name, which every node has, and under one of its own.
#[derive(Debug)]
pub(super) struct Discovery {
    /// Without namespaces; its name is its own.
    pub(super) subsystem: Arc<TargetSubsystem>,
    /// Discovery elsewhere, which every host is told of.
    referrals: Vec<SocketAddr>,
    generations: Mutex<Generations>,
}

/// What a host finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DiscoveryLog {
    pub(super) records: Vec<DiscoveryRecord>,
    /// GENCTR: moves with every change of the records.
    pub(super) generation: u64,
}

/// GENCTR of each host's log.
#[derive(Debug, Default)]
struct Generations {
    /// Of hosts that have looked.
    of_host: BTreeMap<Nqn, Seen>,
    /// Where those begin that have not.
    first: u64,
}

/// What a host has seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    digest: u64,
    generation: u64,
}

impl Generations {
    /// Of the log with this digest, which moves on if it was another one at the last look.
    fn of(&mut self, host: &Nqn, digest: u64) -> u64 {
        if self.of_host.len() >= limits::DISCOVERY_HOSTS && !self.of_host.contains_key(host) {
            // All of them move on, beyond whatever they have seen: one look too many does no harm.
            let newest = self.of_host.values().map(|seen| seen.generation).max();
            self.first = newest.unwrap_or_default() + 1;
            self.of_host.clear();
        }
        let seen = self.of_host.entry(host.clone()).or_insert(Seen { digest, generation: self.first });
        if seen.digest != digest {
            *seen = Seen { digest, generation: seen.generation.wrapping_add(1) };
        }
        seen.generation
    }
}

/// Tells one log from another, by whatever addresses the host came in.
fn digest(records: &[DiscoveryRecord]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for record in records {
        record.subsystem_nqn.as_str().hash(&mut hasher);
        (record.port_id, record.kind as u8, record.security as u8).hash(&mut hasher);
    }
    hasher.finish()
}

/// The discovery subsystem's own name.
pub(super) fn own_nqn(nqn_prefix: &str, node_id: &str) -> Result<Nqn, StartError> {
    let nqn = format!("{nqn_prefix}discovery:{node_id}");
    Nqn::new(nqn.as_str())
        .map_err(|error| StartError(format!("NQN prefix {nqn_prefix}: {nqn} cannot be a name: {error}")))
}

impl Discovery {
    pub(super) fn new(subsystem: TargetSubsystem, referrals: Vec<SocketAddr>) -> Self {
        Self { subsystem: Arc::new(subsystem), referrals, generations: Mutex::default() }
    }

    /// Whether a host that names this subsystem means discovery.
    pub(super) fn is_named(&self, nqn: &Nqn) -> bool {
        nqn.as_str() == Nqn::DISCOVERY || nqn == self.subsystem.nqn()
    }

    /// What the host of a discovery controller may see, at addresses that it can reach: the discovery subsystem
    /// itself, then of `subsystems` those that it may use, then discovery elsewhere. Under the lock of all subsystems, so
    /// that logs and their generations go together.
    pub(super) fn log<'a>(
        &self,
        association: &Association,
        security: TransportSecurity,
        portals: &[Portal],
        subsystems: impl Iterator<Item = &'a Arc<TargetSubsystem>>,
    ) -> DiscoveryLog {
        let host = &association.host.nqn;
        let mut records = Vec::new();
        let mut add = |subsystem: &TargetSubsystem, kind: DiscoveryKind, security| {
            for (index, portal) in portals.iter().enumerate() {
                if kind == DiscoveryKind::Storage && portal.serves == Serves::Discovery {
                    continue;
                }
                let address = portal.advertised(association.local);
                let known = |record: &DiscoveryRecord| {
                    record.address == address && record.subsystem_nqn == *subsystem.nqn()
                };
                if !records.iter().any(known) {
                    let (subsystem_nqn, port_id) = (subsystem.nqn().clone(), index as u16 + 1);
                    records.push(DiscoveryRecord { subsystem_nqn, address, port_id, kind, security });
                }
            }
        };
        // Discovery itself is never refused for want of TLS.
        let here = match security {
            TransportSecurity::Off => TransportSecurity::Off,
            TransportSecurity::Allowed | TransportSecurity::Required => TransportSecurity::Allowed,
        };
        add(&self.subsystem, DiscoveryKind::Current, here);
        for subsystem in subsystems {
            if !subsystem.exports().visible_to(host).is_empty() {
                add(subsystem, DiscoveryKind::Storage, security);
            }
        }
        let well_known = Nqn::new(Nqn::DISCOVERY).expect("the specification's own name is a name");
        records.extend(self.referrals.iter().map(|&address| DiscoveryRecord {
            subsystem_nqn: well_known.clone(),
            address,
            // A port of another subsystem.
            port_id: 0,
            kind: DiscoveryKind::Referral,
            security: TransportSecurity::Off,
        }));
        let generation = self.generations().of(host, digest(&records));
        DiscoveryLog { records, generation }
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_generation_goes_back_when_hosts_are_forgotten() {
        let name = |index: usize| Nqn::new(format!("nqn.x:{index}").as_str()).unwrap();
        let mut generations = Generations::default();
        for index in 0..limits::DISCOVERY_HOSTS {
            assert_eq!(generations.of(&name(index), 1), 0);
        }
        assert_eq!((generations.of(&name(7), 2), generations.of(&name(7), 2)), (1, 1));
        assert_eq!((generations.of(&name(7), 1), generations.of(&name(8), 1)), (2, 0));
        let next = generations.of(&name(limits::DISCOVERY_HOSTS), 1);
        assert!(next > 2 && generations.of_host.len() == 1);
        assert!(generations.of(&name(7), 1) > 2);
    }
}
