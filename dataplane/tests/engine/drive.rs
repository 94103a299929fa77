//! The engine on drives that are full, foreign, cut off, damaged or dying, and on real threads.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
};

use dataplane::{
    engine::{self, Corruption, Drive, DriveOptions, EngineError, FormatOptions, OpenError, Probe, Volume},
    node::{DriveState, VolumeState},
    rt::{
        self, Buf, CoreId, Disk, Durability, Runtime,
        disk::{OpenOptions, SimMedia},
        sim::SimRng,
    },
};
use uuid::Uuid;

use crate::support::{
    EXTENT, MIB, assert_sound, find_leaf, fresh, on_a_thread, options, read, simulate, write,
};

/// E13: a full drive refuses that write only; what is reserved stays; a trim makes room.
#[test]
fn a_full_drive() {
    simulate(1, || async {
        let media = SimMedia::new(16 * MIB, 512, 4096, true);
        let drive = fresh(&media).await;
        let thick = drive.create_volume(Uuid::from_u128(1), 2 * MIB, 4096, 2 * MIB).await.expect("room");
        let thin = drive.create_volume(Uuid::from_u128(2), 64 * MIB, 4096, 0).await.expect("thin");
        let unreserved = drive.unreserved_bytes();
        for extent in 0..unreserved / EXTENT {
            write(&thin, extent * EXTENT, 4096, 1).await.expect("unreserved");
        }
        assert_eq!(drive.unreserved_bytes(), 0);
        let refused = write(&thin, 63 * MIB, 4096, 1).await;
        assert_eq!(refused, Err(EngineError::CapacityExceeded));
        write(&thin, 0, EXTENT, 2).await.expect("its extent is there");
        for extent in 0..2 * MIB / EXTENT {
            write(&thick, extent * EXTENT, 4096, 3).await.expect("reserved");
        }
        assert_eq!(read(&thin, 63 * MIB, 4096).await, Ok(vec![0; 4096]));
        let promise = drive.create_volume(Uuid::from_u128(3), MIB, 4096, MIB).await.map(|_| ());
        assert_eq!(promise, Err(EngineError::NoFreeSpace { needed_bytes: MIB, available_bytes: 0 }));
        thin.deallocate(0, EXTENT).await.expect("trim");
        write(&thin, 63 * MIB, 4096, 4).await.expect("the trimmed extent");
        assert_eq!(read(&thin, 63 * MIB, 4096).await, Ok(vec![4; 4096]));
        assert_eq!(thin.used_bytes() + thick.used_bytes(), drive.used_bytes());
        drive.delete_volume(&thick).await.expect("delete");
        drive.create_volume(Uuid::from_u128(3), 2 * MIB, 4096, 2 * MIB).await.expect("the deleted one's");
        assert_sound(&drive).await;
    });
}

#[test]
fn used_bytes_follow_writes_and_trims() {
    simulate(1, || async {
        let media = SimMedia::new(32 * MIB, 512, 4096, true);
        let drive = fresh(&media).await;
        let volume = drive.create_volume(Uuid::from_u128(1), 8 * MIB, 512, 0).await.expect("room");
        write(&volume, 512, 512, 1).await.expect("write");
        write(&volume, MIB, MIB, 2).await.expect("write");
        assert_eq!(volume.used_bytes(), EXTENT + MIB);
        volume.deallocate(MIB, MIB / 2).await.expect("trim");
        volume.write_zeroes(0, 8192, true, false).await.expect("zeroes");
        assert_eq!(volume.used_bytes(), MIB / 2);
        drive.delete_volume(&volume).await.expect("delete");
        assert_eq!(read(&volume, 0, 512).await, Err(EngineError::Offline));
        assert!(drive.volumes().is_empty());
        drive.settled().await;
        assert_eq!(drive.used_bytes(), 0);
        assert_sound(&drive).await;
    });
}

