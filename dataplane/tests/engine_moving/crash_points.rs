//! A move that is crashed at every write and flush of both drives, with a host at work. After recovery all names are
//! on one drive, whole, and the other has nothing of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use dataplane::{
    engine::{Drive, Volume},
    rt::sim::{Sim, SimRng},
};
use uuid::Uuid;

use crate::{
    host::{Host, Loss},
    site::{MIB, Media, assert_empty, assert_sound, evacuate, format, id, media, open},
};

const DRIVE_BYTES: u64 = 16 * MIB;

/// The hosts of the volumes, once they are at work.
type Hosts = Arc<Mutex<BTreeMap<Uuid, Host>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    ProcessDied,
    PowerCut,
}

/// Whether the operation of the crash point is still under way, and what happens.
const ENDS: [(bool, Crash); 4] = [
    (true, Crash::ProcessDied),
    (true, Crash::PowerCut),
    (false, Crash::PowerCut),
    (false, Crash::ProcessDied),
];

/// `BASALT_CRASH_SEED` and `BASALT_CRASH_POINT` replay one.
#[test]
fn exactly_one_copy_counts() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let only = number("BASALT_CRASH_POINT");
    let seeds = number("BASALT_CRASH_SEED").map_or(0..2, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let outcomes = crash_everywhere(seed, only);
        assert!(
            only.is_some() || outcomes == [true, true],
            "some crashes come before the decision, some after"
        );
    }
}

