//! A node dies, returns, and another leads: nothing that was answered is lost, and what was missed is sent.

use nvmeof::{Status, host::sqe};

use crate::{
    cluster::{TestCluster, VOLUME_BYTES},
    host::{block, run},
};

#[test]
fn what_was_written_is_there_when_the_other_node_leads() {
    let cluster = TestCluster::new(2, 2, 2);
    cluster.wait_for(&[0, 1]);
    run(cluster.portals(), |mut host| async move {
        for lba in 0..64 {
            host.write(lba * 3, &block(lba * 3, 1)).await;
        }
        assert_eq!(host.send(sqe::write_zeroes(1, 6, 1, false)).await, Status::SUCCESS);
        assert_eq!(host.send(sqe::flush(1)).await, Status::SUCCESS);
        assert_eq!(host.read(3, 1).await, block(3, 1));
    });
    cluster.kill(0);
    cluster.name(1);
    run(cluster.portals(), |mut host| async move {
        for lba in 0..64 {
            let found = host.read(lba * 3, 1).await;
            let wanted = if lba == 2 { vec![0; 4096] } else { block(lba * 3, 1) };
            assert!(found == wanted, "block {}", lba * 3);
        }
        for lba in 0..32 {
            host.write(lba, &block(lba, 2)).await;
        }
    });
    cluster.wait_for(&[1]);
    // It comes back, is sent what it missed, and is as good as the other.
    cluster.restart(0);
    cluster.wait_for(&[0, 1]);
    cluster.kill(1);
    cluster.name(0);
    run(cluster.portals(), |mut host| async move {
        for lba in 0..32 {
            assert!(host.read(lba, 1).await == block(lba, 2), "block {lba}");
        }
        assert!(host.read(33, 1).await == block(33, 1));
        let last = VOLUME_BYTES / 4096 - 1;
        assert_eq!(host.read(last, 1).await, vec![0; 4096]);
        let beyond = sqe::write_zeroes(1, last, 2, false);
        assert_eq!(host.send(beyond).await, Status::LBA_OUT_OF_RANGE);
    });
}

#[test]
fn a_volume_grows_on_all_replicas_and_a_planned_switch_loses_nothing() {
    let cluster = TestCluster::new(3, 2, 1);
    cluster.wait_for(&[0, 1, 2]);
    let beyond = VOLUME_BYTES / 4096;
    run(cluster.portals(), move |mut host| async move {
        host.write(beyond - 1, &block(beyond - 1, 1)).await;
        let write = sqe::write_zeroes(1, beyond, 1, false);
        assert_eq!(host.send(write).await, Status::LBA_OUT_OF_RANGE);
    });
    cluster.expand(2 * VOLUME_BYTES);
    run(cluster.portals(), move |mut host| async move {
        assert_eq!(host.read(beyond, 1).await, vec![0; 4096]);
        host.write(beyond, &block(beyond, 1)).await;
    });
    for leader in [1, 2, 0] {
        cluster.lead(leader);
        run(cluster.portals(), move |mut host| async move {
            assert!(host.read(beyond - 1, 1).await == block(beyond - 1, 1), "node {leader}");
            assert!(host.read(beyond, 1).await == block(beyond, 1), "node {leader}");
        });
    }
}
