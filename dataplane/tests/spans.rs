//! A volume over two drives, and snapshots of it at one instant: crashed at every write of either drive.
//!
//! One writer writes 1, 2, 3, … first to the first part, then to the second. So at any instant the second part is at
//! most one behind, and never ahead: a snapshot that shows anything else was not taken at one instant.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dataplane::{
    engine::{self, Drive, DriveOptions, EngineError, FormatOptions, Part, Seat, Snapshot, Volume},
    rt::{
        self, Buf, CoreId,
        disk::SimMedia,
        sim::{Sim, SimRng},
    },
};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;
const VOLUME: Uuid = Uuid::from_u128(1);
const SNAPSHOTS: Range<u128> = 10..14;
const DRIVES: usize = 2;

/// What the machine has done so far; outlives it.
#[derive(Debug, Default, Clone)]
struct Progress {
    /// Both drives are formatted; that these survive is another test's.
    formatted: bool,
    volume_made: bool,
    /// Answered ones, and the number that was answered last before they were asked for.
    snapshots: Vec<(Uuid, u64)>,
    /// The last number that was written to both parts and flushed.
    flushed: u64,
    /// The number that is being written.
    writing: u64,
    all_taken: bool,
    finished: bool,
}

type Shared = Arc<Mutex<Progress>>;

fn lock(progress: &Shared) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn open(media: &SimMedia) -> Drive {
    let options = DriveOptions { write_through: None, torn: None, map_memory_bytes: MIB, fault: None };
    Drive::open(media.disk(), options).await.expect("formatted")
}

fn new_media() -> [SimMedia; DRIVES] {
    [(); DRIVES].map(|()| SimMedia::new(64 * MIB, 512, 4096, true))
}

/// Opens both drives, each on a core of its own.
async fn open_all(media: [SimMedia; DRIVES], format: bool) -> [Drive; DRIVES] {
    let mut drives = Vec::new();
    for (core, media) in (0..).zip(media) {
        drives.push(
            rt::call_on(CoreId(core), move || async move {
                if format {
                    Drive::format(&media.disk(), FormatOptions::default()).await.expect("blank");
                }
                open(&media).await
            })
            .await,
        );
    }
    drives.try_into().expect("two")
}

/// The second part first: until the first one is there, it counts for nothing.
async fn make_volume(drives: &[Drive; DRIVES]) -> [Volume; DRIVES] {
    let mut parts = Vec::new();
    for index in (0..2).rev() {
        let (drive, part) = (drives[usize::from(index)].clone(), Part { uuid: VOLUME, index, of: 2 });
        let made = rt::call_on(CoreId(u16::from(index)), move || async move {
            drive.create_volume(part, MIB, 4096, MIB).await
        });
        parts.insert(0, made.await.expect("room"));
    }
    parts.try_into().expect("two")
}

async fn snapshot(
    drives: &[Drive; DRIVES],
    volume: &[Volume; DRIVES],
    uuid: Uuid,
) -> Vec<Result<Vec<Snapshot>, EngineError>> {
    let parties = drives.iter().zip(volume).zip(Seat::for_parties(DRIVES)).enumerate();
    let calls = parties.map(|(index, ((drive, volume), seat))| {
        let (drive, volume) = (drive.clone(), volume.clone());
        let part = Part { uuid, index: index as u8, of: 2 };
        Box::pin(rt::call_on(CoreId(index as u16), move || async move {
            // The drives are not equally quick.
            for _ in 0..rt::random_u64() % 200 {
                rt::yield_now().await;
            }
            drive.create_snapshots_together(&[(volume, part)], seat).await
        }))
    });
    rt::join_all(calls.collect()).await
}

/// Writes a number to both parts, the first one first.
async fn write_number(volume: &[Volume; DRIVES], number: u64) {
    for part in volume {
        let mut buf = Buf::zeroed(BLOCK as usize).await;
        buf[..8].copy_from_slice(&number.to_le_bytes());
        // Each number to one of a few blocks as well, so that maps change all the time.
        part.write(BLOCK + number % 40 * BLOCK, Buf::zeroed(BLOCK as usize).await, false)
            .await
            .1
            .expect("write");
        part.write(0, buf, false).await.1.expect("write");
    }
}

