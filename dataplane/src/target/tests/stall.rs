//! Hosts that stall lose the queue pair that they stall on, and what it held (E7).

use std::time::Duration;

use nvmeof::{
    Status,
    host::sqe,
    transport::{HostTransfer, ICRequest},
};

use super::{
    HOST, NQN, Node,
    host::{ENTRIES, bring_up, io_queue},
};
use crate::{rt, target::Target};

const STALL_MAX: Duration = Duration::from_millis(200);

/// Waits, without reading anything, until the target has ended the I/O queue.
async fn cut_off(target: &Target) {
    while target.controllers()[0].io_queues > 0 {
        rt::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_host_that_never_sends_the_data_it_announced() {
    let node = Node::with_stall_max(2, STALL_MAX);
    let target = node.target.clone();
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        queue.begin(sqe::write(1, 0, 8, false), HostTransfer::Out(4096), &[]).await.unwrap();
        cut_off(&target).await;
        queue.ended().await;
        assert_eq!(admin.status(sqe::keep_alive(), HostTransfer::None, &[]).await, Status::SUCCESS);
    });
}

#[test]
fn a_host_that_takes_no_answers() {
    let node = Node::with_stall_max(2, STALL_MAX);
    let target = node.target.clone();
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        // 16 MiB of answers: more than both sockets' buffers take.
        for _ in 0..ENTRIES - 1 {
            // On a busy machine it is cut off before it has sent them all.
            if queue.begin(sqe::read(1, 0, 512), HostTransfer::In(262_144), &[]).await.is_err() {
                break;
            }
        }
        cut_off(&target).await;
        assert_eq!(admin.status(sqe::keep_alive(), HostTransfer::None, &[]).await, Status::SUCCESS);
    });
}

#[test]
fn an_idle_host_is_not_a_stalled_one() {
    let node = Node::with_stall_max(1, STALL_MAX);
    node.run(|address| async move {
        let request = ICRequest::default();
        let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        rt::sleep(STALL_MAX * 5).await;
        assert_eq!(queue.status(sqe::flush(1), HostTransfer::None, &[]).await, Status::SUCCESS);
    });
}
