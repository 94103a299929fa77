//! Commands that wait because their volume is limited.

use nvmeof::{
    Status,
    host::sqe,
    transport::{HostTransfer, ICRequest},
};

use super::{
    HOST, NQN, Node,
    host::{HostQueue, bring_up, io_queue},
};
use crate::{node::RateLimits, rt};

/// Nobody lives to see the second operation.
const ALMOST_NOTHING: RateLimits = RateLimits { max_iops: 1, max_bytes_per_second: 1 };

/// Commands of every kind that moves data, more than the limits let in: 1 takes what there is, the others wait.
async fn flood(queue: &mut HostQueue) {
    let block = [7; 512];
    for lba in 0..8 {
        queue.begin(sqe::write(1, lba, 1, false), HostTransfer::InCapsule(512), &block).await.unwrap();
        queue.begin(sqe::write(1, lba, 64, false), HostTransfer::Out(32_768), &[]).await.unwrap();
        queue.begin(sqe::read(1, lba, 1), HostTransfer::In(512), &[]).await.unwrap();
        queue.begin(sqe::write_zeroes(1, lba, 1, true), HostTransfer::None, &[]).await.unwrap();
    }
}

#[test]
fn what_moves_no_data_passes_those_that_wait() {
    let node = Node::start(2);
    node.target.set_limits(node.volume.uuid(), ALMOST_NOTHING);
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        flood(&mut queue).await;
        assert_eq!(queue.status(sqe::flush(1), HostTransfer::None, &[]).await, Status::SUCCESS);
        let ranges = sqe::dsm_range(100, 1);
        let status = queue.status(sqe::deallocate(1, 1), HostTransfer::InCapsule(16), &ranges).await;
        assert_eq!(status, Status::SUCCESS);
        assert_eq!(admin.status(sqe::keep_alive(), HostTransfer::None, &[]).await, Status::SUCCESS);
    });
}

#[test]
fn lifted_limits_let_everybody_through() {
    let node = Node::start(2);
    let (target, uuid) = (node.target.clone(), node.volume.uuid());
    target.set_limits(uuid, ALMOST_NOTHING);
    node.run(move |address| async move {
        let request = ICRequest::default();
        let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queues = Vec::new();
        for qid in 1..=3 {
            let mut queue = io_queue(address, request, cntlid, qid, true).await.unwrap();
            let mut waiting = Vec::new();
            for lba in 0..16 {
                let read = sqe::read(1, lba * 8, 8);
                waiting.push(queue.begin(read, HostTransfer::In(4096), &[]).await.unwrap());
            }
            queues.push((queue, waiting));
        }
        target.set_limits(uuid, RateLimits::default());
        for (mut queue, mut waiting) in queues {
            while !waiting.is_empty() {
                let (slot, cqe) = queue.answer_and_data(&mut [0; 4096]).await;
                assert_eq!(cqe.status(), Status::SUCCESS);
                waiting.retain(|&other| other != slot);
            }
        }
    });
}

#[test]
fn a_command_that_waits_can_be_aborted_and_one_that_does_not_cannot() {
    let node = Node::start(2);
    let (target, uuid) = (node.target.clone(), node.volume.uuid());
    target.set_limits(uuid, ALMOST_NOTHING);
    node.run(move |address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let first = queue.status(sqe::read(1, 0, 1), HostTransfer::In(512), &[]).await;
        assert_eq!(first, Status::SUCCESS);
        for transfer in [HostTransfer::InCapsule(512), HostTransfer::Out(512)] {
            let slot = queue.begin(sqe::write(1, 0, 1, false), transfer, &[9; 512]).await.unwrap();
            // It may still be on its way to its queue.
            while !abort(&mut admin, 1, slot.0).await {}
            let (aborted, cqe) = queue.other().await.unwrap();
            assert_eq!((aborted, cqe.status()), (slot, Status::ABORT_REQUESTED));
            assert!(!abort(&mut admin, 1, slot.0).await, "it is gone");
        }
        assert!(!abort(&mut admin, 2, 0).await, "there is no such queue");
        target.set_limits(uuid, RateLimits::default());
        let (_, data) = queue.command(sqe::read(1, 0, 1), HostTransfer::In(512), &[]).await.unwrap();
        assert!(data.iter().all(|&byte| byte == 0), "neither was executed");
    });
}