async fn read_number(volume: &Volume) -> u64 {
    let (buf, result) = volume.read(0, Buf::alloc(BLOCK as usize).await).await;
    result.expect("read");
    u64::from_le_bytes(buf[..8].try_into().expect("eight bytes"))
}

/// Until all snapshots are taken.
async fn write_on(volume: [Volume; DRIVES], progress: Shared) {
    for number in 1.. {
        if lock(&progress).all_taken {
            break;
        }
        lock(&progress).writing = number;
        write_number(&volume, number).await;
        if number % 3 == 0 {
            for part in &volume {
                part.flush().await.expect("flush");
            }
            lock(&progress).flushed = number;
        }
    }
    lock(&progress).finished = true;
}

/// Makes the volume, writes on and on, takes snapshots meanwhile, and deletes one.
async fn work(media: [SimMedia; DRIVES], progress: Shared) {
    let drives = open_all(media, true).await;
    lock(&progress).formatted = true;
    let volume = make_volume(&drives).await;
    lock(&progress).volume_made = true;
    let (written, shared) = (volume.clone(), progress.clone());
    rt::spawn_on(CoreId(1), move || write_on(written, shared));
    let mut taken = Vec::new();
    for uuid in SNAPSHOTS.map(Uuid::from_u128) {
        let before = lock(&progress).writing.saturating_sub(1);
        let made = snapshot(&drives, &volume, uuid).await;
        let made: Vec<Snapshot> = made.into_iter().flat_map(|made| made.expect("room")).collect();
        lock(&progress).snapshots.push((uuid, before));
        taken.push(made);
    }
    lock(&progress).all_taken = true;
    // The oldest goes; whoever deletes takes the first part first.
    let oldest = taken.remove(0);
    lock(&progress).snapshots.retain(|(uuid, _)| *uuid != oldest[0].uuid());
    for (index, (drive, part)) in drives.iter().cloned().zip(oldest).enumerate() {
        rt::call_on(CoreId(index as u16), move || async move { drive.delete_snapshot(&part).await })
            .await
            .expect("delete");
    }
}

/// What is there after the crash is what may be there.
async fn inspect(media: [SimMedia; DRIVES], before: Progress, power_cut: bool) {
    let drives = open_all(media, false).await;
    let volumes: Vec<Option<Volume>> = drives
        .iter()
        .map(|drive| drive.volumes().into_iter().find(|volume| volume.uuid() == VOLUME))
        .collect();
    assert!(volumes[1].is_some() || volumes[0].is_none(), "the first part counts parts that are not there");
    if let [Some(first), Some(second)] = volumes.as_slice() {
        assert_eq!((first.part(), first.parts(), second.part()), (0, 2, 1));
        let (a, b) = (read_number(first).await, read_number(second).await);
        let least = if power_cut { before.flushed } else { before.writing.saturating_sub(1) };
        assert!(
            (least..=before.writing).contains(&a) && (least..=before.writing).contains(&b),
            "{a} {b} {before:?}"
        );
    } else {
        assert!(!before.volume_made, "the volume is gone");
    }
    for uuid in SNAPSHOTS.map(Uuid::from_u128) {
        inspect_snapshot(&drives, uuid, &before).await;
    }
    for (core, drive) in (0..).zip(drives) {
        let report = rt::call_on(CoreId(core), move || async move { engine::check(&drive).await }).await;
        let problems = report.expect("readable").problems;
        assert!(problems.is_empty(), "{problems:?}");
    }
}

/// A snapshot that was answered is whole, and of one instant. Of another one there may be parts, which go away.
async fn inspect_snapshot(drives: &[Drive; DRIVES], uuid: Uuid, before: &Progress) {
    let mut numbers = Vec::new();
    for (core, drive) in (0..).zip(drives) {
        let drive = drive.clone();
        let number = rt::call_on(CoreId(core), move || async move {
            let part = drive.snapshots().into_iter().find(|snapshot| snapshot.uuid() == uuid)?;
            let name = Uuid::from_u128(uuid.as_u128() + 100);
            let view = drive.create_snapshot_volume(&part, name, false, MIB, 0).await.expect("a view");
            let number = read_number(&view).await;
            drive.delete_volume(&view).await.expect("delete");
            Some(number)
        });
        numbers.push(number.await);
    }
    let answered = before.snapshots.iter().find(|(answered, _)| *answered == uuid);
    match (numbers.as_slice(), answered) {
        ([Some(a), Some(b)], answered) => {
            assert!(*a == *b || *a == *b + 1, "not of one instant: {a} and {b}");
            assert!(
                answered.is_none_or(|(_, least)| b >= least),
                "{b} is older than what was written before"
            );
        }
        (_, Some(_)) => panic!("an answered snapshot is not whole: {numbers:?}"),
        (_, None) => {
            for (core, drive) in (0..).zip(drives) {
                let drive = drive.clone();
                rt::call_on(CoreId(core), move || async move {
                    for part in drive.snapshots().into_iter().filter(|snapshot| snapshot.uuid() == uuid) {
                        drive.delete_snapshot(&part).await.expect("delete");
                    }
                })
                .await;
            }
        }
    }
}

