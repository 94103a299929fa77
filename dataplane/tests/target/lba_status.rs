//! Get LBA Status: what is allocated, and what cannot be read.

use dataplane::{
    host::{HostController, HostQueue, Payload},
    node::BlockSize,
};
use nvmeof::{
    Status,
    host::sqe,
    wire::{Sqe, opcode::LbaStatusAction},
};

use crate::{
    commands::filled,
    support::{Bench, MIB},
};

/// Completion condition and status of each list.
const INCOMPLETE: u8 = 1;
const COMPLETE: u8 = 2;
const UNRECOVERABLE: u8 = 0b001;
const ALLOCATED: u8 = 0b010;

/// First LBA, number of blocks and status of each descriptor, and the completion condition.
async fn list(controller: &HostController, sqe: Sqe, len: u32) -> (Vec<(u64, u32, u8)>, u8) {
    let answer = controller.admin().command(sqe, Payload::In(len)).await.unwrap();
    assert_eq!(answer.status(), Status::SUCCESS);
    let data = answer.data.unwrap();
    let number = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
    let descriptor = |index: usize| {
        let at = 8 + 16 * index;
        let lba = u64::from(number(at)) | u64::from(number(at + 4)) << 32;
        (lba, number(at + 8) + 1, data[at + 13])
    };
    ((0..number(0) as usize).map(descriptor).collect(), data[4])
}

async fn all(controller: &HostController, action: LbaStatusAction) -> (Vec<(u64, u32, u8)>, u8) {
    list(controller, sqe::get_lba_status(1, action, 0, 0, 4096), 4096).await
}

async fn write(queue: &HostQueue, lba: u64, blocks: u32) {
    let data = Payload::Out(filled(blocks as usize * 512, 7).await);
    assert_eq!(
        queue.command(sqe::write(1, lba, blocks, false), data).await.unwrap().status(),
        Status::SUCCESS
    );
}

#[test]
fn allocated_blocks_are_listed_in_units_of_4_kib_until_they_are_given_back() {
    let bench = Bench::new(2, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        let allocated = LbaStatusAction::ALLOCATED;
        assert_eq!(all(&controller, allocated).await, (vec![], COMPLETE));
        // Over a border of extents; one block, far away; the last one.
        let end = 64 * MIB / 512;
        for (lba, blocks) in [(120, 16), (70_001, 1), (end - 1, 1)] {
            write(&queue, lba, blocks).await;
        }
        let written = vec![(120, 16, ALLOCATED), (70_000, 8, ALLOCATED), (end - 8, 8, ALLOCATED)];
        assert_eq!(all(&controller, allocated).await, (written, COMPLETE));
        // A part of the namespace, in the middle of what is allocated.
        let part = sqe::get_lba_status(1, allocated, 125, 10, 4096);
        assert_eq!(list(&controller, part, 4096).await, (vec![(125, 10, ALLOCATED)], COMPLETE));
        // No room for the others: 40 bytes hold two, 20 none.
        for (len, shown) in [(40, 2), (20, 0)] {
            let (found, condition) =
                list(&controller, sqe::get_lba_status(1, allocated, 0, 0, len), len).await;
            assert_eq!((found.len(), condition), (shown, INCOMPLETE));
        }
        let given_back = queue.command(sqe::write_zeroes(1, 120, 16, true), Payload::None).await.unwrap();
        assert_eq!(given_back.status(), Status::SUCCESS);
        assert_eq!(all(&controller, allocated).await.0.len(), 2);
    });
}

#[test]
fn blocks_that_cannot_be_read_are_listed_one_by_one() {
    let bench = Bench::new(2, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        write(&queue, 0, 64).await;
        for (lba, blocks) in [(3, 2), (7, 10), (1000, 1)] {
            let mark = sqe::write_uncorrectable(1, lba, blocks);
            assert_eq!(queue.command(mark, Payload::None).await.unwrap().status(), Status::SUCCESS);
        }
        write(&queue, 8, 1).await;
        let marked = [(3, 2), (7, 1), (9, 8), (1000, 1)].map(|(lba, blocks)| (lba, blocks, UNRECOVERABLE));
        for action in [LbaStatusAction::SCAN_UNRECOVERABLE, LbaStatusAction::TRACKED_UNRECOVERABLE] {
            assert_eq!(all(&controller, action).await, (marked.to_vec(), COMPLETE));
        }
        let part = sqe::get_lba_status(1, LbaStatusAction::TRACKED_UNRECOVERABLE, 4, 6, 4096);
        let found = list(&controller, part, 4096).await.0;
        assert_eq!(found, [(4, 1), (7, 1), (9, 1)].map(|(lba, blocks)| (lba, blocks, UNRECOVERABLE)));
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    let bench = Bench::new(1, BlockSize::B4096);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let end = 64 * MIB / 4096;
        let allocated = LbaStatusAction::ALLOCATED;
        let table = [
            (sqe::get_lba_status(2, allocated, 0, 0, 64), Status::INVALID_NAMESPACE_OR_FORMAT),
            (sqe::get_lba_status(1, LbaStatusAction(0x12), 0, 0, 64), Status::INVALID_FIELD),
            (sqe::get_lba_status(1, allocated, end, 0, 64), Status::LBA_OUT_OF_RANGE),
            (sqe::get_lba_status(1, allocated, end - 1, 2, 64), Status::LBA_OUT_OF_RANGE),
            // Less room than asked for is enough; more is not.
            (sqe::get_lba_status(1, allocated, 0, 0, 128), Status::SUCCESS),
            (sqe::get_lba_status(1, allocated, 0, 0, 60), Status::DATA_SGL_LENGTH_INVALID),
        ];
        for (sqe, expected) in table {
            let answer = controller.admin().command(sqe, Payload::In(64)).await.unwrap();
            assert_eq!(answer.status(), expected, "{sqe:?}");
        }
    });
}
