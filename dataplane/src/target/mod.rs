//! The NVMe/TCP target: `nvmeof`'s state machines over the runtime's sockets and the engine's volumes.
//!
//! A portal's acceptor reads ICReq and Connect (`admission`), then hands the socket to the core that its queue
//! pair will live on (`queue`). What queue pairs of one controller share is its `association`; what all controllers
//! of a subsystem share is its `subsystem`. Nothing here takes a lock on the way of an I/O command.

mod admin;
mod admission;
mod association;
mod authentication;
mod by_address;
mod controllers;
mod copy;
mod counters;
mod discovery;
mod exports_view;
mod health;
mod io_command;
mod joining;
mod lba_status;
mod operation;
mod paths;
mod place;
mod portal;
mod qos;
mod queue;
mod read;
mod replicas;
mod reservations;
mod secure;
mod shown;
mod subsystem;
mod telemetry;
#[cfg(test)]
mod tests;
mod usage;
mod volume_io;
mod wait;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use nvmeof::{
    Nqn,
    auth::Requirement,
    command::Instance,
    controller::{ControllerKind, Subsystem},
};
use uuid::Uuid;

pub use self::controllers::CONTROLLER_IDS;
pub(crate) use self::wait::race;

use self::{
    association::Association,
    by_address::ByAddress,
    controllers::Controllers,
    discovery::{Discovery, DiscoveryLog},
    paths::AllPaths,
    place::Places,
    portal::{Portal, Serves},
    qos::Limiter,
    reservations::AllReservations,
    secure::HostKeys,
    subsystem::{Exports, TargetSubsystem},
    usage::PastUsage,
    wait::Flag,
};
use crate::{
    limits,
    mirror::Mirrors,
    node::{
        ControllerInfo, DiscoveryPortalConfig, HostTls, NodeError, NodeUsage, PortalConfig, RateLimits,
        StartError, SubsystemSpec, SubsystemUsage,
    },
    rt::{self, CoreId, RuntimeHandle, net::tls::TlsAcceptor},
    volume::Volume,
};

/// What a target needs to start.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    pub portals: Vec<PortalConfig>,
    /// For discovery alone.
    pub discovery_portals: Vec<DiscoveryPortalConfig>,
    /// Discovery elsewhere, which every host is told of.
    pub referrals: Vec<SocketAddr>,
    /// Stable name of this node: ends the discovery subsystem's own NQN.
    pub node_id: String,
    /// Begins the discovery subsystem's own NQN.
    pub nqn_prefix: String,
    /// Of these are the controllers' identifiers: within [`CONTROLLER_IDS`], and not empty.
    pub controller_ids: RangeInclusive<u16>,
    /// A peer that takes no answer, or sends no data that it was asked for, for this long is cut off (E7).
    pub stall_max: Duration,
    /// A host that has not authenticated a queue after this long, where it has to, is cut off.
    pub authentication_max: Duration,
    /// A write that may have waited longer before it begins is not executed (H1); well above `limits::BLOCK_MAX`.
    pub write_wait_max: Duration,
    /// Connected queue pairs of one address; more are answered with Controller Busy.
    pub connections_per_address: usize,
}

/// A running target; cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Target(Arc<Shared>);

/// What everything in the target shares. Locked only by Connect and by the control plane.
#[derive(Debug)]
pub(crate) struct Shared {
    places: Places,
    handshakes: Arc<ByAddress>,
    keys: Arc<HostKeys>,
    acceptor: TlsAcceptor,
    stall_max: Duration,
    authentication_max: Duration,
    write_wait_max: Duration,
    portals: Vec<Portal>,
    discovery: Discovery,
    subsystems: Mutex<BTreeMap<Nqn, Arc<TargetSubsystem>>>,
    /// Of every volume that is or was exported, or was given limits; by the volume's UUID.
    limiters: Mutex<BTreeMap<Uuid, Arc<Limiter>>>,
    reservations: AllReservations,
    /// Of hosts that have a secret, by NQN.
    requirements: Mutex<BTreeMap<Nqn, Arc<Requirement>>>,
    usage: PastUsage,
    paths: AllPaths,
    mirrors: Arc<Mirrors>,
    controllers: Mutex<Controllers>,
    /// A controller ended.
    controller_ended: Flag,
}