fn crash(media: &[SimMedia; DRIVES], progress: &Progress, seed: u64, power_cut: bool) {
    let mut rng = SimRng::new(seed);
    let forks = media.each_ref().map(SimMedia::fork);
    for medium in &forks {
        match power_cut {
            true => medium.power_cut(&mut rng),
            false => medium.process_died(&mut rng),
        }
    }
    let sim = Sim::new(seed, DRIVES);
    let ended = Shared::default();
    let (before, after) = (progress.clone(), ended.clone());
    sim.spawn_on(0, move || async move {
        inspect(forks, before, power_cut).await;
        lock(&after).finished = true;
    });
    assert!(sim.run_until(|| lock(&ended).finished), "recovery hangs");
}

fn crash_everywhere(seed: u64) -> u64 {
    let media = new_media();
    let progress = Shared::default();
    let sim = Sim::new(seed, DRIVES);
    let (on, shared) = (media.clone(), progress.clone());
    sim.spawn_on(0, move || work(on, shared));
    let changes = || media.iter().map(SimMedia::changes).sum::<u64>();
    let (mut last, mut points) = (0, 0);
    while sim.step() {
        let is_new = changes() > last && lock(&progress).formatted;
        last = changes();
        if !is_new {
            continue;
        }
        points += 1;
        let now = lock(&progress).clone();
        for power_cut in [false, true] {
            crash(&media, &now, seed << 32 | points, power_cut);
        }
    }
    assert!(lock(&progress).finished, "the work hangs");
    points
}

#[test]
fn every_crash_leaves_volumes_and_snapshots_whole() {
    for seed in 0..2 {
        let points = crash_everywhere(seed);
        println!("seed {seed}: {points} points survived");
        assert!(points > 40, "{points}");
    }
}

/// Without a crash, but with many interleavings.
#[test]
fn snapshots_over_drives_are_of_one_instant() {
    for seed in 0..150 {
        let (media, progress) = (new_media(), Shared::default());
        let sim = Sim::new(seed, DRIVES);
        let (on, shared) = (media.clone(), progress.clone());
        sim.spawn_on(0, move || work(on, shared));
        assert!(sim.run_until(|| lock(&progress).finished), "the work of seed {seed} hangs");
        sim.run_until_idle();
        let now = lock(&progress).clone();
        crash(&media, &now, seed, false);
    }
}

/// One drive cannot: then none does, and nobody is held back.
#[test]
fn all_drives_or_none() {
    let sim = Sim::new(1, DRIVES);
    let ended = Shared::default();
    let after = ended.clone();
    let media = new_media();
    sim.spawn_on(0, move || async move {
        let drives = open_all(media, true).await;
        let volume = make_volume(&drives).await;
        write_number(&volume, 1).await;
        let name = Uuid::from_u128(10);
        // Its name is taken on the second drive.
        drives[1].create_volume(Part { uuid: name, index: 1, of: 0 }, MIB, 4096, 0).await.expect("room");
        let answers = snapshot(&drives, &volume, name).await;
        assert_eq!(answers[0].as_ref().err(), Some(&EngineError::Abandoned));
        assert_eq!(answers[1].as_ref().err(), Some(&EngineError::AlreadyExists));
        assert!(drives.iter().all(|drive| drive.snapshots().is_empty()));
        write_number(&volume, 2).await;
        let answers = snapshot(&drives, &volume, Uuid::from_u128(11)).await;
        assert!(answers.iter().all(Result::is_ok));
        lock(&after).finished = true;
    });
    assert!(sim.run_until(|| lock(&ended).finished), "somebody is held back for good");
}
