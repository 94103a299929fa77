//! Whole trees, at rest and in use.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use dataplane::{
    engine::{Drive, EngineError, Snapshot, Volume},
    rt::{self, Buf, sim::SimRng},
};
use uuid::Uuid;

use crate::{
    host::Host,
    site::{MIB, assert_empty, assert_sound, evacuate, id, on_drives},
};

async fn snapshot(drive: &Drive, volume: &Volume, name: u128) -> Snapshot {
    let taken = drive.create_snapshots(&[(volume.clone(), id(name))]).await.expect("there is room");
    taken.into_iter().next().expect("one was asked for")
}

async fn view(drive: &Drive, snapshot: &Snapshot, name: u128) -> Volume {
    drive.create_snapshot_volume(snapshot, id(name), false, snapshot.size_bytes(), 0).await.expect("a view")
}

fn volume_of(drive: &Drive, uuid: Uuid) -> Volume {
    drive.volumes().into_iter().find(|volume| volume.uuid() == uuid).expect("it is on that drive")
}

/// Snapshots, views and clones in a tree with nameless layers and zeros that hide what is below.
async fn plant(drive: &Drive) -> BTreeMap<Uuid, Host> {
    let mut hosts = BTreeMap::new();
    let base = Host::of(&drive.create_volume(id(1), 4 * MIB, 512, 2 * MIB).await.expect("there is room"));
    base.write(0, 512).await;
    let first = snapshot(drive, &base.volume(), 101).await;
    hosts.insert(id(201), base.fork(&view(drive, &first, 201).await));
    base.write(10, 30).await;
    base.trim(100, 200).await;
    let second = snapshot(drive, &base.volume(), 102).await;
    hosts.insert(id(202), base.fork(&view(drive, &second, 202).await));
    let clone = drive.clone_volume(&base.volume(), id(2), 6 * MIB, 0).await.expect("there is room");
    let clone = base.fork(&clone);
    clone.trim(0, 20).await;
    clone.write(300, 40).await;
    base.write(0, 1).await;
    let alone = Host::of(&drive.create_volume(id(3), 64 * MIB, 4096, 0).await.expect("it is thin"));
    alone.write(5, 3).await;
    alone.write(9000, 2).await;
    hosts.extend([(id(1), base), (id(2), clone), (id(3), alone)]);
    hosts
}

#[test]
fn a_tree_arrives_as_it_was() {
    on_drives(1, |from, to| async move {
        let hosts = plant(&from).await;
        from.settled().await;
        let before = [from.used_bytes(), from.capacity_bytes() - from.unreserved_bytes()];
        let unique = from.snapshots()[0].unique_bytes().await.expect("a walk");
        evacuate(&from, &to, |_| {}).await.expect("there is room");
        assert_eq!(to.volumes().len(), 5);
        assert_eq!(to.snapshots().iter().map(Snapshot::uuid).collect::<Vec<_>>(), [id(101), id(102)]);
        to.settled().await;
        assert_eq!([to.used_bytes(), to.capacity_bytes() - to.unreserved_bytes()], before);
        assert_eq!(to.snapshots()[0].unique_bytes().await, Ok(unique), "it shares what it shared");
        assert_sound(&to).await;
        for (uuid, host) in &hosts {
            assert_eq!(host.volume().flush().await, Err(EngineError::Moved));
            host.use_volume(&volume_of(&to, *uuid));
            host.read_all().await;
        }
        let base = volume_of(&to, id(1));
        assert_eq!((base.size_bytes(), base.reserved_bytes()), (4 * MIB, 2 * MIB));
        // Nobody sees another's writes.
        hosts[&id(1)].write(0, 600).await;
        hosts[&id(2)].write(50, 5).await;
        for host in hosts.values() {
            host.read_all().await;
        }
        assert_empty(&from).await;
        // And back, to where they came from.
        evacuate(&to, &from, |_| {}).await.expect("there is room");
        assert_empty(&to).await;
        hosts[&id(2)].use_volume(&volume_of(&from, id(2)));
        hosts[&id(2)].read_all().await;
    });
}

/// The first byte of each of a volume's first 512 sectors; `None` if it is marked uncorrectable.
async fn sectors(volume: &Volume) -> Vec<Option<u8>> {
    let mut found = Vec::new();
    for sector in 0..512 {
        let (buf, result) = volume.read(sector * 512, Buf::alloc(512).await).await;
        found.push(match result {
            Ok(()) => Some(buf[0]),
            Err(EngineError::Uncorrectable) => None,
            Err(error) => panic!("sector {sector}: {error}"),
        });
    }
    found
}

