//! The controller as a host meets it: our own host side brings it up, then asks for everything that Linux asks for.

mod ana;
mod features;
mod namespaces;

use std::time::Duration;

use uuid::Uuid;
use zerocopy::FromBytes;

use super::*;
use crate::{
    Nqn,
    host::{Association, BringUp, BringUpStep, sqe},
    wire::{
        Cqe, Sqe,
        identify::{IdentifyController, IdentifyNamespace, IndependentNamespace, NvmController},
        log_page::{CommandEffects, EnduranceGroup, Smart},
        opcode::{AdminOpcode, Cns, FeatureId, LogPageId, NSID_ALL},
    },
};

fn subsystem() -> Subsystem {
    Subsystem {
        nqn: Nqn::new("nqn.x:subsystem").unwrap(),
        serial: "123".into(),
        model: "Basalt".into(),
        firmware: "1.0".into(),
        quiesce_ms: 10_000,
    }
}

fn namespace(nsid: u32) -> Namespace {
    let uuid = Uuid::from_u128(u128::from(nsid));
    Namespace {
        nsid,
        size_blocks: 1 << 20,
        used_blocks: 5,
        block_bytes: 512,
        uuid,
        nguid: *uuid.as_bytes(),
        read_only: false,
        thin: true,
        atomic_4k: true,
        volatile_cache: true,
        ana_state: AnaState::Optimized,
        has_reservations: nsid != 4,
        reservations_persist: nsid == 5,
    }
}

const INSTANCE: Instance = Instance { ciu: 3, cirn: 0x0102_0304_0506_0708 };

struct World {
    controller: Controller,
    subsystem: Subsystem,
    namespaces: Vec<Namespace>,
    health: Health,
    has_io_queues: bool,
    now: Duration,
    /// In the capsule of the next commands.
    sent: Vec<u8>,
}

impl World {
    fn new(kind: ControllerKind) -> Self {
        let request = ConnectRequest {
            qid: 0,
            entries: 32,
            flow_control: true,
            kato_ms: 5000,
            host: HostIdentity { nqn: Nqn::new("nqn.x:host").unwrap(), id: Uuid::from_u128(9) },
            subsystem_nqn: Nqn::new("nqn.x:subsystem").unwrap(),
            cntlid: 0xFFFF,
        };
        let controller = Controller::new(kind, 7, INSTANCE, &request, Duration::ZERO);
        let namespaces = vec![namespace(1), namespace(5)];
        Self {
            controller,
            subsystem: subsystem(),
            namespaces,
            health: Health::UNUSED,
            has_io_queues: false,
            now: Duration::ZERO,
            sent: Vec::new(),
        }
    }

    fn ready(kind: ControllerKind) -> Self {
        let mut world = Self::new(kind);
        let enable = sqe::property_set(Property::CC, 0x0046_0001);
        assert_eq!(world.status(enable), Status::SUCCESS);
        world
    }

    fn execute(&mut self, slot: u16, sqe: &Sqe) -> (AdminReply, Vec<u8>) {
        let command = match AdminCommand::parse(sqe) {
            Ok(command) => command,
            Err(status) => return (AdminReply::Complete { status, result: 0 }, Vec::new()),
        };
        let view = View {
            subsystem: &self.subsystem,
            namespaces: &self.namespaces,
            health: self.health,
            has_io_queues: self.has_io_queues,
            telemetry: b"how it is",
            discovery: &[],
            discovery_generation: 1,
        };
        let mut out = Vec::new();
        let request = AdminRequest { slot: Slot(slot), cid: slot, command: &command, data: &self.sent };
        let reply = self.controller.execute(self.now, &request, &view, &mut out);
        (reply, out)
    }

    fn status(&mut self, sqe: Sqe) -> Status {
        match self.execute(0, &sqe).0 {
            AdminReply::Complete { status, .. } => status,
            _ => Status::SUCCESS,
        }
    }

    fn data(&mut self, mut sqe: Sqe, len: u32) -> Result<Vec<u8>, Status> {
        sqe.sgl.length = len.into();
        match self.execute(0, &sqe) {
            (AdminReply::Complete { status: Status::SUCCESS, .. }, out) => {
                assert_eq!(out.len(), len as usize, "data is as long as its descriptor");
                Ok(out)
            }
            (AdminReply::Complete { status, .. }, _) => Err(status),
            (other, _) => panic!("{other:?}"),
        }
    }

