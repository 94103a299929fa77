//! Drives that grow while they serve, and whose machine ends meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use dataplane::{
    engine::{Drive, EngineError, FormatOptions, Volume},
    rt::{
        CoreId, Disk, Runtime,
        disk::{OpenOptions, SimMedia},
        sim::{Sim, SimRng},
    },
};
use uuid::Uuid;

use crate::support::{BLOCK, EXTENT, MIB, assert_sound, fresh, options, read, simulate, write};

const BEFORE: u64 = 16 * MIB;
const AFTER: u64 = 48 * MIB;

/// Writes to new extents until the drive refuses; how many it took.
async fn fill(volume: &Volume, first: u64) -> u64 {
    let mut count = 0;
    loop {
        match write(volume, (first + count) * EXTENT, BLOCK, (first + count) as u8).await {
            Ok(()) => count += 1,
            Err(error) => {
                assert_eq!(error, EngineError::CapacityExceeded);
                return count;
            }
        }
    }
}

#[test]
fn a_full_drive_goes_on_when_it_has_grown() {
    simulate(1, || async {
        let media = SimMedia::new(BEFORE, 512, 4096, true);
        let drive = fresh(&media).await;
        let volume = drive.create_volume(Uuid::from_u128(1), 128 * MIB, 4096, 0).await.expect("thin");
        let (capacity, old) = (drive.capacity_bytes(), fill(&volume, 0).await);
        assert_eq!(drive.unreserved_bytes(), 0);
        assert_eq!(drive.grow(Some(AFTER)).await, Ok(AFTER));
        assert_eq!(drive.capacity_bytes(), capacity + AFTER - BEFORE);
        let new = fill(&volume, old).await;
        assert_eq!(drive.unreserved_bytes(), 0);
        assert_eq!((old + new) * EXTENT, drive.used_bytes());
        assert_sound(&drive).await;
        drive.close().await.expect("closes");
        let drive = Drive::open(media.disk(), options()).await.expect("as it was left");
        assert_eq!(drive.size_bytes(), AFTER);
        let volume = drive.volumes().pop().expect("it is there");
        for extent in 0..old + new {
            assert_eq!(
                read(&volume, extent * EXTENT, BLOCK).await,
                Ok(vec![extent as u8; 4096]),
                "extent {extent}"
            );
        }
        assert_sound(&drive).await;
    });
}

/// Thick space on what was gained is promised as everywhere.
#[test]
fn reserves_reach_into_what_was_gained() {
    simulate(2, || async {
        let media = SimMedia::new(BEFORE, 512, 4096, true);
        let drive = fresh(&media).await;
        let all = drive.unreserved_bytes();
        let thick = drive.create_volume(Uuid::from_u128(1), all, 4096, all).await.expect("all of it");
        media.grow_to(AFTER);
        assert_eq!(drive.grow(None).await, Ok(AFTER), "as large as the medium was found");
        let gained = drive.unreserved_bytes();
        assert_eq!(gained, AFTER - BEFORE);
        let second = drive.create_volume(Uuid::from_u128(2), gained, 4096, gained).await.expect("the rest");
        for extent in 0..all / EXTENT {
            write(&thick, extent * EXTENT, BLOCK, 1).await.expect("reserved");
        }
        for extent in 0..gained / EXTENT {
            write(&second, extent * EXTENT, BLOCK, 2).await.expect("reserved");
        }
        assert_sound(&drive).await;
    });
}