#[test]
fn what_cannot_be_read_arrives_as_that_and_nothing_else_does() {
    on_drives(1, |from, to| async move {
        let volume = from.create_volume(id(1), MIB, 512, 0).await.expect("there is room");
        let write = async |sector: u64, count: usize, byte: u8| {
            let mut buf = Buf::alloc(count * 512).await;
            buf.fill(byte);
            volume.write(sector * 512, buf, false).await.1.expect("there is room");
        };
        let mark = async |sector: u64, count: u64| {
            volume.write_uncorrectable(sector * 512, count * 512, false).await.expect("there is room");
        };
        write(0, 256, 7).await;
        mark(2, 20).await;
        // Nothing was ever written there.
        mark(400, 1).await;
        let taken = snapshot(&from, &volume, 101).await;
        let shown = view(&from, &taken, 201).await;
        write(8, 1, 8).await;
        mark(0, 1).await;
        let before = [sectors(&volume).await, sectors(&shown).await];
        let marks = |sectors: &[Option<u8>]| sectors.iter().filter(|sector| sector.is_none()).count();
        assert_eq!(before.each_ref().map(|sectors| marks(sectors)), [21, 21]);
        assert_ne!(before[0], before[1]);
        evacuate(&from, &to, |_| {}).await.expect("there is room");
        let after = [volume_of(&to, id(1)), volume_of(&to, id(201))];
        assert_eq!([sectors(&after[0]).await, sectors(&after[1]).await], before);
        to.settled().await;
        assert_sound(&to).await;
        assert_empty(&from).await;
    });
}

/// One writer and one reader per volume, and somebody who takes snapshots, clones and deletes.
#[test]
fn hosts_go_on() {
    let seeds = std::env::var("BASALT_SEEDS").map_or(12, |text| text.parse().expect("a number"));
    for seed in 0..seeds {
        on_drives(seed, move |from, to| async move {
            let hosts = Rc::new(plant(&from).await);
            let ended = Rc::new(Cell::new(false));
            let (stop, running) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
            for uuid in [id(1), id(2), id(3)] {
                let work = work(hosts[&uuid].clone(), seed ^ uuid.as_u128() as u64, stop.clone());
                let running = running.clone();
                running.set(running.get() + 1);
                rt::spawn(async move {
                    work.await;
                    running.set(running.get() - 1);
                });
            }
            let kept = Rc::new(RefCell::new(Vec::new()));
            rt::spawn(change_the_tree(
                from.clone(),
                hosts[&id(1)].volume(),
                seed,
                ended.clone(),
                kept.clone(),
            ));
            let arrived = |volumes: &[Volume]| {
                for volume in volumes {
                    if let Some(host) = hosts.get(&volume.uuid()) {
                        host.use_volume(volume);
                    }
                }
            };
            evacuate(&from, &to, arrived).await.expect("there is room");
            // A while over there.
            for _ in 0..200 {
                rt::yield_now().await;
            }
            stop.set(true);
            while running.get() > 0 || !ended.get() {
                rt::sleep(std::time::Duration::from_millis(1)).await;
            }
            for (uuid, host) in hosts.iter() {
                host.use_volume(&volume_of(&to, *uuid));
                host.read_all().await;
            }
            to.settled().await;
            assert_sound(&to).await;
            let names: Vec<Uuid> = kept.borrow().clone();
            assert!(names.iter().all(|name| to.snapshots().iter().any(|taken| taken.uuid() == *name)));
            assert_empty(&from).await;
        });
    }
}

/// Writes, trims, flushes and reads until it is told to stop. Only one change of a block at a time: it waits for each.
async fn work(host: Host, seed: u64, stop: Rc<Cell<bool>>) {
    let mut rng = SimRng::new(seed);
    let reader = host.clone();
    let (reads, seed) = (stop.clone(), rng.next_u64());
    rt::spawn(async move {
        let mut rng = SimRng::new(seed);
        while !reads.get() {
            reader.read(rng.below(600)).await;
            rt::yield_now().await;
        }
    });
    while !stop.get() {
        let first = rng.below(560);
        match rng.below(10) {
            0 => host.trim(first, 1 + rng.below(40)).await,
            1 => host.flush().await,
            _ => host.write(first, 1 + rng.below(8)).await,
        }
        rt::yield_now().await;
    }
}

/// Until the volume has moved.
async fn change_the_tree(
    drive: Drive,
    volume: Volume,
    seed: u64,
    ended: Rc<Cell<bool>>,
    kept: Rc<RefCell<Vec<Uuid>>>,
) {
    let mut rng = SimRng::new(seed ^ 0xC0FFEE);
    let mut deletable = Vec::new();
    for name in 1000.. {
        let volume = volume.clone();
        let outcome = match rng.below(3) {
            0 if !deletable.is_empty() => drive.delete_snapshot(&deletable.remove(0)).await,
            1 => drive.clone_volume(&volume, id(name), volume.size_bytes(), 0).await.map(|_| ()),
            _ => drive.create_snapshots(&[(volume, id(name))]).await.map(|taken| {
                if rng.below(2) == 0 {
                    kept.borrow_mut().extend(taken.iter().map(Snapshot::uuid));
                } else {
                    deletable.extend(taken);
                }
            }),
        };
        match outcome {
            Ok(()) => {}
            Err(EngineError::Moved) => break,
            Err(error) => panic!("{error}"),
        }
        rt::sleep(std::time::Duration::from_millis(rng.below(40))).await;
    }
    ended.set(true);
}