    fn identify(&mut self, cns: Cns, nsid: u32) -> Result<Vec<u8>, Status> {
        self.data(sqe::identify(cns, nsid), 4096)
    }

    fn log(&mut self, page: LogPageId, len: u32) -> Result<Vec<u8>, Status> {
        self.data(sqe::get_log_page(page, 0, len), len)
    }
}

#[test]
fn our_host_brings_it_up() {
    let mut world = World::new(ControllerKind::Io);
    let association = Association {
        subsystem: world.subsystem.nqn.clone(),
        host: Nqn::new("nqn.x:host").unwrap(),
        host_id: Uuid::from_u128(9),
        admin_entries: 32,
        kato_ms: 5000,
        io_queues: 4,
    };
    let (mut steps, _connect) = BringUp::start(association);
    let mut response = Cqe::new(0, 0, Status::SUCCESS, 7);
    loop {
        match steps.next(&response).unwrap() {
            BringUpStep::Send { sqe, .. } | BringUpStep::SendLater { sqe } => {
                let (reply, _) = world.execute(0, &sqe);
                let (AdminReply::Complete { result, .. } | AdminReply::Changed { result, .. }) = reply else {
                    panic!("{reply:?}")
                };
                response = Cqe::new(0, 0, Status::SUCCESS, result);
            }
            BringUpStep::Ready { cntlid, queue_entries_max, io_queues } => {
                assert_eq!((cntlid, queue_entries_max, io_queues), (7, 256, 4));
                break;
            }
        }
    }
    assert_eq!(world.controller.state(), LifecycleState::Ready);
    assert_eq!(world.controller.io_queues(), 4);
}

#[test]
fn only_fabrics_commands_before_it_is_enabled() {
    let mut world = World::new(ControllerKind::Io);
    assert_eq!(world.identify(Cns::CONTROLLER, 0), Err(Status::COMMAND_SEQUENCE_ERROR));
    assert_eq!(world.status(sqe::keep_alive()), Status::COMMAND_SEQUENCE_ERROR);
}

#[test]
fn identify_controller_says_what_linux_insists_on() {
    let mut world = World::ready(ControllerKind::Io);
    let bytes = world.identify(Cns::CONTROLLER, 0).unwrap();
    let data = IdentifyController::read_from_bytes(&bytes).unwrap();
    assert_eq!(data.cntlid.get(), 7);
    assert_eq!(data.ver.get(), 0x0002_0100);
    assert!(
        data.kas.get() > 0 && data.ioccsz.get() == 516 && data.iorcsz.get() == 1 && data.icdoff.get() == 0
    );
    assert_eq!(data.sgls.get() & 0b11, 1);
    assert!(data.mnan.get() > 0 && data.mnan.get() <= data.nn.get());
    assert_eq!(&data.sn[..4], b"123 ");
    // A few offsets by hand, against a slip in the layout.
    assert_eq!(bytes[77], 6, "MDTS");
    assert_eq!(bytes[111], 1, "CNTRLTYPE");
    assert_eq!(bytes[135..144], [3, 8, 7, 6, 5, 4, 3, 2, 1], "CIU, CIRN");
    assert_eq!(bytes[320..322], [10, 0], "KAS");
    assert_eq!(bytes[1807], 4, "CCRL");
    assert_eq!(bytes[386..388], 10_000_u16.to_le_bytes(), "CQT");
    assert_eq!(bytes[512..514], [0x66, 0x44], "SQES, CQES");
    assert_eq!(bytes[520..522], 0b1_1111_1111_u16.to_le_bytes(), "ONCS");
    assert_eq!(bytes[525], 0b111, "VWC");
    assert_eq!(bytes[540..544], 1024_u32.to_le_bytes(), "MNAN");
    assert_eq!(&bytes[768..771], b"nqn");
    assert_eq!(bytes[1792..1796], 516_u32.to_le_bytes(), "IOCCSZ");
}

