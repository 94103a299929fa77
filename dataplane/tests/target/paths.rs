//! ANA states of a volume's path: what each of them refuses, what a host hears, and that a switch waits for what is
//! under way.

use std::{cell::Cell, rc::Rc};

use dataplane::{
    host::{HostController, HostQueue, Payload},
    node::{AnaState, BlockSize, Node, NodeError, NodeObject, VolumeSpec},
    rt::{self, Buf},
};
use nvmeof::{
    Status,
    host::sqe,
    reservation::{AcquireAction, RegisterAction, ReservationType},
    wire::{
        Sqe,
        identify::OAES_ANA_CHANGE,
        opcode::{FeatureId, LogPageId, NSID_ALL},
    },
};
use uuid::Uuid;

use crate::{
    commands::filled,
    support::{Bench, HOST, MIB, begin},
};

const OK: Status = Status::SUCCESS;

async fn bytes(bytes: &[u8]) -> Payload {
    let mut buf = Buf::alloc(bytes.len()).await;
    buf.copy_from_slice(bytes);
    Payload::Out(buf)
}

/// Every I/O command that there is, with its data.
async fn all_commands(nsid: u32) -> Vec<(Sqe, Payload)> {
    let out = |byte| async move { Payload::Out(filled(512, byte).await) };
    let none = || Payload::None;
    let register = sqe::reservation_register(nsid, RegisterAction::Register, true, None);
    let acquire = sqe::reservation_acquire(nsid, AcquireAction::Acquire, ReservationType::WriteExclusive);
    vec![
        (sqe::read(nsid, 0, 1), Payload::In(512)),
        (sqe::write(nsid, 0, 1, false), out(0).await),
        (sqe::compare(nsid, 0, 1), out(0).await),
        (sqe::verify(nsid, 0, 1), none()),
        (sqe::write_zeroes(nsid, 0, 1, false), none()),
        (sqe::deallocate(nsid, 1), bytes(&sqe::dsm_range(0, 1)).await),
        (sqe::copy(nsid, 8, 1, false), bytes(&sqe::copy_range(0, 1)).await),
        (sqe::flush(nsid), none()),
        (sqe::reservation_report(nsid, 64), Payload::In(64)),
        (register, bytes(&sqe::reservation_keys(0, 1)).await),
        (acquire, bytes(&sqe::reservation_keys(1, 0)).await),
    ]
}

#[test]
fn every_state_and_io_command() {
    let bench = Bench::new(2, BlockSize::B512);
    let (node, volume, other) = (bench.node.clone(), bench.volume, Uuid::new_v4());
    let spec = VolumeSpec {
        uuid: other,
        size_bytes: MIB,
        block_size: BlockSize::B512,
        reserved_bytes: 0,
        drives: Vec::new(),
    };
    bench.wait(node.create_volume(spec)).unwrap();
    bench.export(&[HOST], &[(1, volume), (2, other)]).unwrap();
    bench.host(move |options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        let status = async |sqe, payload| queue.command(sqe, payload).await.unwrap().status();
        // Persistent loss is the last one: there is no way back.
        use AnaState as S;
        for state in [S::Optimized, S::NonOptimized, S::Change, S::Inaccessible, S::PersistentLoss] {
            node.set_ana_state(volume, state).await.unwrap();
            assert_eq!(node.ana_state(volume).await.unwrap(), state);
            let expected = state.refusal().unwrap_or(OK);
            for (sqe, payload) in all_commands(1).await {
                assert_eq!(status(sqe, payload).await, expected, "{sqe:?} in {state:?}");
            }
            for (sqe, payload) in all_commands(2).await {
                assert_eq!(status(sqe, payload).await, OK, "{sqe:?} of another volume, in {state:?}");
            }
            let all = status(sqe::flush(NSID_ALL), Payload::None).await;
            assert_eq!(all, expected, "a flush of all that cannot flush all, in {state:?}");
        }
    });
}