#[test]
fn growth_that_cannot_be() {
    simulate(3, || async {
        let media = SimMedia::new(BEFORE, 512, 4096, true);
        let drive = fresh(&media).await;
        let refused = |result: Result<u64, EngineError>| match result {
            Err(EngineError::Invalid(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert!(refused(drive.grow(Some(BEFORE - MIB)).await).contains("does not shrink"));
        assert!(refused(drive.grow(Some(257 << 40)).await).contains("too many"));
        assert_eq!(drive.grow(None).await, Ok(BEFORE), "nothing was gained");
        assert_eq!(drive.grow(Some(BEFORE)).await, Ok(BEFORE), "it has that size");
        let memory = Disk::memory(BEFORE).expect("memory");
        Drive::format(&memory, FormatOptions::default()).await.expect("blank");
        let fixed = Drive::open(memory, options()).await.expect("formatted");
        assert!(refused(fixed.grow(Some(AFTER)).await).contains("cannot be made larger"));
        assert_eq!(fixed.size_bytes(), BEFORE);
    });
}

/// Whenever the machine ends: the old size or the new one, every flushed byte, and it grows when asked again.
#[test]
fn a_machine_that_ends_while_a_drive_grows() {
    for seed in 0..8 {
        let media = SimMedia::new(BEFORE, 512, 4096, true);
        let sim = Sim::new(seed, 1);
        let (begun, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let flags = (media.clone(), begun.clone(), ended.clone());
        sim.spawn_on(0, move || async move {
            let (media, begun, ended) = flags;
            let drive = fresh(&media).await;
            let volume = drive.create_volume(Uuid::from_u128(1), 128 * MIB, 4096, 0).await.expect("thin");
            let old = fill(&volume, 0).await;
            volume.flush().await.expect("flush");
            begun.store(true, Ordering::Relaxed);
            drive.grow(Some(AFTER)).await.expect("grows");
            // First writes into what was gained, flushed by a power cut only in part.
            for extent in old..old + 4 {
                write(&volume, extent * EXTENT, BLOCK, extent as u8).await.expect("room");
            }
            ended.store(true, Ordering::Relaxed);
        });
        let (mut points, mut sizes) = (0, Vec::new());
        let mut changes = 0;
        while !ended.load(Ordering::Relaxed) {
            let before = media.fork();
            assert!(sim.step(), "it hangs");
            if begun.load(Ordering::Relaxed) && media.changes() > changes {
                for (copy, cut) in [(&before, false), (&before, true), (&media, true)] {
                    sizes.push(survive(&copy.fork(), cut, seed ^ changes));
                }
                points += 1;
            }
            changes = media.changes();
        }
        assert!(points > 4, "only {points} crash points");
        sizes.dedup();
        assert!(sizes.contains(&BEFORE) && sizes.contains(&AFTER), "{sizes:?}");
    }
}

/// Crashes a medium and looks what is there; the drive's size then.
fn survive(media: &SimMedia, power_cut: bool, seed: u64) -> u64 {
    let mut rng = SimRng::new(seed);
    if power_cut {
        media.power_cut(&mut rng);
    } else {
        media.process_died(&mut rng);
    }
    let (found, size) = mpsc::channel();
    let media = media.clone();
    simulate(seed, move || async move {
        let drive = Drive::open(media.disk(), options()).await.expect("recovers");
        found.send(drive.size_bytes()).expect("the test waits");
        assert_sound(&drive).await;
        let volume = drive.volumes().pop().expect("it is there");
        for extent in 0..8 {
            assert_eq!(read(&volume, extent * EXTENT, BLOCK).await, Ok(vec![extent as u8; 4096]));
        }
        drive.grow(Some(AFTER)).await.expect("again");
        write(&volume, 100 * MIB, BLOCK, 9).await.expect("there is room now");
        volume.flush().await.expect("flush");
        assert_sound(&drive).await;
    });
    size.recv().expect("it was opened")
}

#[test]
fn a_file_is_extended() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("drive");
    let runtime = Runtime::start(1).expect("io_uring");
    let (done, ended) = mpsc::channel();
    let file = path.clone();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        let options_of_file = OpenOptions { create_bytes: Some(BEFORE), ..OpenOptions::default() };
        let disk = Disk::open(&file, options_of_file).expect("a file");
        Drive::format(&disk, FormatOptions::default()).await.expect("blank");
        let drive = Drive::open(disk, options()).await.expect("formatted");
        drive.grow(Some(AFTER)).await.expect("grows");
        let volume = drive.create_volume(Uuid::from_u128(1), 128 * MIB, 4096, 0).await.expect("thin");
        let written = fill(&volume, 0).await;
        assert!(written * EXTENT > BEFORE);
        drive.close().await.expect("closes");
        done.send(written).expect("the test waits");
    });
    ended.recv().expect("the core lives");
    assert_eq!(std::fs::metadata(&path).expect("there").len(), AFTER);
}
