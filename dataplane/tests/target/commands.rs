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
