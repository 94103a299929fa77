//! What each command beyond read and write does to a volume.

use dataplane::{
    host::{HostController, HostQueue, Payload},
    node::BlockSize,
    rt::Buf,
};
use nvmeof::{Status, host::sqe, wire::Sqe};

use crate::support::{Bench, MIB};

/// `len` bytes of the same value.
pub(crate) async fn filled(len: usize, byte: u8) -> Buf {
    let mut buf = Buf::alloc(len).await;
    buf.fill(byte);
    buf
}

async fn status(queue: &HostQueue, sqe: Sqe, payload: Payload) -> Status {
    queue.command(sqe, payload).await.unwrap().status()
}

async fn write(queue: &HostQueue, lba: u64, blocks: u32, byte: u8) {
    let data = filled(blocks as usize * 512, byte).await;
    assert_eq!(status(queue, sqe::write(1, lba, blocks, false), Payload::Out(data)).await, Status::SUCCESS);
}

#[test]
fn compare_finds_the_one_byte_that_differs_and_changes_nothing() {
    let bench = Bench::new(2, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        write(&queue, 3, 512, 7).await;
        // In the capsule and by R2T; what was never written is zeros.
        for blocks in [1, 8, 512] {
            let len = blocks as usize * 512;
            for (lba, byte) in [(3, 7), (4096, 0)] {
                let compare = sqe::compare(1, lba, blocks);
                let equal = filled(len, byte).await;
                assert_eq!(status(&queue, compare, Payload::Out(equal)).await, Status::SUCCESS);
                let mut other = filled(len, byte).await;
                other[len - 1] ^= 1;
                let unequal = status(&queue, compare, Payload::Out(other)).await;
                assert_eq!(unequal, Status::COMPARE_FAILURE);
            }
        }
        let short = status(&queue, sqe::compare(1, 0, 2), Payload::Out(filled(512, 0).await)).await;
        assert_eq!(short, Status::DATA_SGL_LENGTH_INVALID);
        let beyond = sqe::compare(1, 64 * MIB / 512, 1);
        assert_eq!(
            status(&queue, beyond, Payload::Out(filled(512, 0).await)).await,
            Status::LBA_OUT_OF_RANGE
        );
    });
}

#[test]
fn verify_reads_up_to_its_limit() {
    let bench = Bench::new(1, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        write(&queue, 1000, 64, 7).await;
        let end = 64 * MIB / 512;
        let table = [
            (0, 1, Status::SUCCESS),
            (900, 1025, Status::SUCCESS),
            (0, 65_536, Status::SUCCESS),
            (end - 1, 1, Status::SUCCESS),
            (end - 1, 2, Status::LBA_OUT_OF_RANGE),
        ];
        for (lba, blocks, expected) in table {
            let verified = status(&queue, sqe::verify(1, lba, blocks), Payload::None).await;
            assert_eq!(verified, expected, "{blocks} blocks from {lba}");
        }
    });
    let bench = Bench::new(1, BlockSize::B4096);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        for (blocks, expected) in [(8192, Status::SUCCESS), (8193, Status::INVALID_FIELD)] {
            assert_eq!(status(&queue, sqe::verify(1, 0, blocks), Payload::None).await, expected);
        }
    });
}