impl Target {
    /// Binds all portals, which the runtime's cores will serve, spread evenly. Hosts wait until [`Self::open`].
    pub fn start(runtime: &RuntimeHandle, config: &TargetConfig) -> Result<Self, StartError> {
        let bound = Portal::bind_all(&config.portals, &config.discovery_portals)?;
        let (portals, listeners): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
        let nqn = discovery::own_nqn(&config.nqn_prefix, &config.node_id)?;
        let discovery = TargetSubsystem::new(description(nqn), Exports::default(), SubsystemUsage::default());
        let keys = Arc::default();
        let shared = Arc::new(Shared {
            places: Places::new(runtime.cores(), config.connections_per_address),
            handshakes: ByAddress::new(limits::HANDSHAKES, limits::HANDSHAKES_PER_ADDRESS),
            acceptor: secure::acceptor(&keys)?,
            keys,
            stall_max: config.stall_max,
            authentication_max: config.authentication_max,
            write_wait_max: config.write_wait_max,
            portals,
            discovery: Discovery::new(discovery, config.referrals.clone()),
            subsystems: Mutex::default(),
            limiters: Mutex::default(),
            reservations: AllReservations::default(),
            requirements: Mutex::default(),
            usage: PastUsage::default(),
            paths: AllPaths::new(runtime.cores()),
            mirrors: Arc::new(Mirrors::new(&config.nqn_prefix)),
            controllers: Mutex::new(Controllers::new(config.controller_ids.clone())),
            controller_ended: Flag::default(),
        });
        for (index, listener) in listeners.into_iter().enumerate() {
            let shared = shared.clone();
            let core = CoreId((index % runtime.cores()) as u16);
            runtime.spawn_on(core, move || portal::accept_loop(shared, index, listener));
        }
        Ok(Self(shared))
    }

    /// Lets hosts in. Linux gives a controller up for good when its Connect is refused, so what they shall find
    /// must be there before.
    pub fn open(&self) {
        for portal in &self.0.portals {
            portal.open.raise();
        }
    }

    /// Where hosts are told to connect, in the configuration's order; without an advertised address where the
    /// portal listens. Ports that were 0 are real here.
    pub fn portals(&self) -> Vec<SocketAddr> {
        self.0.addresses(Serves::Everything)
    }

    /// The same of portals for discovery alone.
    pub fn discovery_portals(&self) -> Vec<SocketAddr> {
        self.0.addresses(Serves::Discovery)
    }

    /// Makes a subsystem what `spec` says, new or changed. Hosts connected to it hear of it; those that lost their
    /// last namespace are let go a little later.
    ///
    /// # Errors
    /// If `spec` names a volume that is not among `volumes`, a malformed NQN or NSID, or one twice; or if a volume's
    /// stored reservations cannot be read.
    pub fn set_subsystem(&self, spec: &SubsystemSpec, volumes: &[Volume]) -> Result<(), NodeError> {
        let nqn = Nqn::new(spec.nqn.as_str()).map_err(|error| NodeError::Invalid(error.to_string()))?;
        let limiter_of = |uuid| self.0.limiter(uuid);
        self.0.check_is_for_hosts(&nqn)?;
        let exports = Exports::new(spec, volumes, limiter_of, &self.0.reservations, &self.0.paths)?;
        let subsystem = {
            let mut subsystems = self.0.subsystems();
            match subsystems.get(&nqn) {
                Some(subsystem) => {
                    subsystem.set(exports);
                    subsystem.clone()
                }
                None => {
                    let past = self.0.usage.take(&nqn);
                    let new = TargetSubsystem::new(description(nqn.clone()), exports, past);
                    subsystems.entry(nqn).or_insert(Arc::new(new)).clone()
                }
            }
        };
        self.0.changed(Some(&subsystem));
        Ok(())
    }

    /// From now on these hosts have these keys for TLS, and no others. That counts for connections to come.
    ///
    /// # Errors
    /// For a malformed NQN, or a key of another host; nothing is changed then.
    pub fn set_host_tls(&self, hosts: Vec<(String, HostTls)>) -> Result<(), NodeError> {
        self.0.keys.set(hosts)?;
        self.0.changed(None);
        Ok(())
    }

    /// From now on each of these hosts has these keys for TLS, or none; of others nothing changes.
    ///
    /// # Errors
    /// As of [`set_host_tls`](Self::set_host_tls).
    pub fn update_host_tls(&self, hosts: Vec<(String, Option<HostTls>)>) -> Result<(), NodeError> {
        self.0.keys.update(hosts)?;
        self.0.changed(None);
        Ok(())
    }

    /// What was done before this start. To be said before hosts are let in.
    pub fn restore_usage(&self, past: NodeUsage) {
        self.0.usage.restore(past);
    }

    /// What was done until now. Runs on a core.
    pub fn usage(&self) -> NodeUsage {
        self.0.usage()
    }

    /// Takes everything away that a subsystem exports. Nobody new is let in; connected hosts see it empty, and keep
    /// their association for a while in case it comes back.
    pub fn remove_subsystem(&self, nqn: &str) {
        let Ok(nqn) = Nqn::new(nqn) else { return };
        let Some(subsystem) = self.0.subsystems().get(&nqn).cloned() else { return };
        if subsystem.exports().serves_replicas {
            return;
        }
        subsystem.set(Exports::default());
        self.0.changed(Some(&subsystem));
        self.0.forget_unused();
    }

