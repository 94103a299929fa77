//! Copy from one namespace to another.

use dataplane::{
    host::{HostController, HostQueue, Payload},
    node::{BlockSize, VolumeSpec},
    rt::Buf,
};
use nvmeof::{
    Status,
    host::sqe,
    reservation::{AcquireAction, RegisterAction, ReservationType},
    wire::opcode::FeatureId,
};
use uuid::Uuid;

use crate::{
    commands::filled,
    support::{Bench, HOST, MIB, options},
};

/// A node with namespaces 1 and 2 of 4096-byte blocks and 3 of 512-byte blocks.
fn bench() -> Bench {
    let bench = Bench::new(2, BlockSize::B4096);
    let mut namespaces = vec![(1, bench.volume)];
    for (nsid, block_size) in [(2, BlockSize::B4096), (3, BlockSize::B512)] {
        let uuid = Uuid::new_v4();
        let spec =
            VolumeSpec { uuid, size_bytes: 4 * MIB, block_size, reserved_bytes: 0, drives: Vec::new() };
        bench.wait(bench.node.create_volume(spec)).unwrap();
        namespaces.push((nsid, uuid));
    }
    bench.export(&[HOST, OTHER], &namespaces).unwrap();
    bench
}

const OTHER: &str = "nqn.2014-08.org.nvmexpress:uuid:22222222-2222-2222-2222-222222222222";

async fn out(bytes: &[u8]) -> Payload {
    let mut buf = Buf::alloc(bytes.len()).await;
    buf.copy_from_slice(bytes);
    Payload::Out(buf)
}

/// Says with Host Behavior Support which descriptor formats the host knows.
async fn enable(controller: &HostController, cdfe: u8) -> Status {
    let mut behavior = [0; 512];
    behavior[4] = cdfe;
    let set = sqe::set_features(FeatureId::HOST_BEHAVIOR_SUPPORT, 0);
    controller.admin().command(set, out(&behavior).await).await.unwrap().status()
}

/// Copies to block 100 of namespace 1: NSID, LBA and blocks of each range. The status, and the range it is about.
async fn copy(queue: &HostQueue, ranges: &[(u32, u64, u32)]) -> (Status, u64) {
    let bytes: Vec<u8> =
        ranges.iter().flat_map(|&(nsid, lba, blocks)| sqe::copy_range_of(nsid, lba, blocks)).collect();
    let sqe = sqe::copy_across(1, 100, ranges.len() as u32);
    let answer = queue.command(sqe, out(&bytes).await).await.unwrap();
    (answer.status(), answer.cqe.result.get())
}

async fn write(queue: &HostQueue, nsid: u32, lba: u64, byte: u8) {
    let data = Payload::Out(filled(4096, byte).await);
    let written = queue.command(sqe::write(nsid, lba, 1, false), data).await.unwrap();
    assert_eq!(written.status(), Status::SUCCESS);
}

/// The first bytes of blocks 100 and on of namespace 1.
async fn copied(queue: &HostQueue, blocks: u32) -> Vec<u8> {
    let answer = queue.command(sqe::read(1, 100, blocks), Payload::In(blocks * 4096)).await.unwrap();
    answer.data.unwrap().chunks(4096).map(|block| block[0]).collect()
}

#[test]
fn copy_gathers_from_several_namespaces_once_the_host_says_it_can() {
    bench().host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        for (nsid, lba, byte) in [(1, 5, 15), (2, 5, 25), (2, 6, 26)] {
            write(&queue, nsid, lba, byte).await;
        }
        let ranges = [(2, 5, 2), (1, 5, 1), (2, 6, 1)];
        assert_eq!(copy(&queue, &ranges).await.0, Status::INVALID_FIELD);
        assert_eq!(enable(&controller, 1 << 2).await, Status::SUCCESS);
        assert_eq!(copy(&queue, &ranges).await.0, Status::SUCCESS);
        assert_eq!(copied(&queue, 5).await, [25, 26, 15, 26, 0]);
        assert_eq!(enable(&controller, 0).await, Status::SUCCESS);
        assert_eq!(copy(&queue, &ranges).await.0, Status::INVALID_FIELD);
    });
}

#[test]
fn a_source_that_cannot_be_used_is_named_and_nothing_is_copied() {
    bench().host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        assert_eq!(enable(&controller, 1 << 2).await, Status::SUCCESS);
        write(&queue, 2, 5, 25).await;
        let table = [
            ((4, 0, 1), Status::INVALID_NAMESPACE_OR_FORMAT),
            ((0, 0, 1), Status::INVALID_NAMESPACE_OR_FORMAT),
            ((3, 0, 1), Status::INCOMPATIBLE_NAMESPACE_OR_FORMAT),
            // It is smaller than the destination.
            ((2, 1024, 1), Status::LBA_OUT_OF_RANGE),
            ((2, 0, 257), Status::COMMAND_SIZE_LIMIT_EXCEEDED),
            ((1, 101, 1), Status::OVERLAPPING_IO_RANGE),
        ];
        for (wrong, status) in table {
            assert_eq!(copy(&queue, &[(2, 5, 1), wrong]).await, (status, 1), "{wrong:?}");
        }
        assert_eq!(copied(&queue, 2).await, [0, 0]);
        // The same blocks of another namespace do not overlap.
        assert_eq!(copy(&queue, &[(2, 100, 2)]).await.0, Status::SUCCESS);
    });
}

#[test]
fn a_reservation_on_the_source_keeps_its_blocks_from_being_copied() {
    let bench = bench();
    let address = bench.node.portals()[0];
    bench.host(move |mine| async move {
        let controller = HostController::connect(mine).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        assert_eq!(enable(&controller, 1 << 2).await, Status::SUCCESS);
        write(&queue, 2, 5, 25).await;
        let theirs = dataplane::host::HostOptions {
            host: nvmeof::Nqn::new(OTHER).unwrap(),
            host_id: Uuid::from_u128(2),
            ..options(address)
        };
        let other = HostController::connect(theirs).await.unwrap();
        let others = other.io_queue(1, 32).await.unwrap();
        let register = sqe::reservation_register(2, RegisterAction::Register, false, None);
        let keys = out(&sqe::reservation_keys(0, 7)).await;
        assert_eq!(others.command(register, keys).await.unwrap().status(), Status::SUCCESS);
        let acquire = |kind| sqe::reservation_acquire(2, AcquireAction::Acquire, kind);
        let keys = out(&sqe::reservation_keys(7, 0)).await;
        let acquired = others.command(acquire(ReservationType::ExclusiveAccess), keys).await.unwrap();
        assert_eq!(acquired.status(), Status::SUCCESS);
        assert_eq!(copy(&queue, &[(1, 0, 1), (2, 5, 1)]).await, (Status::RESERVATION_CONFLICT, 1));
        assert_eq!(copied(&queue, 2).await, [0, 0]);
    });
}
