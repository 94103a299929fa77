//! Machines lose their power: what they had not flushed is gone, and the others know it (M1, M2).

use nvmeof::{Status, host::sqe};

use crate::{
    cluster::TestCluster,
    host::{block, run},
};

#[test]
fn one_machine_after_the_other_loses_power_and_nothing_that_was_answered_is_lost() {
    let cluster = TestCluster::that_loses_power(2);
    cluster.wait_for(&[0, 1]);
    for round in 1..5 {
        let lba = u64::from(round) * 700;
        run(cluster.portals(), move |mut host| async move {
            for lba in lba..lba + 20 {
                host.write(lba, &block(lba, round)).await;
            }
        });
        let victim = usize::from(round) % 2;
        cluster.kill(victim);
        cluster.name_if_in_sync(1 - victim);
        run(cluster.portals(), move |mut host| async move {
            for lba in lba..lba + 20 {
                assert!(host.read(lba, 1).await == block(lba, round), "block {lba}");
            }
            host.write(lba, &block(lba, round + 100)).await;
        });
        cluster.restart(victim);
        cluster.wait_for(&[0, 1]);
    }
    // The one that was killed first has all of it by now.
    for leader in [1, 0] {
        cluster.lead(leader);
        run(cluster.portals(), move |mut host| async move {
            for round in 1..5_u8 {
                let lba = u64::from(round) * 700;
                assert!(host.read(lba, 1).await == block(lba, round + 100), "node {leader}");
                assert!(host.read(lba + 1, 1).await == block(lba + 1, round), "node {leader}");
            }
        });
    }
}

#[test]
fn all_machines_lose_power_and_what_was_flushed_is_there() {
    let cluster = TestCluster::that_loses_power(2);
    cluster.wait_for(&[0, 1]);
    run(cluster.portals(), |mut host| async move {
        for lba in 0..20 {
            host.write(lba, &block(lba, 1)).await;
        }
        assert_eq!(host.send(sqe::flush(1)).await, Status::SUCCESS);
        for lba in 10..30 {
            host.write(lba, &block(lba, 2)).await;
        }
    });
    cluster.kill(0);
    cluster.kill(1);
    cluster.restart_all();
    cluster.wait_for(&[0, 1]);
    let read = |leader: usize| {
        run(cluster.portals(), move |mut host| async move {
            let mut blocks = Vec::new();
            for lba in 0..30_u64 {
                let found = host.read(lba, 1).await;
                let or_newer = lba >= 10 && found == block(lba, 2);
                let or_nothing = lba >= 20 && found == vec![0; 4096];
                let flushed = lba < 20 && found == block(lba, 1);
                assert!(flushed || or_newer || or_nothing, "block {lba} of node {leader}");
                blocks.push(found);
            }
            blocks
        })
    };
    cluster.lead(0);
    let first = read(0);
    cluster.lead(1);
    assert!(read(1) == first, "both show the same, whatever it is");
}