#[test]
fn a_host_hears_of_each_change_and_finds_it_in_the_log() {
    let bench = Bench::new(2, BlockSize::B512);
    let (node, volume) = (bench.node.clone(), bench.volume);
    bench.host(move |options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let admin = controller.admin();
        let enable = sqe::set_features(FeatureId::ASYNC_EVENT_CONFIGURATION, OAES_ANA_CHANGE);
        assert_eq!(admin.command(enable, Payload::None).await.unwrap().status(), OK);
        use AnaState as S;
        let states = [S::NonOptimized, S::Change, S::Inaccessible, S::Optimized];
        for (changes, state) in (1..).zip(states) {
            let told = begin(admin, sqe::async_event_request(), Payload::None);
            node.set_ana_state(volume, state).await.unwrap();
            assert_eq!(told.await.unwrap().cqe.result.get(), 0x000C_0302, "{state:?}");
            let log = sqe::get_log_page(LogPageId::ANA, 0, 16 + 36);
            let page = admin.command(log, Payload::In(52)).await.unwrap().data.unwrap();
            assert_eq!(
                (page[0], page[8], page[16], page[24], page[32]),
                (changes, 1, 1, changes, state.code())
            );
        }
    });
}

#[test]
fn a_path_that_was_lost_for_good_stays_lost_while_it_is_exported() {
    let bench = Bench::new(1, BlockSize::B512);
    let set = |volume, state| bench.wait(bench.node.set_ana_state(volume, state));
    set(bench.volume, AnaState::PersistentLoss).unwrap();
    for state in AnaState::ALL {
        let refused = matches!(set(bench.volume, state), Err(NodeError::Invalid(_)));
        assert_eq!(refused, state != AnaState::PersistentLoss, "{state:?}");
    }
    bench.wait(bench.node.remove_subsystem(crate::support::SUBSYSTEM));
    set(bench.volume, AnaState::Optimized).unwrap();
    assert!(matches!(set(Uuid::new_v4(), AnaState::Optimized), Err(NodeError::NotFound(NodeObject::Volume))));
}

/// Half of a fused command is under way for as long as we like.
#[test]
fn a_switch_is_done_only_when_nothing_is_under_way_that_it_refuses() {
    let bench = Bench::new(2, BlockSize::B512);
    let (node, volume) = (bench.node.clone(), bench.volume);
    bench.host(move |options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let (queue, other) =
            (controller.io_queue(1, 32).await.unwrap(), controller.io_queue(2, 32).await.unwrap());
        let [compare, write] = sqe::fused(sqe::compare(1, 0, 1), sqe::write(1, 0, 1, false));
        let first = begin(&queue, compare, Payload::Out(filled(512, 0).await));
        // It has arrived when a command that was sent later on its connection's core is answered.
        until_executing(&other).await;
        let switch = switch(&node, volume, AnaState::Inaccessible);
        while read(&other).await == OK {}
        assert_eq!(read(&other).await, Status::ANA_INACCESSIBLE);
        assert!(!switch.get(), "the first half still holds the volume");
        let second = begin(&queue, write, Payload::Out(filled(512, 1).await));
        assert_eq!(second.await.unwrap().status(), Status::ANA_INACCESSIBLE);
        assert_eq!(first.await.unwrap().status(), Status::ABORTED_FAILED_FUSED);
        while !switch.get() {
            assert_eq!(read(&other).await, Status::ANA_INACCESSIBLE);
        }
    });
}

async fn read(queue: &HostQueue) -> Status {
    queue.command(sqe::read(1, 0, 1), Payload::In(512)).await.unwrap().status()
}

/// Some round trips, each of which lets the node's cores do all that they have to do.
async fn until_executing(queue: &HostQueue) {
    for _ in 0..50 {
        assert_eq!(read(queue).await, OK);
    }
}

/// Begins a switch; true once it is done.
fn switch(node: &Node, volume: Uuid, state: AnaState) -> Rc<Cell<bool>> {
    let done = Rc::new(Cell::new(false));
    let (node, sign) = (node.clone(), done.clone());
    rt::spawn(async move {
        node.set_ana_state(volume, state).await.unwrap();
        sign.set(true);
    });
    done
}
