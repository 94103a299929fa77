//! Fused Compare and Write over the wire: both halves, one half, and halves that do not fit.

use std::rc::Rc;

use dataplane::{
    host::{HostController, HostQueue, Payload},
    node::BlockSize,
    rt::Buf,
};
use nvmeof::{Status, host::sqe, wire::Sqe};

use crate::{
    commands::filled,
    support::{Bench, begin},
};

const OK: Status = Status::SUCCESS;
const FAILED: Status = Status::ABORTED_FAILED_FUSED;
const MISSING: Status = Status::ABORTED_MISSING_FUSED;

/// Sends two commands one right after the other; how each ended.
async fn both(queue: &Rc<HostQueue>, [first, second]: [(Sqe, Buf); 2]) -> (Status, Status) {
    let first = begin(queue, first.0, Payload::Out(first.1));
    let second = begin(queue, second.0, Payload::Out(second.1));
    (first.await.unwrap().status(), second.await.unwrap().status())
}

/// A fused pair on `blocks` blocks of 512 bytes.
async fn pair(lba: u64, blocks: u32, expected: u8, byte: u8) -> [(Sqe, Buf); 2] {
    let [compare, write] = sqe::fused(sqe::compare(1, lba, blocks), sqe::write(1, lba, blocks, false));
    let len = blocks as usize * 512;
    [(compare, filled(len, expected).await), (write, filled(len, byte).await)]
}

async fn first_byte(queue: &HostQueue, lba: u64) -> u8 {
    queue.command(sqe::read(1, lba, 1), Payload::In(512)).await.unwrap().data.unwrap()[0]
}

#[test]
fn both_halves_happen_or_neither() {
    let bench = Bench::new(2, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        assert_eq!(both(&queue, pair(8, 8, 0, 1).await).await, (OK, OK));
        assert_eq!(both(&queue, pair(9, 1, 1, 2).await).await, (OK, OK));
        assert_eq!(both(&queue, pair(8, 8, 1, 3).await).await, (Status::COMPARE_FAILURE, FAILED));
        assert_eq!((first_byte(&queue, 8).await, first_byte(&queue, 9).await), (1, 2));
    });
}

#[test]
fn a_half_without_its_other_half_is_aborted() {
    let bench = Bench::new(2, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        let [first, second] = pair(8, 1, 0, 1).await;
        let alone = (sqe::write(1, 16, 1, false), filled(512, 7).await);
        assert_eq!(both(&queue, [first, alone]).await, (MISSING, OK));
        let lonely = queue.command(second.0, Payload::Out(second.1)).await.unwrap();
        assert_eq!(lonely.status(), MISSING);
        assert_eq!((first_byte(&queue, 8).await, first_byte(&queue, 16).await), (0, 7));

        // Two pairs that are no pairs: another range, and more than is atomic.
        let [first, _] = pair(8, 1, 0, 1).await;
        let [_, elsewhere] = pair(24, 1, 0, 1).await;
        assert_eq!(both(&queue, [first, elsewhere]).await, (FAILED, Status::INVALID_FIELD));
        let exceeded = Status::ATOMIC_WRITE_UNIT_EXCEEDED;
        for (lba, blocks) in [(0, 16), (12, 8)] {
            assert_eq!(both(&queue, pair(lba, blocks, 0, 1).await).await, (exceeded, exceeded));
        }
        assert_eq!((first_byte(&queue, 8).await, first_byte(&queue, 24).await), (0, 0));
    });
}

/// The queue ends while a first half waits: everything about it ends, too, and its identifier is free again.
#[test]
fn a_first_half_does_not_outlive_its_queue() {
    let bench = Bench::new(1, BlockSize::B512);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        for _ in 0..3 {
            let queue = loop {
                if let Ok(queue) = controller.io_queue(1, 32).await {
                    break queue;
                }
            };
            let [(sqe, data), _] = pair(8, 1, 0, 1).await;
            let mut sent = std::pin::pin!(queue.command(sqe, Payload::Out(data)));
            std::future::poll_fn(|cx| {
                assert!(sent.as_mut().poll(cx).is_pending(), "it has no second half");
                std::task::Poll::Ready(())
            })
            .await;
            // Meanwhile it arrives.
            controller.admin().command(sqe::keep_alive(), Payload::None).await.unwrap();
        }
    });
}
