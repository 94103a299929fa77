//! Subsystems as the control plane set them, and what each host may see of them.
//!
//! Set rarely, read by every command: readers keep a snapshot and compare one number, so that a command takes no
//! lock and touches no line that others write.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nvmeof::{
    Nqn,
    controller::{Namespace, Namespaces, Subsystem},
    limits::NAMESPACES_MAX,
};
use uuid::Uuid;

use super::{
    paths::{AllPaths, VolumePath},
    qos::Limiter,
    reservations::{AllReservations, VolumeReservations},
};
use crate::{
    node::{NamespaceSpec, NodeError, NodeObject, SubsystemSpec, SubsystemUsage, VolumeState},
    volume::Volume,
};

/// A namespace: a volume under a number.
#[derive(Debug, Clone)]
pub(super) struct TargetNamespace {
    pub(super) nsid: u32,
    pub(super) uuid: Uuid,
    pub(super) volume: Volume,
    pub(super) limiter: Arc<Limiter>,
    pub(super) reservations: Arc<VolumeReservations>,
    pub(super) path: Arc<VolumePath>,
}

/// What may change while hosts are connected. Replaced as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Exports {
    pub(super) allowed_hosts: Vec<Nqn>,
    /// Its hosts are other nodes, which have no namespaces here, but replicas.
    pub(super) serves_replicas: bool,
    /// Ascending by NSID.
    pub(super) namespaces: Vec<TargetNamespace>,
}

impl Exports {
    /// Checks what the control plane asks for; each namespace gets its volume's limiter, reservations and path.
    pub(super) fn new(
        spec: &SubsystemSpec,
        volumes: &[Volume],
        limiter_of: impl Fn(Uuid) -> Arc<Limiter>,
        reservations: &AllReservations,
        paths: &AllPaths,
    ) -> Result<Self, NodeError> {
        let mut exports = Self::default();
        let volumes: BTreeMap<Uuid, &Volume> = volumes.iter().map(|volume| (volume.uuid(), volume)).collect();
        for host in &spec.allowed_hosts {
            let nqn = Nqn::new(host.as_str()).map_err(|error| NodeError::Invalid(error.to_string()))?;
            exports.allowed_hosts.push(nqn);
        }
        for &NamespaceSpec { nsid, uuid, volume } in &spec.namespaces {
            if nsid == 0 || nsid > NAMESPACES_MAX {
                return Err(NodeError::Invalid(format!("NSID {nsid} is not between 1 and {NAMESPACES_MAX}")));
            }
            let found = *volumes.get(&volume).ok_or(NodeError::NotFound(NodeObject::Volume))?;
            let limiter = limiter_of(volume);
            let reservations = reservations.of(found)?;
            let path = paths.of(volume);
            let volume = found.clone();
            exports.namespaces.push(TargetNamespace { nsid, uuid, volume, limiter, reservations, path });
        }
        exports.namespaces.sort_by_key(|namespace| namespace.nsid);
        if exports.namespaces.windows(2).any(|pair| pair[0].nsid == pair[1].nsid) {
            return Err(NodeError::Invalid("one NSID twice in a subsystem".into()));
        }
        Ok(exports)
    }

    /// The internal subsystem, for these nodes.
    pub(super) fn of_replicas(nodes: Vec<Nqn>) -> Self {
        Self { allowed_hosts: nodes, serves_replicas: true, namespaces: Vec::new() }
    }

    /// Whether there is anything that `host` may connect for.
    pub(super) fn admits(&self, host: &Nqn) -> bool {
        self.allowed_hosts.contains(host) && (self.serves_replicas || !self.namespaces.is_empty())
    }

    /// The namespaces that `host` may use: all or none.
    pub(super) fn visible_to(&self, host: &Nqn) -> &[TargetNamespace] {
        if self.allowed_hosts.contains(host) { &self.namespaces } else { &[] }
    }

    /// Under which NSID the volume is exported.
    pub(super) fn namespace_of(&self, volume: Uuid) -> Option<u32> {
        self.namespaces.iter().find(|ns| ns.volume.uuid() == volume).map(|ns| ns.nsid)
    }

    /// The same in the control plane's words.
    pub(super) fn spec(&self, nqn: &Nqn) -> SubsystemSpec {
        let spec =
            |ns: &TargetNamespace| NamespaceSpec { nsid: ns.nsid, volume: ns.volume.uuid(), uuid: ns.uuid };
        SubsystemSpec {
            nqn: nqn.to_string(),
            allowed_hosts: self.allowed_hosts.iter().map(ToString::to_string).collect(),
            namespaces: self.namespaces.iter().map(spec).collect(),
        }
    }
}

/// A subsystem, for as long as anybody knows it.
#[derive(Debug)]
pub(super) struct TargetSubsystem {
    pub(super) description: Subsystem,
    exports: Mutex<Arc<Exports>>,
    generation: AtomicU64,
    /// Of associations that ended, and of earlier runs.
    past_usage: Mutex<SubsystemUsage>,
}

impl TargetSubsystem {
    pub(super) fn new(description: Subsystem, exports: Exports, past_usage: SubsystemUsage) -> Self {
        Self {
            description,
            exports: Mutex::new(Arc::new(exports)),
            generation: AtomicU64::new(1),
            past_usage: Mutex::new(past_usage),
        }
    }

    /// Without that of the associations that are there now.
    pub(super) fn past_usage(&self) -> SubsystemUsage {
        *self.past_usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An association ended, which did this.
    pub(super) fn add_usage(&self, usage: SubsystemUsage) {
        *self.past_usage.lock().unwrap_or_else(PoisonError::into_inner) += usage;
    }

    pub(super) fn nqn(&self) -> &Nqn {
        &self.description.nqn
    }

    /// Changes with every change of the exports, and when a volume was resized.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn exports(&self) -> Arc<Exports> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, exports: Exports) {
        *self.exports.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(exports);
        self.touch();
    }

    /// Makes everybody look again.
    pub(super) fn touch(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// Namespaces that a host may use, ascending by NSID; each is described when it is asked for.
#[derive(Debug)]
pub(super) struct Visible<'a>(pub(super) &'a [TargetNamespace]);

impl Namespaces for Visible<'_> {
    fn nsids(&self) -> Vec<u32> {
        self.0.iter().map(|namespace| namespace.nsid).collect()
    }

    fn get(&self, nsid: u32) -> Option<Namespace> {
        let index = self.0.binary_search_by_key(&nsid, |namespace| namespace.nsid).ok()?;
        Some(describe(&self.0[index]))
    }
}

/// A namespace as Identify describes it.
pub(super) fn describe(namespace: &TargetNamespace) -> Namespace {
    let volume = &namespace.volume;
    let block_bytes = volume.block_bytes();
    let blocks = |bytes: u64| bytes / u64::from(block_bytes);
    Namespace {
        nsid: namespace.nsid,
        size_blocks: blocks(volume.size_bytes()),
        used_blocks: blocks(volume.used_bytes()),
        block_bytes,
        uuid: namespace.uuid,
        nguid: *namespace.uuid.as_bytes(),
        read_only: !volume.is_writable() || matches!(volume.state(), VolumeState::ReadOnly(_)),
        thin: volume.reserved_bytes() < volume.size_bytes(),
        atomic_4k: volume.atomic_4k(),
        volatile_cache: volume.has_volatile_cache(),
        ana_state: namespace.path.state(),
        reservations_persist: namespace.reservations.is_persistent(),
        has_reservations: !volume.is_mirrored(),
    }
}