#[test]
fn blocks_marked_uncorrectable_fail_until_they_are_written_again() {
    for (block_size, len) in [(BlockSize::B512, 512), (BlockSize::B4096, 4096)] {
        let bench = Bench::new(2, block_size);
        bench.host(move |options| async move {
            let controller = HostController::connect(options).await.unwrap();
            let queue = controller.io_queue(1, 32).await.unwrap();
            let write = async |lba, blocks: u32| {
                let data = filled(blocks as usize * len, 7).await;
                status(&queue, sqe::write(1, lba, blocks, false), Payload::Out(data)).await
            };
            let read = async |lba, blocks: u32| {
                let payload = Payload::In(blocks * len as u32);
                status(&queue, sqe::read(1, lba, blocks), payload).await
            };
            let mark = async |lba, blocks| {
                status(&queue, sqe::write_uncorrectable(1, lba, blocks), Payload::None).await
            };
            assert_eq!(write(0, 40).await, Status::SUCCESS);
            assert_eq!(mark(9, 3).await, Status::SUCCESS);
            // Every command that reads, of one of them and of more around; nothing of the others.
            for (lba, blocks) in [(9, 1), (11, 1), (0, 40), (11, 8)] {
                assert_eq!(read(lba, blocks).await, Status::MARKED_UNCORRECTABLE, "{blocks} from {lba}");
                let verified = status(&queue, sqe::verify(1, lba, blocks), Payload::None).await;
                assert_eq!(verified, Status::MARKED_UNCORRECTABLE);
                let data = Payload::Out(filled(blocks as usize * len, 7).await);
                let compared = status(&queue, sqe::compare(1, lba, blocks), data).await;
                assert_eq!(compared, Status::MARKED_UNCORRECTABLE);
                let copy = queue.command(sqe::copy(1, 100, 1, false), ranges(&[(lba, blocks)]).await).await;
                assert_eq!(copy.unwrap().status(), Status::MARKED_UNCORRECTABLE);
            }
            for (lba, blocks) in [(0, 9), (8, 1), (12, 28)] {
                let data = Payload::Out(filled(blocks as usize * len, 7).await);
                let same = status(&queue, sqe::compare(1, lba, blocks), data).await;
                assert_eq!(same, Status::SUCCESS, "{blocks} from {lba}");
            }
            // A write, Write Zeroes and a fused write make just their own blocks readable.
            assert_eq!(write(10, 1).await, Status::SUCCESS);
            let zeroes = status(&queue, sqe::write_zeroes(1, 11, 1, true), Payload::None).await;
            assert_eq!(zeroes, Status::SUCCESS);
            for (lba, expected) in [
                (8, Status::SUCCESS),
                (9, Status::MARKED_UNCORRECTABLE),
                (10, Status::SUCCESS),
                (11, Status::SUCCESS),
            ] {
                assert_eq!(read(lba, 1).await, expected, "block {lba}");
            }
            // What was never written can be marked, too, but not what is not there.
            let end = 64 * MIB / len as u64;
            assert_eq!(mark(end - 300, 300).await, Status::SUCCESS);
            assert_eq!(read(end - 1, 1).await, Status::MARKED_UNCORRECTABLE);
            assert_eq!(mark(end - 1, 2).await, Status::LBA_OUT_OF_RANGE);
        });
    }
}

/// The blocks' first bytes.
async fn first_bytes(queue: &HostQueue, lba: u64, blocks: u32) -> Vec<u8> {
    let answer = queue.command(sqe::read(1, lba, blocks), Payload::In(blocks * 512)).await.unwrap();
    answer.data.unwrap().chunks(512).map(|block| block[0]).collect()
}

/// First LBA and blocks.
type Range = (u64, u32);

async fn ranges(list: &[Range]) -> Payload {
    let bytes: Vec<u8> = list.iter().flat_map(|&(lba, blocks)| sqe::copy_range(lba, blocks)).collect();
    let mut buf = Buf::alloc(bytes.len()).await;
    buf.copy_from_slice(&bytes);
    Payload::Out(buf)
}

#[test]
fn copy_gathers_its_ranges_in_their_order() {
    let bench = Bench::new(2, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        for (lba, byte) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
            write(&queue, lba, 1, byte).await;
        }
        // Unaligned ends, a block twice, one never written.
        let copy = sqe::copy(1, 1001, 4, true);
        let list = ranges(&[(2, 2), (0, 1), (500, 1), (0, 1)]).await;
        assert_eq!(status(&queue, copy, list).await, Status::SUCCESS);
        assert_eq!(first_bytes(&queue, 1000, 7).await, [0, 3, 4, 1, 0, 1, 0]);
        // All that one command may copy, in the largest ranges.
        write(&queue, 16_000, 500, 9).await;
        let large: Vec<_> = (0..8).map(|index| (2048 * index + 4096, 2048)).collect();
        let copied = status(&queue, sqe::copy(1, 65_536, 8, false), ranges(&large).await).await;
        assert_eq!(copied, Status::SUCCESS);
        assert_eq!(first_bytes(&queue, 65_536 + 16_000 - 4096 - 1, 502).await[..502], {
            let mut expected = [9; 502];
            (expected[0], expected[501]) = (0, 0);
            expected
        });
    });
}

#[test]
fn a_copy_that_is_refused_changes_nothing_and_names_the_range() {
    let bench = Bench::new(1, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        write(&queue, 0, 1, 1).await;
        let end = 64 * MIB / 512;
        let table: [(u64, &[Range], Status); 3] = [
            (100, &[(0, 1), (end, 1)], Status::LBA_OUT_OF_RANGE),
            (100, &[(0, 1), (1000, 2049)], Status::COMMAND_SIZE_LIMIT_EXCEEDED),
            (100, &[(0, 1), (101, 1)], Status::OVERLAPPING_IO_RANGE),
        ];
        for (destination, list, expected) in table {
            let copy = sqe::copy(1, destination, list.len() as u32, false);
            let answer = queue.command(copy, ranges(list).await).await.unwrap();
            assert_eq!((answer.status(), answer.cqe.result.get()), (expected, 1));
            assert_eq!(first_bytes(&queue, 100, 2).await, [0, 0]);
        }
    });
}
