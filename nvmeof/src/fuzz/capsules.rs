//! Commands of every kind, whole and broken, to a controller that has no transport.

use std::time::Duration;

use uuid::Uuid;
use zerocopy::FromBytes;

use crate::{
    Nqn, Status,
    command::{AdminCommand, BlockRange, DataPointer, Instance, NvmCommand},
    controller::{
        AdminReply, AdminRequest, AnaState, ConnectRequest, Controller, ControllerKind, Event, Health,
        HostIdentity, Namespace, Subsystem, View,
    },
    host::sqe,
    limits,
    transport::Slot,
    wire::{
        Sqe,
        connect::CNTLID_DYNAMIC,
        property::{ControllerConfiguration, Property},
    },
};

/// Longest data that a command brings here.
const DATA_BYTES_MAX: u32 = 4096;
const SIZE_BLOCKS: u64 = 1 << 20;
const BLOCK_BYTES: u32 = 512;

/// A controller that is given entries one after another, as of an admin and of an I/O queue: it never panics, what it
/// lets pass lies within the namespace, data for the host is as long as the entry says, and no more Asynchronous Event
/// Requests and Aborts are under way than it announced.
///
/// The input is a byte for the kind of controller, then entries of 64 bytes with two bytes each: what else happens, and
/// how many bytes of data come in the capsule, which are the entries that follow.
pub fn capsules(input: &[u8]) {
    let Some((kind, mut rest)) = input.split_first() else { return };
    let mut world = World::new(if kind & 1 == 0 { ControllerKind::Io } else { ControllerKind::Discovery });
    world.execute(&sqe::property_set(Property::CC, ControllerConfiguration::USUAL), &[]);
    while let Ok((sqe, behind)) = Sqe::read_from_prefix(rest) {
        let Some((&[happens, in_capsule_len], behind)) = behind.split_first_chunk() else { return };
        nvm(&sqe);
        world.happen(happens);
        world.execute(&sqe, &behind[..behind.len().min(usize::from(in_capsule_len))]);
        rest = behind;
    }
}

fn nvm(sqe: &Sqe) {
    let Ok(command) = NvmCommand::parse(sqe) else { return };
    if let NvmCommand::Read { range, .. }
    | NvmCommand::Write { range, .. }
    | NvmCommand::WriteZeroes { range, .. }
    | NvmCommand::WriteUncorrectable { range }
    | NvmCommand::Compare { range, .. }
    | NvmCommand::Verify { range, .. } = command
    {
        within(range);
    }
}

fn within(range: BlockRange) {
    if let Ok((offset_bytes, len_bytes)) = range.to_bytes(SIZE_BLOCKS, BLOCK_BYTES) {
        assert!(offset_bytes + len_bytes <= SIZE_BLOCKS * u64::from(BLOCK_BYTES));
    }
}

struct World {
    controller: Controller,
    subsystem: Subsystem,
    namespaces: Vec<Namespace>,
    now: Duration,
    held: u8,
    aborts: u8,
}

impl World {
    fn new(kind: ControllerKind) -> Self {
        let [host, nqn] = ["nqn.x:host", "nqn.x:subsystem"].map(|name| Nqn::new(name).expect("a good name"));
        let request = ConnectRequest {
            qid: 0,
            entries: 32,
            flow_control: true,
            kato_ms: 0,
            host: HostIdentity { nqn: host, id: Uuid::from_u128(1) },
            subsystem_nqn: nqn.clone(),
            cntlid: CNTLID_DYNAMIC,
        };
        let instance = Instance { ciu: 1, cirn: 2 };
        Self {
            controller: Controller::new(kind, 1, instance, &request, Duration::ZERO),
            subsystem: Subsystem {
                nqn,
                serial: "1".into(),
                model: "Basalt".into(),
                firmware: "1".into(),
                quiesce_ms: 0,
            },
            namespaces: vec![namespace(1), namespace(limits::NAMESPACES_MAX)],
            now: Duration::ZERO,
            held: 0,
            aborts: 0,
        }
    }

    /// Something that no command brings about.
    fn happen(&mut self, what: u8) {
        self.now += Duration::from_millis(u64::from(what));
        if what & 1 != 0 && self.aborts > 0 {
            self.aborts -= 1;
            self.controller.finish_abort();
        }
        if what & 2 != 0 {
            self.controller.namespace_changed(1);
        }
        if what & 4 != 0 {
            self.controller.raise(Event::NamespaceAttribute);
        }
        self.controller.check_keep_alive(self.now, u64::from(what));
    }

    fn execute(&mut self, sqe: &Sqe, in_capsule: &[u8]) {
        let Ok(command) = AdminCommand::parse(sqe) else { return };
        let asked;
        let data = match command.data_from_host() {
            Some(DataPointer::Transport { len }) if in_capsule.is_empty() => {
                asked = vec![sqe.cdw10.to_bytes()[0]; len.min(DATA_BYTES_MAX) as usize];
                if len > DATA_BYTES_MAX {
                    return;
                }
                &asked
            }
            _ => in_capsule,
        };
        let view = View {
            subsystem: &self.subsystem,
            namespaces: &self.namespaces,
            health: Health::UNUSED,
            has_io_queues: false,
            telemetry: &[],
            discovery: &[],
            discovery_generation: 1,
        };
        let request = AdminRequest { slot: Slot(0), cid: sqe.cid.get(), command: &command, data };
        let mut out = Vec::new();
        match self.controller.execute(self.now, &request, &view, &mut out) {
            AdminReply::Complete { status: Status::SUCCESS, .. } => {
                assert!(out.is_empty() || out.len() == sqe.sgl.length.get() as usize, "{command:?}");
            }
            AdminReply::Changed { effect, .. } => {
                self.controller.finish(effect);
            }
            AdminReply::Held => self.held += 1,
            AdminReply::AbortOther { .. } => self.aborts += 1,
            _ => {}
        }
        while self.controller.take_event().is_some() {
            self.held = self.held.checked_sub(1).expect("each request is answered once");
        }
        assert!(self.held <= limits::ASYNC_EVENTS_MAX && self.aborts <= limits::ABORTS_MAX);
    }
}

fn namespace(nsid: u32) -> Namespace {
    Namespace {
        nsid,
        size_blocks: SIZE_BLOCKS,
        used_blocks: 0,
        block_bytes: BLOCK_BYTES,
        uuid: Uuid::from_u128(u128::from(nsid)),
        nguid: [1; 16],
        read_only: false,
        thin: true,
        atomic_4k: true,
        volatile_cache: true,
        ana_state: AnaState::Optimized,
        has_reservations: true,
        reservations_persist: false,
    }
}
