//! The handle through which the control plane reaches a node: cloneable, `Send`, messages underneath.

mod api;
mod drives;
mod evacuate;
mod expand;
mod identity;
mod open_drive;
mod parts;
mod paths;
mod rate_limits;
mod replicas;
mod snapshots;
mod usage;
mod volume_io;
mod volumes;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
};

use uuid::Uuid;

// Secrets are the protocol's own: whoever keeps them reads and makes them with these.
pub use nvmeof::{
    Nqn,
    auth::{Credentials, DhGroup, HashFunction, Requirement, Secret, SecretError},
    tls::{ConfiguredPsk, InterchangeError, PskHash, RetainedPsk},
};

use self::drives::Drives;
pub use self::{
    api::*,
    usage::{NodeUsage, SubsystemUsage},
    volume_io::{LATENCY_BUCKETS, Latencies, VolumeIo},
};
pub use crate::engine::{CheckReport, DriveActivity};
use crate::{
    engine::Turns,
    limits,
    rt::{CoreId, Runtime, RuntimeHandle},
    target::{Target, TargetConfig},
    volume::Volume,
};

/// A running storage node. All clones are the same node; it stops with [`shutdown`](Self::shutdown), or when the
/// last clone is dropped (then as a killed process does, which loses nothing acknowledged).
#[derive(Debug, Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    handle: RuntimeHandle,
    drives: Drives,
    target: Target,
    /// Volumes in the making, so that two requests cannot make one UUID on two drives.
    creating: Mutex<HashSet<Uuid>>,
    /// Handles of the volumes that are or were exported: each volume has one, so that all who use it see its parts
    /// change.
    volumes: Mutex<HashMap<Uuid, Volume>>,
    /// Of changes that several drives make at one instant: two of them would wait for each other's drives.
    together: Turns,
    /// Written while volumes change drives: who looks at several drives sees each volume once.
    moves: RwLock<()>,
    /// At the shutdown.
    last_usage: OnceLock<NodeUsage>,
    /// `None` after shutdown.
    runtime: Mutex<Option<Runtime>>,
}

impl Node {
    /// Starts the cores, opens (or formats) the drives, and listens. Blocks until hosts can connect.
    ///
    /// # Errors
    /// Names the drive or portal that prevents it and what a person can do. Nothing is overwritten then.
    pub fn start(config: NodeConfig) -> Result<Self, StartError> {
        let node = Self::start_closed(config)?;
        node.open_portals();
        Ok(node)
    }