#[test]
fn identify_namespace_in_all_its_forms() {
    let mut world = World::ready(ControllerKind::Io);
    let bytes = world.identify(Cns::NAMESPACE, 5).unwrap();
    let data = IdentifyNamespace::read_from_bytes(&bytes).unwrap();
    assert_eq!((data.nsze.get(), data.nuse.get(), data.lbaf[0].lbads), (1 << 20, 5, 9));
    assert_eq!(bytes[92..96], [5, 0, 0, 0], "ANAGRPID");
    assert_eq!(bytes[104..120], *Uuid::from_u128(5).as_bytes(), "NGUID");
    assert_eq!(data.nawupf_z.get(), 7);
    assert_eq!(bytes[74..81], [0, 8, 0, 64, 0, 0, 127], "MSSRL, MCL, MSRC");
    let bytes = world.identify(Cns::INDEPENDENT_NAMESPACE, 5).unwrap();
    let data = IndependentNamespace::read_from_bytes(&bytes).unwrap();
    assert_eq!((data.nstat, data.anagrpid.get(), data.nsfeat), (1, 5, 0));
    let bytes = world.identify(Cns::COMMAND_SET_CONTROLLER, 0).unwrap();
    let data = NvmController::read_from_bytes(&bytes).unwrap();
    assert_eq!((data.vsl, data.wzsl), (13, 13));
    assert_eq!(world.identify(Cns::COMMAND_SET_NAMESPACE, 5).unwrap(), [0; 4096]);

    // UUID, then NGUID, then the command set.
    let bytes = world.identify(Cns::NAMESPACE_DESCRIPTORS, 5).unwrap();
    assert_eq!(bytes[..4], [3, 16, 0, 0]);
    assert_eq!(bytes[20..24], [2, 16, 0, 0]);
    assert_eq!(bytes[40..45], [4, 1, 0, 0, 0]);
}

#[test]
fn what_is_not_atomic_is_not_promised() {
    let mut world = World::ready(ControllerKind::Io);
    world.namespaces[0].atomic_4k = false;
    let data = IdentifyNamespace::read_from_bytes(&world.identify(Cns::NAMESPACE, 1).unwrap()).unwrap();
    assert_eq!((data.nsfeat, data.npwg_z.get(), data.nawupf_z.get()), (1, 0, 0));
}