#[test]
fn a_write_whose_data_has_not_come_can_be_aborted_and_never_happens() {
    // On one core what was asked for first is done first.
    Node::start(1).run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        queue.withholds = true;
        let payload = vec![7; 65536];
        let write = sqe::write(1, 0, 128, false);
        let slot = queue.begin(write, HostTransfer::Out(65536), &[]).await.unwrap();
        queue.asked().await;
        let abort = admin.begin(sqe::abort(1, slot.0), HostTransfer::None, &[]).await.unwrap();
        assert_eq!(admin.status(sqe::keep_alive(), HostTransfer::None, &[]).await, Status::SUCCESS);
        assert_eq!(admin.others, [], "answered after the command that it aborts");
        queue.give(&payload).await.unwrap();
        let (aborted, cqe) = queue.other().await.unwrap();
        assert_eq!((aborted, cqe.status()), (slot, Status::ABORT_REQUESTED));
        let (answered, cqe) = admin.other().await.unwrap();
        assert_eq!((answered, cqe.status(), cqe.result.get()), (abort, Status::SUCCESS, 0));
        let (_, data) = queue.command(sqe::read(1, 0, 8), HostTransfer::In(4096), &[]).await.unwrap();
        assert_eq!(data, [0; 4096]);
    });
}

/// Whether the controller says that it aborted the command.
async fn abort(admin: &mut HostQueue, sqid: u16, cid: u16) -> bool {
    let (cqe, _) = admin.command(sqe::abort(sqid, cid), HostTransfer::None, &[]).await.unwrap();
    assert_eq!(cqe.status(), Status::SUCCESS);
    cqe.result.get() == 0
}

#[test]
fn commands_that_wait_do_not_outlive_their_connection() {
    let node = Node::start(2);
    let target = node.target.clone();
    target.set_limits(node.volume.uuid(), ALMOST_NOTHING);
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        flood(&mut queue).await;
        assert_eq!(queue.status(sqe::flush(1), HostTransfer::None, &[]).await, Status::SUCCESS);
        drop(queue);
        while target.controllers()[0].io_queues > 0 {
            rt::yield_now().await;
        }
        // The identifier is free again, and a stop ends what waits as well.
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        flood(&mut queue).await;
        assert_eq!(queue.status(sqe::flush(1), HostTransfer::None, &[]).await, Status::SUCCESS);
        target.stop().await;
        queue.ended().await;
        admin.ended().await;
        assert_eq!(target.controllers().len(), 0);
    });
}

#[test]
fn a_write_that_waits_too_long_is_answered_and_never_executed() {
    let node = Node::start(1);
    let target = node.target.clone();
    let uuid = node.volume.uuid();
    target.set_limits(uuid, RateLimits { max_iops: 0, max_bytes_per_second: 1 });
    node.run(move |address| async move {
        let request = ICRequest::default();
        let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let read = queue.status(sqe::read(1, 0, 1), HostTransfer::In(512), &[]).await;
        assert_eq!(read, Status::SUCCESS);
        for transfer in [HostTransfer::Out(512), HostTransfer::InCapsule(512)] {
            queue.begin(sqe::write(1, 0, 1, false), transfer, &[9; 512]).await.unwrap();
        }
        for _ in 0..2 {
            assert_eq!(queue.other().await.unwrap().1.status(), Status::INTERNAL_PATH_ERROR);
        }
        target.set_limits(uuid, RateLimits::default());
        let (_, data) = queue.command(sqe::read(1, 0, 1), HostTransfer::In(512), &[]).await.unwrap();
        assert!(data.iter().all(|&byte| byte == 0));
    });
}