    /// As [`start`](Self::start), but hosts wait in the listeners' queues until
    /// [`open_portals`](Self::open_portals): a host that comes back after a restart must not be refused because
    /// its subsystem is not there yet.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_closed(config: NodeConfig) -> Result<Self, StartError> {
        if config.cores == 0 || config.cores > limits::CORES {
            return Err(StartError(format!("cores: {} is not within 1 to {}", config.cores, limits::CORES)));
        }
        let runtime = Runtime::start(config.cores).map_err(|error| StartError(error.to_string()))?;
        let handle = runtime.handle();
        let drives = Drives::open_all(&handle, config.drives, config.map_memory_bytes)?;
        let target_config = TargetConfig {
            portals: config.portals,
            discovery_portals: config.discovery_portals,
            referrals: config.referrals,
            node_id: config.node_id,
            nqn_prefix: config.nqn_prefix,
            controller_ids: config.controller_ids,
            stall_max: limits::STALL_MAX,
            authentication_max: limits::AUTHENTICATION_MAX,
            write_wait_max: limits::WRITE_WAIT_MAX,
            connections_per_address: config.connections_per_address,
        };
        let target = Target::start(&handle, &target_config)?;
        let inner = Inner {
            handle,
            drives,
            target,
            creating: Mutex::default(),
            volumes: Mutex::default(),
            together: Turns::default(),
            moves: RwLock::default(),
            last_usage: OnceLock::new(),
            runtime: Mutex::new(Some(runtime)),
        };
        let node = Self { inner: Arc::new(inner) };
        open_drive::block_on(node.settle_moves());
        open_drive::block_on(node.remove_left_behind());
        Ok(node)
    }

    /// Lets hosts in, from now on.
    pub fn open_portals(&self) {
        self.inner.target.open();
    }

    /// Ends connections after their commands, writes a checkpoint of every drive, and stops the cores.
    pub async fn shutdown(&self) {
        for replica in self.replicas().await {
            self.stop_replica(replica.volume).await;
        }
        let target = self.inner.target.clone();
        let stop = move || async move {
            target.stop().await;
            target.usage()
        };
        if let Some(usage) = self.inner.handle.call_on(CoreId(0), stop).await {
            self.inner.last_usage.get_or_init(|| usage);
        }
        for drive in self.inner.drives.all() {
            open_drive::close(&self.inner.handle, &drive).await;
        }
        let runtime = self.inner.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(runtime);
    }

    /// Threads that serve I/O.
    pub fn core_count(&self) -> usize {
        self.inner.handle.cores()
    }

    /// Answers when that core has come around to it: false if there is none, or none any more.
    pub async fn core_answers(&self, core: usize) -> bool {
        match u16::try_from(core) {
            Ok(id) if core < self.core_count() => {
                self.inner.handle.call_on(CoreId(id), || async {}).await.is_some()
            }
            _ => false,
        }
    }

    /// Where hosts connect to: advertised addresses; without one, as bound.
    pub fn portals(&self) -> Vec<SocketAddr> {
        self.inner.target.portals()
    }

    /// The same of portals for discovery alone; without those that were optional and whose address is in use.
    pub fn discovery_portals(&self) -> Vec<SocketAddr> {
        self.inner.target.discovery_portals()
    }

    /// Makes a subsystem be as `spec` says, whatever it was before. Hosts that lose their permission or their last
    /// namespace are disconnected; others are told what changed.
    pub async fn set_subsystem(&self, spec: SubsystemSpec) -> Result<(), NodeError> {
        let volumes: Vec<Volume> =
            spec.namespaces.iter().map(|ns| self.for_hosts(ns.volume)).collect::<Result<_, _>>()?;
        self.inner.target.set_subsystem(&spec, &volumes)
    }

    /// From now on these hosts, by NQN, have to authenticate with their secrets, and no others. That counts for
    /// Connects and authentications to come; hosts that are connected go on. A name that is no NQN is left out: nobody
    /// can connect by it.
    pub async fn set_requirements(&self, hosts: Vec<(String, Requirement)>) {
        self.inner.target.set_requirements(hosts);
    }

    /// From now on these hosts, by NQN, have these keys for TLS, and no others. That counts for connections to come;
    /// hosts that are connected go on.
    ///
    /// # Errors
    /// For a malformed NQN, or a key of another host; nothing is changed then.
    pub async fn set_host_tls(&self, hosts: Vec<(String, HostTls)>) -> Result<(), NodeError> {
        self.inner.target.set_host_tls(hosts)
    }

    /// As [`set_requirements`](Self::set_requirements), for these hosts only; of others nothing changes. `None`: the host
    /// need not authenticate.
    pub async fn update_requirements(&self, hosts: Vec<(String, Option<Requirement>)>) {
        self.inner.target.update_requirements(hosts);
    }

    /// As [`set_host_tls`](Self::set_host_tls), for these hosts only; of others nothing changes. `None`: the host has no key.
    ///
    /// # Errors
    /// As there.
    pub async fn update_host_tls(&self, hosts: Vec<(String, Option<HostTls>)>) -> Result<(), NodeError> {
        self.inner.target.update_host_tls(hosts)
    }

    /// Removes a subsystem and disconnects its hosts. One that does not exist is no error.
    pub async fn remove_subsystem(&self, nqn: &str) {
        self.inner.target.remove_subsystem(nqn);
    }

    pub async fn subsystems(&self) -> Vec<SubsystemSpec> {
        self.inner.target.subsystems()
    }

    /// NSIDs under which a host of the subsystem has a namespace, or may still believe so: none of them shall be given
    /// to another volume (H2).
    pub async fn known_nsids(&self, nqn: &str) -> BTreeSet<u32> {
        self.inner.target.known_nsids(nqn)
    }

    /// Identifiers within [`CONTROLLER_IDS`] that controllers get from now on, unless [`NodeConfig`] gave a range:
    /// nodes that export the same subsystems need ranges that do not overlap. Controllers that there are keep theirs.
    pub fn assign_controller_ids(&self, ids: RangeInclusive<u16>) {
        self.inner.target.assign_controller_ids(ids);
    }

    /// The hosts' controllers that are connected now.
    pub async fn controllers(&self) -> Vec<ControllerInfo> {
        self.inner.target.controllers()
    }
}