#[test]
fn inactive_and_impossible_namespaces() {
    let mut world = World::ready(ControllerKind::Io);
    let invalid = Err(Status::INVALID_NAMESPACE_OR_FORMAT);
    assert_eq!(world.identify(Cns::NAMESPACE, 2).unwrap(), [0; 4096]);
    assert_eq!(world.identify(Cns::INDEPENDENT_NAMESPACE, 2).unwrap(), [0; 4096]);
    assert_eq!(world.identify(Cns::NAMESPACE_DESCRIPTORS, 2), invalid);
    for nsid in [0, 1025, u32::MAX] {
        assert_eq!(world.identify(Cns::NAMESPACE, nsid), invalid, "{nsid}");
    }
    assert_eq!(world.identify(Cns::ACTIVE_NAMESPACES, u32::MAX - 1), invalid);
    let list = world.identify(Cns::ACTIVE_NAMESPACES, 0).unwrap();
    assert_eq!(list[..12], [1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    let list = world.identify(Cns::COMMAND_SET_ACTIVE_NAMESPACES, 1).unwrap();
    assert_eq!(list[..8], [5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(world.identify(Cns(0x55), 0), Err(Status::INVALID_FIELD));
}

#[test]
fn smart_has_the_counters_it_was_given() {
    let mut world = World::ready(ControllerKind::Io);
    world.health = Health {
        bytes_read: 512_000 * 3 + 1,
        host_writes: 11,
        media_errors: 2,
        read_only: true,
        ..Health::UNUSED
    };
    let page = Smart::read_from_bytes(&world.log(LogPageId::SMART, 512).unwrap()).unwrap();
    assert_eq!(u128::from_le_bytes(page.data_units_read), 4);
    assert_eq!(u128::from_le_bytes(page.host_writes), 11);
    assert_eq!(u128::from_le_bytes(page.media_errors), 2);
    assert_eq!(page.critical_warning, 1 << 3);
}

#[test]
fn all_drives_are_one_endurance_group() {
    let mut world = World::ready(ControllerKind::Io);
    world.health =
        Health { bytes_read: 1_000_000_001, capacity_bytes: 77, unallocated_bytes: 33, ..Health::UNUSED };
    assert_eq!(world.log(LogPageId::ENDURANCE_GROUP, 512), Err(Status::INVALID_FIELD), "there is no group 0");
    let mut get = sqe::get_log_page(LogPageId::ENDURANCE_GROUP, 0, 512);
    get.cdw11 = (1 << 16).into();
    let page = EnduranceGroup::read_from_bytes(&world.data(get, 512).unwrap()).unwrap();
    let numbers = [page.data_read, page.total_capacity, page.unallocated_capacity].map(u128::from_le_bytes);
    assert_eq!((page.available_spare, page.available_spare_threshold, numbers), (100, 10, [2, 77, 33]));

    let bytes = world.identify(Cns::CONTROLLER, 0).unwrap();
    assert_eq!((bytes[96] >> 4 & 1, bytes[340..342].to_vec()), (1, vec![1, 0]), "CTRATT, ENDGIDMAX");
    assert_eq!(world.identify(Cns::NAMESPACE, 1).unwrap()[102..104], [1, 0], "ENDGID");
    assert_eq!(world.identify(Cns::ENDURANCE_GROUPS, 0).unwrap()[..6], [1, 0, 1, 0, 0, 0]);
    let mut beyond = sqe::identify(Cns::ENDURANCE_GROUPS, 0);
    beyond.cdw11 = 2.into();
    assert_eq!(world.data(beyond, 4096).unwrap(), [0; 4096]);
}

#[test]
fn telemetry_is_captured_when_it_is_asked_for() {
    let mut world = World::ready(ControllerKind::Io);
    let header = world.log(LogPageId::TELEMETRY_HOST, 512).unwrap();
    assert_eq!((header[8], header[381]), (0, 0));
    let mut create = sqe::get_log_page(LogPageId::TELEMETRY_HOST, 0, 512);
    create.cdw10 = (create.cdw10.get() | 1 << 8).into();
    let header = world.data(create, 512).unwrap();
    assert_eq!((header[8], header[381]), (1, 1));
    let block = world.data(sqe::get_log_page(LogPageId::TELEMETRY_HOST, 512, 512), 512).unwrap();
    assert_eq!(&block[..10], b"how it is\0");
}

#[test]
fn log_pages_that_exist_are_those_that_are_listed() {
    let mut world = World::ready(ControllerKind::Io);
    let list = world.log(LogPageId::SUPPORTED_LOG_PAGES, 1024).unwrap();
    for lid in 0..=255_u8 {
        let listed = list[usize::from(lid) * 4] & 1 == 1;
        let mut get = sqe::get_log_page(LogPageId(lid), 0, 512);
        if LogPageId(lid) == LogPageId::ENDURANCE_GROUP {
            get.cdw11 = (1 << 16).into();
        }
        let answer = world.data(get, 512);
        assert_eq!(answer.is_ok(), listed, "page {lid:#x}");
        if !listed {
            assert_eq!(answer, Err(Status::INVALID_LOG_PAGE));
        }
    }
}

#[test]
fn effects_name_exactly_the_commands_that_parse() {
    let mut world = World::ready(ControllerKind::Io);
    let bytes = world.log(LogPageId::COMMAND_EFFECTS, 4096).unwrap();
    let page = CommandEffects::read_from_bytes(&bytes).unwrap();
    for opcode in 0..=255_u8 {
        if opcode == AdminOpcode::FABRICS.0 {
            continue;
        }
        let mut sqe = Sqe::new(opcode);
        sqe.sgl.length = 4.into();
        let admin = AdminCommand::parse(&sqe) != Err(Status::INVALID_OPCODE);
        assert_eq!(page.admin[usize::from(opcode)].get() & 1 == 1, admin, "admin opcode {opcode:#x}");
        let io = crate::command::NvmCommand::parse(&sqe) != Err(Status::INVALID_OPCODE);
        assert_eq!(page.io[usize::from(opcode)].get() & 1 == 1, io, "I/O opcode {opcode:#x}");
    }
}

#[test]
fn a_namespace_change_is_told_once_and_listed_until_read() {
    let mut world = World::ready(ControllerKind::Io);
    world.execute(0, &sqe::set_features(FeatureId::ASYNC_EVENT_CONFIGURATION, 1 << 8));
    assert_eq!(world.execute(3, &sqe::async_event_request()).0, AdminReply::Held);
    world.controller.namespace_changed(5);
    world.controller.namespace_changed(1);
    let event = EventCompletion { slot: Slot(3), status: Status::SUCCESS, result: 0x0004_0002 };
    assert_eq!(world.controller.take_event(), Some(event));
    assert_eq!(world.controller.take_event(), None);
    let list = world.log(LogPageId::CHANGED_NAMESPACES, 4096).unwrap();
    assert_eq!(list[..12], [1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(world.log(LogPageId::CHANGED_NAMESPACES, 4096).unwrap(), [0; 4096]);
}

#[test]
fn a_reset_aborts_held_requests_and_forgets_features() {
    let mut world = World::ready(ControllerKind::Io);
    world.execute(3, &sqe::async_event_request());
    world.execute(0, &sqe::set_features(FeatureId::VOLATILE_WRITE_CACHE, 0));
    world.execute(0, &sqe::set_features(FeatureId::KEEP_ALIVE_TIMER, 9000));
    let (reply, _) = world.execute(0, &sqe::property_set(Property::CC, 0));
    assert_eq!(reply, AdminReply::Changed { result: 0, effect: LifecycleEffect::Reset });
    assert_eq!(world.controller.take_event().unwrap().status, Status::ABORT_REQUESTED);
    assert_eq!(world.status(sqe::keep_alive()), Status::COMMAND_SEQUENCE_ERROR);
    world.controller.finish(LifecycleEffect::Reset);
    assert_eq!(world.status(sqe::keep_alive()), Status::COMMAND_SEQUENCE_ERROR, "not enabled again");
    world.execute(0, &sqe::property_set(Property::CC, 0x0046_0001));
    assert!(world.controller.write_cache_enabled());
    let kato = world.execute(0, &sqe::get_features(FeatureId::KEEP_ALIVE_TIMER)).0;
    assert_eq!(kato, AdminReply::Complete { status: Status::SUCCESS, result: 5000 });
}

#[test]
fn from_a_shutdown_on_only_properties_answer() {
    for shn in [1 << 14, 2 << 14] {
        let mut world = World::ready(ControllerKind::Io);
        world.execute(3, &sqe::async_event_request());
        let (reply, _) = world.execute(0, &sqe::property_set(Property::CC, 0x0046_0001 | shn));
        assert_eq!(reply, AdminReply::Changed { result: 0, effect: LifecycleEffect::Shutdown });
        assert_eq!(world.controller.take_event().unwrap().status, Status::ABORT_REQUESTED);
        let csts = |world: &mut World| world.execute(0, &sqe::property_get(Property::CSTS)).0;
        let says = |result| AdminReply::Complete { status: Status::SUCCESS, result };
        assert_eq!(csts(&mut world), says(0b0101));
        world.controller.finish(LifecycleEffect::Shutdown);
        assert_eq!(csts(&mut world), says(0b1001));
        assert_eq!(world.status(sqe::async_event_request()), Status::COMMAND_SEQUENCE_ERROR);
        let two_minutes = KeepAliveVerdict::CheckAt(Duration::from_secs(120));
        assert_eq!(world.controller.check_keep_alive(Duration::ZERO, 0), two_minutes);
    }
}

#[test]
fn a_critical_warning_is_told_once_enabled() {
    let mut world = World::ready(ControllerKind::Io);
    world.execute(3, &sqe::async_event_request());
    world.controller.see_health(&Health { spare_percent: 9, ..Health::UNUSED });
    assert_eq!(world.controller.take_event(), None);
    assert!(!world.controller.wants_health());
    world.health.spare_percent = 9;
    world.execute(0, &sqe::set_features(FeatureId::ASYNC_EVENT_CONFIGURATION, 0b1001));
    assert!(world.controller.wants_health());
    let told = EventCompletion { slot: Slot(3), status: Status::SUCCESS, result: 0x0002_0201 };
    assert_eq!(world.controller.take_event(), Some(told));
    let page = world.log(LogPageId::SMART, 512).unwrap();
    assert_eq!((page[0], page[3], page[4]), (1, 9, 10), "warning, spare, threshold");
}

#[test]
fn abort_ends_held_requests_and_hands_on_what_it_is_not_told_of() {
    let mut world = World::ready(ControllerKind::Io);
    assert_eq!(world.execute(3, &sqe::async_event_request()).0, AdminReply::Held);
    let aborted = |reply: AdminReply| reply == AdminReply::Complete { status: Status::SUCCESS, result: 0 };
    assert!(!aborted(world.execute(0, &sqe::abort(0, 4)).0), "no such command");
    assert!(aborted(world.execute(0, &sqe::abort(0, 3)).0));
    let event = world.controller.take_event().unwrap();
    assert_eq!((event.slot, event.status), (Slot(3), Status::ABORT_REQUESTED));
    assert_eq!(world.execute(0, &sqe::abort(2, 3)).0, AdminReply::AbortOther { sqid: 2, cid: 3 });
}

#[test]
fn aborts_under_way_are_bounded() {
    let mut world = World::ready(ControllerKind::Io);
    for cid in 0..4 {
        assert_eq!(world.execute(0, &sqe::abort(1, cid)).0, AdminReply::AbortOther { sqid: 1, cid });
    }
    assert_eq!(world.status(sqe::abort(1, 4)), Status::ABORT_COMMAND_LIMIT_EXCEEDED);
    world.controller.finish_abort();
    assert_eq!(world.execute(0, &sqe::abort(1, 4)).0, AdminReply::AbortOther { sqid: 1, cid: 4 });
}

#[test]
fn a_cross_controller_reset_names_another_instance() {
    let mut world = World::ready(ControllerKind::Io);
    let (reply, _) = world.execute(0, &sqe::cross_controller_reset(9, INSTANCE));
    assert_eq!(reply, AdminReply::ResetOther { cntlid: 9, instance: INSTANCE });
    assert_eq!(world.status(sqe::cross_controller_reset(7, INSTANCE)), Status::INVALID_FIELD);
}

#[test]
fn a_discovery_controller_has_only_what_it_needs() {
    let mut world = World::ready(ControllerKind::Discovery);
    let bytes = world.identify(Cns::CONTROLLER, 0).unwrap();
    let data = IdentifyController::read_from_bytes(&bytes).unwrap();
    assert_eq!((data.cntrltype, data.nn.get(), data.oaes.get()), (2, 0, 1 << 31));
    assert_eq!(world.identify(Cns::NAMESPACE, 1), Err(Status::INVALID_FIELD));
    assert_eq!(world.log(LogPageId::SMART, 512), Err(Status::INVALID_LOG_PAGE));
    let header = world.log(LogPageId::DISCOVERY, 1024).unwrap();
    assert_eq!(header[..16], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(world.status(sqe::set_features(FeatureId::NUMBER_OF_QUEUES, 0)), Status::INVALID_FIELD);
}

#[test]
fn reservation_notices_are_told_and_read_one_by_one() {
    use crate::reservation::NoticeKind;

    let mut world = World::ready(ControllerKind::Io);
    world.execute(3, &sqe::async_event_request());
    world.controller.reservation_notice(1, NoticeKind::RegistrationPreempted);
    world.controller.reservation_notice(1, NoticeKind::ReservationReleased);
    let told = world.controller.take_event().unwrap();
    assert_eq!((told.slot, told.result), (Slot(3), 0x0080_0006));
    let mut retained = sqe::get_log_page(LogPageId::RESERVATION_NOTIFICATION, 0, 64);
    retained.cdw10 = (retained.cdw10.get() | 1 << 15).into();
    for sqe in [retained, sqe::get_log_page(LogPageId::RESERVATION_NOTIFICATION, 0, 64)] {
        let page = world.data(sqe, 64).unwrap();
        assert_eq!((page[0], page[8], page[9], page[12]), (1, 1, 1, 1));
    }
    // The second one is an event of its own.
    world.execute(4, &sqe::async_event_request());
    assert_eq!(world.controller.take_event().unwrap().slot, Slot(4));
    let page = world.log(LogPageId::RESERVATION_NOTIFICATION, 64).unwrap();
    assert_eq!((page[0], page[8], page[9]), (2, 2, 0));
    assert_eq!(world.log(LogPageId::RESERVATION_NOTIFICATION, 64).unwrap(), [0; 64]);
}
