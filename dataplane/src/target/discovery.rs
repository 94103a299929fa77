//! The discovery subsystem: what hosts find here, and where.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use nvmeof::{
    Nqn,
    controller::{DiscoveryKind, DiscoveryRecord, TransportSecurity},
};

use super::{association::Association, portal::Portal, subsystem::TargetSubsystem};
use crate::node::StartError;

/// Known under the well-known name, which every node has, and under one of its own.
#[derive(Debug)]
pub(super) struct Discovery {
    /// Without namespaces; its name is its own.
    pub(super) subsystem: Arc<TargetSubsystem>,
    /// GENCTR of its log.
    generation: AtomicU64,
}

/// The discovery subsystem's own name.
pub(super) fn own_nqn(nqn_prefix: &str, node_id: &str) -> Result<Nqn, StartError> {
    let nqn = format!("{nqn_prefix}discovery:{node_id}");
    Nqn::new(nqn.as_str())
        .map_err(|error| StartError(format!("NQN prefix {nqn_prefix}: {nqn} cannot be a name: {error}")))
}

impl Discovery {
    pub(super) fn new(subsystem: TargetSubsystem) -> Self {
        Self { subsystem: Arc::new(subsystem), generation: AtomicU64::new(1) }
    }

    /// Whether a host that names this subsystem means discovery.
    pub(super) fn is_named(&self, nqn: &Nqn) -> bool {
        nqn.as_str() == Nqn::DISCOVERY || nqn == self.subsystem.nqn()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Something in the log changed.
    pub(super) fn advance(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// What the host of a discovery controller may see, at addresses that it can reach: the discovery subsystem
    /// itself, then of `subsystems` those that it may use.
    pub(super) fn records<'a>(
        &self,
        association: &Association,
        security: TransportSecurity,
        portals: &[Portal],
        subsystems: impl Iterator<Item = &'a Arc<TargetSubsystem>>,
    ) -> Vec<DiscoveryRecord> {
        let host = &association.host.nqn;
        let mut records = Vec::new();
        let mut add = |subsystem: &TargetSubsystem, kind: DiscoveryKind, security| {
            for (index, portal) in portals.iter().enumerate() {
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
        records
    }
}