    /// What is exported now.
    pub fn subsystems(&self) -> Vec<SubsystemSpec> {
        let subsystems = self.0.subsystems();
        let specs = subsystems.values().map(|s| (s.exports(), s.nqn()));
        // The internal one is nobody's wish.
        let wished = specs.filter(|(e, _)| !e.allowed_hosts.is_empty() && !e.serves_replicas);
        wished.map(|(exports, nqn)| exports.spec(nqn)).collect()
    }

    /// Identifiers of controllers to come, unless the operator gave a range.
    pub fn assign_controller_ids(&self, ids: RangeInclusive<u16>) {
        self.0.controllers().assign_ids(ids);
    }

    /// Controllers that hosts have now; those of discovery are not among them.
    pub fn controllers(&self) -> Vec<ControllerInfo> {
        let controllers = self.0.controllers();
        let counts = |c: &Association| c.kind == ControllerKind::Io && c.known.load(Ordering::SeqCst);
        controllers.by_id.values().filter(|c| counts(c)).map(|c| info(c)).collect()
    }

    /// NSIDs under which a host of the subsystem has a namespace, or may believe so: one that went stays among them
    /// until each of the subsystem's controllers has told its host so, or is gone (H2).
    pub fn known_nsids(&self, nqn: &str) -> BTreeSet<u32> {
        let mut nsids = BTreeSet::new();
        let Some(subsystem) = Nqn::new(nqn).ok().and_then(|nqn| self.0.subsystems().get(&nqn).cloned())
        else {
            return nsids;
        };
        nsids.extend(subsystem.exports().namespaces.iter().map(|namespace| namespace.nsid));
        let is_meant = |association: &&Arc<Association>| Arc::ptr_eq(&association.subsystem, &subsystem);
        // After the exports were looked at, and no lock is held while each is asked.
        let meant: Vec<_> = self.0.controllers().by_id.values().filter(is_meant).cloned().collect();
        for association in meant {
            nsids.extend(association.shown.nsids());
        }
        nsids
    }

    /// A volume's size or state changed: hosts that have it look again.
    pub fn volume_changed(&self, uuid: Uuid) {
        for subsystem in self.0.subsystems_with(uuid) {
            subsystem.touch();
            self.0.tell(&subsystem);
        }
    }

    /// From now on these hosts have to authenticate, and no others; each counts for Connects and authentications to
    /// come. What is connected stays so. A name that is no NQN is left out: nobody can connect by it.
    pub fn set_requirements(&self, hosts: Vec<(String, Requirement)>) {
        let named = |(host, requirement)| Some((Nqn::new(host).ok()?, Arc::new(requirement)));
        *self.0.requirements() = hosts.into_iter().filter_map(named).collect();
    }

    /// From now on each of these hosts has to authenticate so, or need not; of others nothing changes.
    pub fn update_requirements(&self, hosts: Vec<(String, Option<Requirement>)>) {
        let mut all = self.0.requirements();
        for (host, requirement) in hosts {
            let Ok(host) = Nqn::new(host) else { continue };
            match requirement {
                Some(requirement) => all.insert(host, Arc::new(requirement)),
                None => all.remove(&host),
            };
        }
    }

    /// Limits a volume from now on, in every subsystem.
    pub fn set_limits(&self, volume: Uuid, limits: RateLimits) {
        self.0.limiter(volume).set(limits);
    }

    /// What [`set_limits`](Self::set_limits) said last.
    pub fn limits(&self, volume: Uuid) -> RateLimits {
        self.0.limiters().get(&volume).map(|limiter| limiter.limits()).unwrap_or_default()
    }

    /// The volume is gone for good.
    pub fn forget_volume(&self, volume: Uuid) {
        self.0.limiters().remove(&volume);
        self.0.reservations.forget(volume);
        self.0.paths.forget(volume);
    }

    /// Stops accepting and ends every controller; commands under way are finished, within a bounded time.
    /// Runs on a core.
    pub async fn stop(&self) {
        for portal in &self.0.portals {
            portal.stop.raise();
        }
        let all: Vec<_> = {
            let mut controllers = self.0.controllers();
            controllers.stopping = true;
            controllers.by_id.values().cloned().collect()
        };
        for association in all {
            association.end();
        }
        let gone = async {
            while !self.0.controllers().by_id.is_empty() {
                self.0.controller_ended.raised().await;
            }
        };
        race(gone, rt::sleep(limits::STOP_MAX)).await;
    }
}

