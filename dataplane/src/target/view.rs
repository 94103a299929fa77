//! What a controller is told about the world with each admin command: namespaces, health, discovery records.

use std::sync::Arc;

use nvmeof::{
    Nqn,
    controller::{self, AnaState, DiscoveryRecord, Health, View},
};

use super::{
    Shared,
    association::{Association, Scope},
    registry::{Namespace, Subsystem},
};
use crate::node::VolumeState;

/// CQT: a controller whose association ended may work on its commands for as long as a write may wait (H1).
const QUIESCE_MS: u16 = 10_000;

/// Owned parts of a [`View`].
pub(super) struct World {
    subsystem: controller::Subsystem,
    namespaces: Vec<controller::Namespace>,
    health: Health,
    discovery: Vec<DiscoveryRecord>,
    discovery_generation: u64,
}

impl World {
    /// As an association sees it now.
    pub(super) fn new(shared: &Shared, association: &Association) -> Self {
        let mut world = Self {
            subsystem: describe(&association.subsystem_nqn),
            namespaces: Vec::new(),
            health: Health::default(),
            discovery: Vec::new(),
            discovery_generation: shared.discovery_generation(),
        };
        match &association.scope {
            Scope::Discovery => world.discovery = records(shared, association),
            Scope::Nvm(subsystem) => {
                let export = subsystem.export();
                world.namespaces = export.namespaces.iter().map(namespace).collect();
                world.health = health(subsystem);
                let read_only = |ns: &Namespace| matches!(ns.volume.state(), VolumeState::ReadOnly(_));
                world.health.read_only = export.namespaces.iter().any(read_only);
            }
        }
        world
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            subsystem: &self.subsystem,
            namespaces: &self.namespaces,
            health: self.health,
            ana_changes: 0,
            discovery: &self.discovery,
            discovery_generation: self.discovery_generation,
        }
    }
}

fn describe(nqn: &Nqn) -> controller::Subsystem {
    controller::Subsystem {
        nqn: nqn.clone(),
        serial: format!("BSLT{:016X}", serial_number(nqn)),
        model: "Basalt".to_owned(),
        firmware: env!("CARGO_PKG_VERSION").to_owned(),
        quiesce_ms: QUIESCE_MS,
    }
}

/// Every node of a subsystem must name the same serial number, so it comes from the NQN alone (FNV-1a).
fn serial_number(nqn: &Nqn) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    nqn.as_str().bytes().fold(0xCBF2_9CE4_8422_2325, step)
}

fn namespace(ns: &Namespace) -> controller::Namespace {
    let volume = &ns.volume;
    let block_bytes = volume.block_bytes();
    controller::Namespace {
        nsid: ns.nsid,
        size_blocks: volume.size_bytes() / u64::from(block_bytes),
        used_blocks: (volume.used_bytes() / u64::from(block_bytes))
            .min(volume.size_bytes() / u64::from(block_bytes)),
        block_bytes,
        uuid: ns.uuid,
        nguid: *ns.uuid.as_bytes(),
        read_only: matches!(volume.state(), VolumeState::ReadOnly(_)),
        thin: volume.reserved_bytes() < volume.size_bytes(),
        atomic_4k: volume.atomic_4k(),
        volatile_cache: volume.has_volatile_cache(),
        ana_state: AnaState::Optimized,
    }
}

fn health(subsystem: &Arc<Subsystem>) -> Health {
    let counters = subsystem.counters();
    Health {
        spare_percent: 100,
        bytes_read: counters.read_bytes.get(),
        bytes_written: counters.written_bytes.get(),
        host_reads: counters.reads.get(),
        host_writes: counters.writes.get(),
        media_errors: counters.media_errors.get(),
        power_on_hours: subsystem.age().as_secs() / 3600,
        ..Health::default()
    }
}

/// One record per subsystem that the host may see and portal.
fn records(shared: &Shared, association: &Association) -> Vec<DiscoveryRecord> {
    let visible = shared.registry.visible_to(&association.host.nqn);
    let of_portal = |subsystem: &Arc<Subsystem>| {
        let nqn = subsystem.nqn.clone();
        shared.portals.iter().zip(1u16..).map(move |(portal, port_id)| DiscoveryRecord {
            subsystem_nqn: nqn.clone(),
            address: portal.address(association.local),
            port_id,
            is_discovery: false,
        })
    };
    visible.iter().flat_map(of_portal).collect()
}
