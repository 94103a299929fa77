//! Nodes die, return, hand over, are cut off and are taken for dead at random, while hosts write and read what they wrote.
//!
//! A failing run is repeated with `BASALT_SEED=… cargo test -p dataplane --test replicas random`; what the threads do when
//! is not the seed's, so it may take several.

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use dataplane::rt;
use futures_channel::oneshot;
use nvmeof::{Status, host::sqe};

use crate::{
    cluster::TestCluster,
    host::{MultipathHost, block, run},
    proxy::Line,
};

/// Each works on blocks of its own, on both sides of a region's border.
const WRITERS: u64 = 4;
const BLOCKS_EACH: u64 = 24;
const STEPS: u32 = 10;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % bound
    }
}

#[test]
fn nothing_that_was_answered_is_lost_whatever_the_nodes_do() {
    let given = env::var("BASALT_SEED").ok().map(|seed| seed.parse().unwrap());
    let count = env::var("BASALT_REPLICA_SEEDS").map_or(2, |count| count.parse().unwrap());
    let seeds = given.map_or_else(|| (1..=count).collect(), |seed| vec![seed]);
    for pair in seeds.chunks(2) {
        thread::scope(|scope| {
            for &seed in pair {
                thread::Builder::new()
                    .name(format!("seed {seed}"))
                    .spawn_scoped(scope, move || one(seed))
                    .unwrap();
            }
        });
    }
}

/// Writes and reads until told to stop; what each of its blocks was written last.
async fn work(mut host: MultipathHost, writer: u64, seed: u64, stop: Arc<AtomicBool>) -> HashMap<u64, u8> {
    let mut random = Random(seed * WRITERS + writer);
    let mut versions: HashMap<u64, u8> = HashMap::new();
    while !stop.load(Ordering::SeqCst) {
        // The extents of one writer lie around the border between two regions.
        let lba = 1024 - WRITERS * BLOCKS_EACH / 2 + writer * BLOCKS_EACH + random.below(BLOCKS_EACH);
        match random.below(10) {
            0 => assert_eq!(host.send(sqe::flush(1)).await, Status::SUCCESS),
            1..6 => {
                let version = versions.entry(lba).or_default();
                let next = version.wrapping_add(1).max(1);
                host.write(lba, &block(lba, next)).await;
                *version = next;
            }
            _ => {
                let wanted = versions.get(&lba).map_or_else(|| vec![0; 4096], |&version| block(lba, version));
                assert!(host.read(lba, 1).await == wanted, "block {lba} is not what was written last");
            }
        }
    }
    versions
}

fn one(seed: u64) {
    println!("seed {seed}");
    let mut random = Random(seed);
    let members = 2 + random.below(2) as usize;
    let cluster = TestCluster::new(3, members, 2);
    cluster.wait_for(&[0, 1, 2]);
    let stop = Arc::new(AtomicBool::new(false));
    let (portals, told) = (cluster.portals(), stop.clone());
    let hosts = thread::spawn(move || {
        run(portals, move |host| async move {
            let mut ends = Vec::new();
            for writer in 0..WRITERS {
                let (end, ended) = oneshot::channel();
                let (host, stop) = (host.another(), told.clone());
                rt::spawn(async move {
                    let _ = end.send(work(host, writer, seed, stop).await);
                });
                ends.push(ended);
            }
            let mut all = HashMap::new();
            for ended in ends {
                all.extend(ended.await.unwrap());
            }
            all
        })
    });
    for _ in 0..STEPS {
        fault(&cluster, &mut random);
    }
    cluster.open_lines();
    cluster.restart_all();
    cluster.wait_for(&[0, 1, 2]);
    stop.store(true, Ordering::SeqCst);
    let versions = hosts.join().unwrap();
    // All replicas are equal: each of them shows the same when it leads.
    for leader in 0..3 {
        cluster.lead(leader);
        let (portals, versions) = (cluster.portals(), versions.clone());
        run(portals, move |mut host| async move {
            for (lba, version) in versions {
                assert!(host.read(lba, 1).await == block(lba, version), "block {lba} of node {leader}");
            }
        });
    }
}

fn fault(cluster: &TestCluster, random: &mut Random) {
    let node = random.below(3) as usize;
    let primary = usize::from(cluster.membership().primary.0);
    match random.below(9) {
        0 | 1 if cluster.is_alive(node) => cluster.kill(node),
        0 | 1 => cluster.restart(node),
        2 if cluster.is_alive(primary) => cluster.hand_over(primary, node),
        3 => cluster.name_if_in_sync(node),
        4 => {
            // A manager that does its duty.
            if !cluster.is_alive(primary) {
                let heir = cluster.alive().map(|(index, _)| index).find(|&index| index != primary);
                heir.inspect(|&heir| cluster.name_if_in_sync(heir));
            }
        }
        5 => {
            let line = if random.below(2) == 0 { Line::Cut } else { Line::Silent };
            let other = random.below(3) as usize;
            cluster.set_line(node, other, line);
            if random.below(2) == 0 {
                cluster.set_line(other, node, line);
            }
        }
        6 => {
            // A node that nobody hears, and that hears nobody; hosts still do.
            for other in 0..3 {
                cluster.set_line(node, other, Line::Silent);
                cluster.set_line(other, node, Line::Silent);
            }
        }
        7 => cluster.open_lines(),
        _ => cluster.restart_all(),
    }
    thread::sleep(Duration::from_millis(random.below(700)));
}
