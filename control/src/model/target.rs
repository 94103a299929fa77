//! Targets: the NVMe subsystem of a host, and the namespaces that it is published.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use dataplane::node::{NamespaceSpec, SubsystemSpec};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host::HostRecord;
use crate::limits;

/// The stored form of a target; it disappears with its last namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetRecord {
    pub(crate) host_id: String,
    pub(crate) scope: Scope,
    pub(crate) nqn: String,
    /// By volume.
    namespaces: BTreeMap<Uuid, Namespace>,
    /// Where the search for a free NSID goes on: one that was given back is the last to be given again.
    next_nsid: u32,
    /// NSIDs of volumes that went and that were given to no other since: the host may still know them.
    #[serde(default)]
    given_back: BTreeSet<u32>,
}

/// What one NQN spans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Scope {
    /// The host's namespaces on all backends (D60, D61).
    AllBackends,
    /// Those on one backend, by persistentID (D39).
    Backend(String),
}

impl Scope {
    /// Whether that backend may export namespaces of it.
    pub(crate) fn covers(&self, backend: &str) -> bool {
        match self {
            Self::AllBackends => true,
            Self::Backend(only) => only == backend,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Namespace {
    nsid: u32,
    replica: Uuid,
}

impl TargetRecord {
    pub(crate) fn new(host_id: &str, scope: Scope, nqn_prefix: &str) -> Self {
        Self {
            host_id: host_id.to_owned(),
            scope,
            nqn: format!("{nqn_prefix}{}", Uuid::new_v4()),
            namespaces: BTreeMap::new(),
            next_nsid: 1,
            given_back: BTreeSet::new(),
        }
    }

    /// Adds the replica of a volume under an NSID that nobody has and that is not among `known`, by which the host may
    /// still know another volume (H2); `None` if there is no such NSID. A volume that is there already keeps its own.
    pub(crate) fn publish(&mut self, volume: Uuid, replica: Uuid, known: &BTreeSet<u32>) -> Option<u32> {
        if let Some(namespace) = self.namespaces.get(&volume) {
            return Some(namespace.nsid);
        }
        let taken: BTreeSet<u32> = self.namespaces.values().map(|n| n.nsid).collect();
        let candidates = (self.next_nsid..=limits::NAMESPACES).chain(1..self.next_nsid);
        let nsid = candidates.into_iter().find(|nsid| !taken.contains(nsid) && !known.contains(nsid))?;
        self.given_back.remove(&nsid);
        self.namespaces.insert(volume, Namespace { nsid, replica });
        self.next_nsid = nsid % limits::NAMESPACES + 1;
        Some(nsid)
    }

    /// Whether it was there.
    pub(crate) fn unpublish(&mut self, volume: Uuid) -> bool {
        let gone = self.namespaces.remove(&volume);
        self.given_back.extend(gone.map(|namespace| namespace.nsid));
        gone.is_some()
    }

    /// NSIDs that a host may still know as long as the nodes do not say otherwise.
    pub(crate) fn given_back(&self) -> &BTreeSet<u32> {
        &self.given_back
    }

    /// Removes the namespaces of those copies; whether there were any.
    pub(crate) fn forget(&mut self, replicas: &HashSet<Uuid>) -> bool {
        let before = self.namespaces.len();
        let is_gone = |_: &Uuid, namespace: &mut Namespace| replicas.contains(&namespace.replica);
        self.given_back.extend(self.namespaces.extract_if(.., is_gone).map(|(_, gone)| gone.nsid));
        self.namespaces.len() < before
    }

    pub(crate) fn has(&self, volume: Uuid) -> bool {
        self.namespaces.contains_key(&volume)
    }

    /// Through a namespace of its own; a Terminating copy is exported still.
    pub(crate) fn exports(&self, replica: Uuid) -> bool {
        self.replicas().any(|other| other == replica)
    }

    pub(crate) fn replicas(&self) -> impl Iterator<Item = Uuid> {
        self.namespaces.values().map(|namespace| namespace.replica)
    }

    pub(crate) fn volumes(&self) -> impl Iterator<Item = Uuid> {
        self.namespaces.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.namespaces.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// What the node shall export. Only this host may connect.
    pub(crate) fn subsystem(&self, host: &HostRecord) -> SubsystemSpec {
        let namespaces = self.namespaces.values().map(|n| NamespaceSpec {
            nsid: n.nsid,
            volume: n.replica,
            uuid: n.replica,
        });
        SubsystemSpec {
            nqn: self.nqn.clone(),
            allowed_hosts: vec![host.nqn.clone()],
            namespaces: namespaces.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: BTreeSet<u32> = BTreeSet::new();

    fn id(n: u32) -> Uuid {
        Uuid::from_u128(u128::from(n))
    }

    fn target() -> TargetRecord {
        TargetRecord::new("h", Scope::AllBackends, "nqn.2026-11.io.basalt:")
    }

    #[test]
    fn an_nsid_that_was_given_back_comes_last() {
        let mut target = target();
        assert_eq!([1, 2, 3].map(|v| target.publish(id(v), id(v), &NONE).unwrap()), [1, 2, 3]);
        assert!(target.unpublish(id(2)) && !target.unpublish(id(2)));
        assert_eq!(target.given_back(), &BTreeSet::from([2]));
        assert_eq!(
            target.publish(id(4), id(4), &NONE),
            Some(4),
            "2 stays free as long as there are fresh ones"
        );
        assert_eq!(
            target.publish(id(1), id(1), &BTreeSet::from([1])),
            Some(1),
            "publishing again changes nothing"
        );
    }

    #[test]
    fn when_fresh_nsids_run_out_free_ones_are_given_again() {
        let mut target = target();
        for v in 1..=limits::NAMESPACES {
            assert_eq!(target.publish(id(v), id(v), &NONE), Some(v));
        }
        assert_eq!(target.publish(id(5000), id(5000), &NONE), None);
        target.unpublish(id(7));
        assert_eq!(target.publish(id(5000), id(5000), &BTreeSet::from([7, 8])), None, "the host may know 7");
        assert_eq!(target.publish(id(5000), id(5000), &BTreeSet::from([8])), Some(7));
        assert!(target.given_back().is_empty());
    }

    #[test]
    fn nqns_have_the_prefix_and_are_all_different() {
        let (a, b) = (target(), target());
        assert!(a.nqn.starts_with("nqn.2026-11.io.basalt:") && a.nqn != b.nqn);
        assert!(a.nqn.len() <= 223);
    }
}