impl Shared {
    /// Another controller that `association`'s host has on the same subsystem, if it still is that instance.
    fn sibling(
        &self,
        association: &Association,
        cntlid: u16,
        instance: Instance,
    ) -> Option<Arc<Association>> {
        let sibling = self.controllers().by_id.get(&cntlid).cloned()?;
        let same_host = sibling.host == association.host;
        let same_subsystem = Arc::ptr_eq(&sibling.subsystem, &association.subsystem);
        (same_host && same_subsystem && sibling.instance == instance).then_some(sibling)
    }

    fn forget_controller(&self, cntlid: u16) {
        let mut controllers = self.controllers();
        let association = controllers.by_id.remove(&cntlid);
        if let Some(association) = &association {
            // Under the lock: who adds up sees it once.
            association.subsystem.add_usage(association.totals().usage);
        }
        drop(controllers);
        if let Some(association) = association {
            association.gone.open();
        }
        self.forget_unused();
        self.controller_ended.raise();
    }

    /// Drops subsystems that export nothing once nobody is connected to them.
    fn forget_unused(&self) {
        let mut subsystems = self.subsystems();
        let controllers = self.controllers();
        let is_used = |subsystem: &Arc<TargetSubsystem>| {
            controllers.by_id.values().any(|association| Arc::ptr_eq(&association.subsystem, subsystem))
        };
        subsystems.retain(|nqn, subsystem| {
            let stays = !subsystem.exports().allowed_hosts.is_empty() || is_used(subsystem);
            if !stays {
                self.usage.keep(nqn, subsystem.past_usage());
            }
            stays
        });
    }

    /// Those that export the volume.
    fn subsystems_with(&self, volume: Uuid) -> Vec<Arc<TargetSubsystem>> {
        let subsystems = self.subsystems();
        subsystems.values().filter(|s| s.exports().namespace_of(volume).is_some()).cloned().collect()
    }

    /// What the host of a discovery controller may see.
    fn discovery_log(&self, association: &Association) -> DiscoveryLog {
        let security = self.keys.security(&association.host.nqn);
        self.discovery.log(association, security, &self.portals, self.subsystems().values())
    }

    /// Of portals that serve that, in order, as hosts are told without an address of their own.
    fn addresses(&self, serves: Serves) -> Vec<SocketAddr> {
        let meant = self.portals.iter().filter(|portal| portal.serves == serves);
        meant.map(|portal| portal.advertised(portal.listen)).collect()
    }

    /// A subsystem came, went or changed: its hosts and all discovery controllers look again.
    fn changed(&self, subsystem: Option<&Arc<TargetSubsystem>>) {
        if let Some(subsystem) = subsystem {
            self.tell(subsystem);
        }
        self.tell(&self.discovery.subsystem);
    }

    fn tell(&self, subsystem: &Arc<TargetSubsystem>) {
        for association in self.controllers().by_id.values() {
            if Arc::ptr_eq(&association.subsystem, subsystem) {
                association.changed.raise();
            }
        }
    }

    /// A volume has one, however many subsystems export it.
    fn limiter(&self, volume: Uuid) -> Arc<Limiter> {
        self.limiters().entry(volume).or_default().clone()
    }

    fn limiters(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<Limiter>>> {
        self.limiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requirements(&self) -> MutexGuard<'_, BTreeMap<Nqn, Arc<Requirement>>> {
        self.requirements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subsystems(&self) -> MutexGuard<'_, BTreeMap<Nqn, Arc<TargetSubsystem>>> {
        self.subsystems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn controllers(&self) -> MutexGuard<'_, Controllers> {
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn info(association: &Association) -> ControllerInfo {
    ControllerInfo {
        subsystem_nqn: association.subsystem.nqn().to_string(),
        host_nqn: association.host.nqn.to_string(),
        host_id: association.host.id,
        cntlid: association.cntlid,
        peer: association.peer,
        secured: association.secured,
        io_queues: association.open_io_queues() as u16,
    }
}

/// Equal on all nodes of one NQN (H2): hosts meet one subsystem, wherever they connect.
fn description(nqn: Nqn) -> Subsystem {
    Subsystem {
        serial: serial_number(nqn.as_str()),
        nqn,
        model: "Basalt".into(),
        firmware: env!("CARGO_PKG_VERSION").into(),
        quiesce_ms: limits::WRITE_WAIT_MAX.as_millis() as u16,
    }
}

/// 20 hexadecimal digits that are the subsystem's own: FNV-1a, twice, over its name.
fn serial_number(nqn: &str) -> String {
    let fnv = |start: u64| {
        nqn.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
    };
    let digits = format!("{:016x}{:016x}", fnv(0xCBF2_9CE4_8422_2325), fnv(0x8422_2325_CBF2_9CE4));
    digits[..20].to_owned()
}