/// Whether any crash left the volumes on the first drive, and on the second.
fn crash_everywhere(seed: u64, only: Option<u64>) -> [bool; 2] {
    let media = media(DRIVE_BYTES);
    let sim = Sim::new(seed, 2);
    let hosts = Hosts::default();
    let (begun, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let script = {
        let (media, hosts, begun, ended) = (media.clone(), hosts.clone(), begun.clone(), ended.clone());
        move || async move { move_once(&media, &hosts, &begun, &ended).await }
    };
    sim.spawn_on(0, script);
    assert!(sim.run_until(|| begun.load(Ordering::Relaxed)), "the drives did not open");
    let changes = || media.iter().map(|medium| medium.changes()).sum::<u64>();
    let (first, mut points, mut outcomes) = (changes(), 0, [false; 2]);
    loop {
        let before = media.clone().map(|medium| medium.fork());
        if !sim.step() {
            break;
        }
        let point = changes() - first;
        if point > points && only.is_none_or(|only| only == point) {
            let known: BTreeMap<_, _> =
                hosts.lock().expect("sound").iter().map(|(uuid, host)| (*uuid, host.memory())).collect();
            for (end, (under_way, crash)) in (0..).zip(ENDS) {
                let left = if under_way { &before } else { &media };
                let left = left.clone().map(|medium| medium.fork());
                let known = known.iter().map(|(uuid, host)| (*uuid, host.memory())).collect();
                println!(
                    "BASALT_CRASH_SEED={seed} BASALT_CRASH_POINT={point}: {crash:?}, under way: {under_way}"
                );
                let there = survive(&left, known, crash, seed ^ (point << 20) ^ (end << 50));
                outcomes[usize::from(there)] = true;
            }
        }
        points = point;
    }
    assert!(ended.load(Ordering::Relaxed), "the move hangs");
    println!("seed {seed}: {points} points survived");
    outcomes
}

/// The script: a small tree of every kind, and a move with a host at work.
async fn move_once(media: &Media, hosts: &Hosts, begun: &AtomicBool, ended: &AtomicBool) {
    let [from, to] = format(media).await;
    let base = Host::of(&from.create_volume(id(1), MIB, 4096, MIB / 2).await.expect("there is room"));
    base.write(0, 40).await;
    let taken = from.create_snapshots(&[(base.volume(), id(101))]).await.expect("there is room").remove(0);
    let view = from.create_snapshot_volume(&taken, id(201), false, MIB, 0).await.expect("a view");
    let view = base.fork(&view);
    base.write(3, 2).await;
    base.trim(20, 10).await;
    let clone = base.fork(&from.clone_volume(&base.volume(), id(2), MIB, 0).await.expect("there is room"));
    clone.write(60, 1).await;
    for host in [&base, &view, &clone] {
        let volume = host.volume();
        volume.set_attachment(volume.uuid().as_bytes()).await.expect("there is room");
        host.flush().await;
    }
    let all = [(id(1), base.clone()), (id(2), clone), (id(201), view)];
    hosts.lock().expect("sound").extend(all.clone());
    begun.store(true, Ordering::Relaxed);
    let at_work = base.clone();
    dataplane::rt::spawn(async move {
        for turn in 0..6 {
            at_work.write(turn * 7 % 50, 2).await;
            if turn == 3 {
                at_work.flush().await;
            }
            at_work.trim(turn * 11 % 60, 3).await;
        }
    });
    let arrived = |volumes: &[Volume]| {
        for volume in volumes {
            let host = all.iter().find(|(uuid, _)| *uuid == volume.uuid());
            host.expect("they are known").1.use_volume(volume);
        }
    };
    evacuate(&from, &to, arrived).await.expect("there is room");
    base.write(30, 3).await;
    base.flush().await;
    ended.store(true, Ordering::Relaxed);
}

/// Recovers, checks, moves again, crashes and recovers once more. True: the copy counted.
fn survive(media: &Media, known: BTreeMap<Uuid, Host>, crash: Crash, seed: u64) -> bool {
    let mut rng = SimRng::new(seed);
    strike(media, crash, &mut rng);
    let there = recover(media, &known, crash, rng.next_u64(), true);
    strike(media, Crash::PowerCut, &mut rng);
    recover(media, &known, Crash::PowerCut, rng.next_u64(), false);
    there
}

/// The machine ends, with both its drives.
fn strike(media: &Media, crash: Crash, rng: &mut SimRng) {
    for medium in media {
        match crash {
            Crash::ProcessDied => medium.process_died(rng),
            Crash::PowerCut => medium.power_cut(rng),
        }
    }
}

fn recover(media: &Media, known: &BTreeMap<Uuid, Host>, crash: Crash, seed: u64, go_on: bool) -> bool {
    let sim = Sim::new(seed, 1);
    let outcome = Arc::new(Mutex::new(None));
    let (media, known, answer) = (media.clone(), known.clone(), outcome.clone());
    sim.spawn_on(0, move || async move {
        let drives = open(&media).await;
        let there = drives[0].volumes().is_empty();
        let [here, empty] = if there { [&drives[1], &drives[0]] } else { [&drives[0], &drives[1]] };
        check_arrived(here, &known, if crash == Crash::PowerCut { Loss::Unflushed } else { Loss::None })
            .await;
        assert_empty(empty).await;
        if go_on {
            evacuate(here, empty, |_| {}).await.expect("there is room");
            check_arrived(empty, &known, Loss::None).await;
            assert_empty(here).await;
            for host in known.values().filter(|host| host.volume().is_writable()) {
                host.write(1, 3).await;
                host.flush().await;
            }
        }
        *answer.lock().expect("sound") = Some(there);
    });
    assert!(sim.run_until(|| outcome.lock().expect("sound").is_some()), "the drives did not open again");
    let there = *outcome.lock().expect("sound");
    there.expect("just seen")
}

/// All of them are there and hold what they should.
async fn check_arrived(drive: &Drive, known: &BTreeMap<Uuid, Host>, loss: Loss) {
    let volumes = drive.volumes();
    assert_eq!(
        volumes.iter().map(Volume::uuid).collect::<Vec<_>>(),
        known.keys().copied().collect::<Vec<_>>()
    );
    assert_eq!(drive.snapshots().len(), 1);
    for volume in &volumes {
        let host = &known[&volume.uuid()];
        assert_eq!(*volume.attachment(), *volume.uuid().as_bytes());
        host.use_volume(volume);
        host.find_again(loss).await;
    }
    drive.settled().await;
    assert_sound(drive).await;
}