#[test]
fn requests_that_cannot_be_met() {
    simulate(1, || async {
        let media = SimMedia::new(32 * MIB, 512, 512, true);
        Drive::format(&media.disk(), FormatOptions::default()).await.expect("blank");
        let torn = DriveOptions { torn: None, ..options() };
        let drive = Drive::open(media.disk(), torn).await.expect("formatted");
        let id = Uuid::from_u128;
        let refused = |result: Result<Volume, EngineError>| match result {
            Err(EngineError::Invalid(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert!(refused(drive.create_volume(id(1), MIB, 4096, 0).await).contains("assume-4k-atomic"));
        assert!(refused(drive.create_volume(id(1), MIB, 1024, 0).await).contains("512 or 4096"));
        assert!(refused(drive.create_volume(id(1), 1000, 512, 0).await).contains("multiple"));
        assert!(refused(drive.create_volume(id(1), 257 << 40, 512, 0).await).contains("256 TiB"));
        let volume = drive.create_volume(id(1), MIB, 512, 0).await.expect("fine");
        assert!(!volume.atomic_4k());
        let again = drive.create_volume(id(1), MIB, 512, 0).await.map(|_| ());
        assert_eq!(again, Err(EngineError::AlreadyExists));
        assert_eq!(read(&volume, MIB, 512).await, Err(EngineError::OutOfRange));
        assert_eq!(write(&volume, MIB - 512, 1024, 1).await, Err(EngineError::OutOfRange));
        assert!(matches!(write(&volume, 256, 512, 1).await, Err(EngineError::Invalid(_))));
        assert!(matches!(drive.expand_volume(&volume, MIB / 2, 0).await, Err(EngineError::Invalid(_))));
    });
}

#[test]
fn what_is_no_drive_is_refused_and_left_alone() {
    simulate(1, || async {
        let media = SimMedia::new(16 * MIB, 512, 4096, true);
        let disk = media.disk();
        assert_eq!(Drive::probe(&disk).await.expect("readable"), Probe::Blank);
        assert!(matches!(Drive::open(disk.clone(), options()).await, Err(OpenError::Blank)));
        let mut sector = Buf::zeroed(4096).await;
        sector[1080..1082].copy_from_slice(&[0x53, 0xEF]);
        let (_, result) = disk.write(sector, 0, Durability::Durable).await;
        result.expect("writable");
        for result in [
            Drive::open(disk.clone(), options()).await.map(|_| ()),
            Drive::format(&disk, FormatOptions::default()).await,
        ] {
            assert!(matches!(result, Err(OpenError::Foreign(what)) if what.contains("ext4")));
        }
        let (sector, _) = disk.read(Buf::alloc(4096).await, 0).await;
        assert_eq!(sector[1080..1082], [0x53, 0xEF], "nothing was overwritten");
        Drive::format(&disk, FormatOptions { overwrite: true }).await.expect("asked for");
        assert!(
            matches!(Drive::probe(&disk).await, Ok(Probe::Ours { size_bytes, .. }) if size_bytes == 16 * MIB)
        );
        let again = Drive::format(&disk, FormatOptions::default()).await;
        assert!(matches!(again, Err(OpenError::Foreign(_))), "a drive of ours is not overwritten either");
        let small = SimMedia::new(MIB, 512, 4096, true);
        let too_small = Drive::format(&small.disk(), FormatOptions::default()).await;
        assert!(matches!(too_small, Err(OpenError::TooSmall { .. })));
    });
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("basalt-engine-{name}-{}", std::process::id()))
}

fn open_file(path: &Path, create_bytes: Option<u64>) -> Disk {
    Disk::open(path, OpenOptions { create_bytes, ..OpenOptions::default() }).expect("a file")
}

#[test]
fn a_file_that_was_cut_off() {
    let path = temporary("cut");
    let file = path.clone();
    on_a_thread(move || async move {
        let disk = open_file(&file, Some(16 * MIB));
        Drive::format(&disk, FormatOptions::default()).await.expect("blank");
        let drive = Drive::open(disk, options()).await.expect("formatted");
        drive.create_volume(Uuid::from_u128(1), MIB, 4096, 0).await.expect("room");
        drive.close().await.expect("closes");
    });
    std::fs::OpenOptions::new().write(true).open(&path).expect("there").set_len(12 * MIB).expect("cut");
    let file = path.clone();
    let outcome =
        on_a_thread(move || async move { Drive::open(open_file(&file, None), options()).await.map(|_| ()) });
    std::fs::remove_file(path).expect("still there");
    let expected = (16 * MIB, 12 * MIB);
    match outcome {
        Err(OpenError::Truncated { formatted_bytes, found_bytes }) => {
            assert_eq!((formatted_bytes, found_bytes), expected);
        }
        other => panic!("{other:?}"),
    }
}

/// E5, E9: damage costs the volume that it hits.
#[test]
fn a_damaged_map_page_stops_its_volume_only() {
    simulate(1, || async {
        let media = SimMedia::new(32 * MIB, 512, 4096, true);
        let drive = fresh(&media).await;
        let hit = drive.create_volume(Uuid::from_u128(1), MIB, 4096, 0).await.expect("room");
        write(&hit, 0, 4096, 1).await.expect("write");
        drive.close().await.expect("closes");
        // The first page of the first metadata extent is the only leaf's.
        let disk = media.disk();
        let leaf = find_leaf(&disk).await;
        let (_, result) = disk.write(Buf::zeroed(4096).await, leaf, Durability::Durable).await;
        result.expect("writable");
        let drive = Drive::open(disk, options()).await.expect("the others are sound");
        let hit = drive.volumes().pop().expect("it is there");
        let sound = drive.create_volume(Uuid::from_u128(2), MIB, 4096, 0).await.expect("room");
        let error = read(&hit, 0, 4096).await.expect_err("never a silent zero");
        assert!(matches!(error, EngineError::Corruption(Corruption::Page { .. })));
        assert!(matches!(hit.state(), VolumeState::ReadOnly(_)));
        assert_eq!(write(&hit, 0, 4096, 1).await, Err(EngineError::ReadOnly));
        write(&sound, 0, 4096, 1).await.expect("not its damage");
        assert_eq!(drive.state(), DriveState::Online);
        drive.close().await.expect("checkpoints go on");
    });
}

/// Two volumes with a flushed write each, the second one's record in the last group; nothing was closed.
async fn two_volumes(media: &SimMedia) {
    let drive = fresh(media).await;
    for id in [1, 2] {
        let volume = drive.create_volume(Uuid::from_u128(id), MIB, 4096, 0).await.expect("room");
        write(&volume, 0, 4096, id as u8).await.expect("write");
        volume.flush().await.expect("flush");
    }
}

/// Overwrites `range` of the newest journal group.
async fn damage_last_group(disk: &Disk, range: std::ops::Range<usize>) {
    let mut last = None;
    for address in (2 * EXTENT..2 * EXTENT + MIB).step_by(4096) {
        let (page, _) = disk.read(Buf::alloc(4096).await, address).await;
        if page.starts_with(b"bsltGRUP") {
            last = Some((address, page));
        }
    }
    let (address, mut page) = last.expect("groups were written");
    page[range].fill(0xA5);
    disk.write(page, address, Durability::Durable).await.1.expect("writable");
}

/// E5: a lost section below the mark stops the volume whose records it held.
#[test]
fn a_damaged_journal_section_stops_its_volume_only() {
    simulate(1, || async {
        let media = SimMedia::new(32 * MIB, 512, 4096, true);
        two_volumes(&media).await;
        damage_last_group(&media.disk(), 160..161).await;
        let drive = Drive::open(media.disk(), options()).await.expect("the other is sound");
        let volumes = drive.volumes();
        assert_eq!(volumes[0].state(), VolumeState::Online);
        assert_eq!(read(&volumes[0], 0, 4096).await, Ok(vec![1; 4096]));
        assert!(matches!(volumes[1].state(), VolumeState::ReadOnly(_)), "{:?}", volumes[1].state());
        write(&volumes[0], 4096, 4096, 3).await.expect("not its damage");
    });
}

/// E5: with one directory gone the group still counts; with both, the drive takes no writes.
#[test]
fn damaged_journal_directories() {
    simulate(1, || async {
        let media = SimMedia::new(32 * MIB, 512, 4096, true);
        two_volumes(&media).await;
        damage_last_group(&media.disk(), 8..64).await;
        let drive = Drive::open(media.disk(), options()).await.expect("the other directory is there");
        assert_eq!(read(&drive.volumes()[1], 0, 4096).await, Ok(vec![2; 4096]));
        let media = SimMedia::new(32 * MIB, 512, 4096, true);
        two_volumes(&media).await;
        damage_last_group(&media.disk(), 8..4096).await;
        let drive = Drive::open(media.disk(), options()).await.expect("it can be read");
        assert!(matches!(drive.state(), DriveState::ReadOnly(_)));
        let volumes = drive.volumes();
        assert_eq!(read(&volumes[0], 0, 4096).await, Ok(vec![1; 4096]));
        assert_eq!(write(&volumes[0], 0, 4096, 9).await, Err(EngineError::ReadOnly));
    });
}

/// E13: reserves on a sparse file have their space from the start, thin volumes only what they wrote, and a trim
/// gives it back.
#[test]
fn reserves_on_a_sparse_file() {
    use std::os::unix::fs::MetadataExt;
    let path = temporary("sparse");
    let file = path.clone();
    on_a_thread(move || async move {
        let allocated = || std::fs::metadata(&file).expect("there").blocks() * 512;
        let disk = open_file(&file, Some(256 * MIB));
        Drive::format(&disk, FormatOptions::default()).await.expect("blank");
        let drive = Drive::open(disk, options()).await.expect("formatted");
        let thin = drive.create_volume(Uuid::from_u128(1), 64 * MIB, 4096, 0).await.expect("thin");
        let empty = allocated();
        write(&thin, 0, MIB, 1).await.expect("write");
        assert!((empty + MIB..empty + 4 * MIB).contains(&allocated()), "{empty} then {}", allocated());
        thin.deallocate(0, MIB).await.expect("trim");
        thin.flush().await.expect("flush");
        while allocated() > empty + MIB / 2 {
            rt::sleep(std::time::Duration::from_millis(1)).await;
        }
        drive.create_volume(Uuid::from_u128(2), 64 * MIB, 4096, 64 * MIB).await.expect("thick");
        assert!(allocated() >= empty + 63 * MIB, "{empty} then {}", allocated());
        drive.close().await.expect("closes");
    });
    std::fs::remove_file(path).expect("still there");
}

/// E4: a failed flush is never repeated; reads go on.
#[test]
fn a_dying_drive_takes_no_more_writes() {
    simulate(1, || async {
        let media = SimMedia::new(32 * MIB, 512, 4096, true);
        let drive = fresh(&media).await;
        let volume = drive.create_volume(Uuid::from_u128(1), MIB, 4096, 0).await.expect("room");
        write(&volume, 0, 4096, 7).await.expect("write");
        media.fail_after(Some(0));
        assert!(volume.flush().await.is_err());
        media.fail_after(None);
        assert!(matches!(drive.state(), DriveState::ReadOnly(_)));
        assert_eq!(volume.flush().await, Err(EngineError::ReadOnly));
        assert_eq!(write(&volume, 0, 4096, 8).await, Err(EngineError::ReadOnly));
        assert_eq!(read(&volume, 0, 4096).await, Ok(vec![7; 4096]));
    });
}

/// Real threads on the same blocks: every block always holds one writer's bytes, whole.
#[test]
fn threads_on_the_same_blocks() {
    const CORES: usize = 3;
    const BLOCKS: u64 = 96;
    // Groups of four blocks, 40 MiB apart: more map pages than frames.
    let offset_of = |block: u64| block / 4 * 40 * MIB + block % 4 * 4096;
    let runtime = Runtime::start(CORES).expect("io_uring");
    let handle = runtime.handle();
    let (opened, open) = mpsc::channel();
    handle.spawn_on(CoreId(0), move || async move {
        let disk = Disk::memory(64 * MIB).expect("memory");
        Drive::format(&disk, FormatOptions::default()).await.expect("blank");
        let small = DriveOptions { map_memory_bytes: 16 * 4096, ..options() };
        let drive = Drive::open(disk, small).await.expect("formatted");
        let volume = drive.create_volume(Uuid::from_u128(1), 4096 * MIB, 4096, 0).await.expect("thin");
        opened.send((drive, volume)).expect("the test waits");
    });
    let (drive, volume) = open.recv().expect("the core lives");
    let (done, ended) = mpsc::channel();
    for task in 0..CORES * 4 {
        let (volume, done) = (volume.clone(), done.clone());
        handle.spawn_on(CoreId((task % CORES) as u16), move || async move {
            let mut rng = SimRng::new(task as u64);
            for round in 0..400u64 {
                let offset = offset_of(rng.below(BLOCKS));
                match rng.below(8) {
                    0 => volume.deallocate(offset, 4096).await.expect("trim"),
                    1 => volume.flush().await.expect("flush"),
                    2..5 => {
                        let byte = (task as u64 * 7 + round) as u8 | 1;
                        write(&volume, offset, 8192, byte).await.expect("write");
                    }
                    // What it sees of a write under way is the medium's business, and memory mixes.
                    _ => drop(read(&volume, offset, 4096).await.expect("read")),
                }
            }
            done.send(()).expect("the test waits");
        });
    }
    drop(done);
    assert_eq!(ended.iter().count(), CORES * 4, "a task failed");
    let (checked, report) = mpsc::channel();
    handle.spawn_on(CoreId(0), move || async move {
        for pick in 0..BLOCKS {
            let bytes = read(&volume, offset_of(pick), 4096).await.expect("read");
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "block {pick} has two writers' bytes");
        }
        let report = engine::check(&drive).await.expect("every page is readable");
        drive.close().await.expect("closes");
        checked.send(report).expect("the test waits");
    });
    let report = report.recv().expect("the core lives");
    assert!(report.problems.is_empty(), "{report:#?}");
}
