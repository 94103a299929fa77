//! Drives that fail, each fault in its place: what it stops, and what goes on.

use std::{ops::Range, sync::mpsc};

use dataplane::{
    engine::{self, Drive, DriveOptions, EngineError, FormatOptions, Volume},
    node::{DriveState, TornPolicy, VolumeState},
    rt::{
        Buf, Disk, DiskError, Durability,
        disk::{FaultyOperation, SimFault, SimMedia},
        sim::Sim,
    },
};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const EXTENT: u64 = 64 << 10;
const EIO: DiskError = DiskError::Io(5);
/// Of a drive of 32 MiB: its journal, and what comes behind the metadata's share.
const JOURNAL: Range<u64> = 2 * EXTENT..2 * EXTENT + MIB;
const DATA: Range<u64> = 2 * EXTENT + MIB + 16 * EXTENT..u64::MAX;
const EVERYWHERE: Range<u64> = 0..u64::MAX;

fn options() -> DriveOptions {
    DriveOptions {
        write_through: None,
        torn: Some(TornPolicy::Assume4kAtomic),
        map_memory_bytes: MIB,
        fault: None,
    }
}

fn simulate<F: Future<Output = ()> + 'static>(body: impl FnOnce() -> F + Send + 'static) {
    let sim = Sim::new(1, 1);
    let (done, ended) = mpsc::channel();
    sim.spawn_on(0, move || async move {
        body().await;
        done.send(()).expect("the test waits");
    });
    assert!(sim.run_until(|| ended.try_recv().is_ok()), "the test body hangs");
}

async fn fresh() -> (SimMedia, Drive, Volume) {
    let media = SimMedia::new(32 * MIB, 512, 4096, true);
    Drive::format(&media.disk(), FormatOptions::default()).await.expect("blank");
    let drive = Drive::open(media.disk(), options()).await.expect("just formatted");
    let volume = drive.create_volume(Uuid::from_u128(1), 64 * MIB, 4096, 0).await.expect("room");
    write(&volume, 0, 1).await.expect("write");
    volume.flush().await.expect("flush");
    (media, drive, volume)
}

async fn write(volume: &Volume, offset: u64, byte: u8) -> Result<(), EngineError> {
    let mut buf = Buf::alloc(4096).await;
    buf.fill(byte);
    volume.write(offset, buf, false).await.1
}

async fn read(volume: &Volume, offset: u64) -> Result<Vec<u8>, EngineError> {
    let (buf, result) = volume.read(offset, Buf::alloc(4096).await).await;
    result.map(|()| buf.to_vec())
}

async fn assert_sound(drive: &Drive) {
    let report = engine::check(drive).await.expect("every page is readable");
    assert!(report.problems.is_empty(), "{report:#?}");
}

fn fault(of: FaultyOperation, bytes: Range<u64>, error: DiskError) -> Option<SimFault> {
    Some(SimFault { of, bytes, error })
}

#[test]
fn a_read_error_costs_that_read() {
    simulate(|| async {
        let (media, drive, volume) = fresh().await;
        media.inject(fault(FaultyOperation::Read, DATA, EIO));
        assert_eq!(read(&volume, 0).await, Err(EngineError::Disk(EIO)));
        assert_eq!(read(&volume, MIB).await, Ok(vec![0; 4096]), "nothing was ever written there");
        write(&volume, 4096, 2).await.expect("writes go on");
        media.inject(None);
        assert_eq!(read(&volume, 0).await, Ok(vec![1; 4096]));
        assert_eq!(drive.state(), DriveState::Online);
        assert_sound(&drive).await;
    });
}

/// The host is told which writes failed; a first write that did leaves zeros, and no space is lost.
#[test]
fn a_failed_write_costs_that_write() {
    simulate(|| async {
        for (error, told) in [
            (EIO, EngineError::Disk(EIO)),
            // The file system under a sparse file is full: overwrites of what has its space go on there.
            (DiskError::NoSpace, EngineError::CapacityExceeded),
        ] {
            let (media, drive, volume) = fresh().await;
            let unreserved = drive.unreserved_bytes();
            media.inject(fault(FaultyOperation::Write, DATA, error));
            for offset in [EXTENT, 0, 4096] {
                assert_eq!(write(&volume, offset, 2).await, Err(told.clone()), "at {offset}");
            }
            assert_eq!(read(&volume, EXTENT).await, Ok(vec![0; 4096]));
            assert_eq!(read(&volume, 4096).await, Ok(vec![0; 4096]));
            media.inject(None);
            assert_eq!((drive.state(), volume.state()), (DriveState::Online, VolumeState::Online));
            assert_eq!(drive.unreserved_bytes(), unreserved, "the extent it took went back");
            write(&volume, EXTENT, 3).await.expect("it works again");
            volume.flush().await.expect("flush");
            assert_sound(&drive).await;
            drive.close().await.expect("closes");
        }
    });
}

/// Journal, flush and checkpoint carry everything: without them nothing new is promised, and nothing old is lost.
#[test]
fn a_drive_whose_own_work_fails_takes_no_changes() {
    simulate(|| async {
        for (of, bytes, error, reason) in [
            (FaultyOperation::Write, JOURNAL, EIO, "journal"),
            (FaultyOperation::Write, JOURNAL, DiskError::Short, "journal"),
            (FaultyOperation::Flush, EVERYWHERE, EIO, "flush"),
            (FaultyOperation::Read, 0..4096, EIO, "checkpoint"),
        ] {
            let (media, drive, volume) = fresh().await;
            media.inject(fault(of, bytes, error));
            let written = write(&volume, EXTENT, 2).await;
            let flushed = volume.flush().await;
            if reason == "checkpoint" {
                assert_eq!(drive.grow(Some(64 * MIB)).await, Err(EngineError::ReadOnly));
            } else {
                assert!(written.is_err() || flushed.is_err(), "{reason}");
            }
            media.inject(None);
            let state = drive.state();
            assert!(matches!(&state, DriveState::ReadOnly(why) if why.contains(reason)), "{state:?}");
            assert!(matches!(volume.state(), VolumeState::ReadOnly(_)));
            assert_eq!(write(&volume, 0, 3).await, Err(EngineError::ReadOnly));
            assert_eq!(volume.flush().await, Err(EngineError::ReadOnly), "a failed flush is not repeated");
            assert_eq!(read(&volume, 0).await, Ok(vec![1; 4096]), "reads go on");
            drop((drive, volume));
            let drive = Drive::open(media.disk(), options()).await.expect("the medium works again");
            assert_eq!(drive.state(), DriveState::Online);
            assert_eq!(read(&drive.volumes()[0], 0).await, Ok(vec![1; 4096]));
            assert_sound(&drive).await;
        }
    });
}

#[test]
fn a_drive_that_has_gone_takes_its_volumes_along_and_no_other() {
    simulate(|| async {
        let (media, drive, volume) = fresh().await;
        let (_, other, other_volume) = fresh().await;
        media.inject(fault(FaultyOperation::All, EVERYWHERE, DiskError::Vanished));
        assert_eq!(read(&volume, 0).await, Err(EngineError::Offline));
        assert!(matches!(drive.state(), DriveState::Failed(_)), "{:?}", drive.state());
        assert!(matches!(volume.state(), VolumeState::Offline(_)));
        assert_eq!(write(&volume, 0, 2).await, Err(EngineError::Offline));
        assert_eq!(volume.flush().await, Err(EngineError::Offline));
        assert_eq!(volume.deallocate(0, EXTENT).await, Err(EngineError::Offline));
        assert!(drive.create_volume(Uuid::from_u128(2), MIB, 4096, 0).await.is_err());
        assert!(drive.close().await.is_err(), "it cannot be closed in order");
        write(&other_volume, EXTENT, 3).await.expect("another drive");
        other_volume.flush().await.expect("another drive");
        assert_eq!(other.state(), DriveState::Online);
    });
}

/// The drive's own work notices it, too.
#[test]
fn a_drive_that_goes_under_a_flush() {
    simulate(|| async {
        let (media, drive, volume) = fresh().await;
        media.inject(fault(FaultyOperation::Flush, EVERYWHERE, DiskError::Vanished));
        assert_eq!(volume.flush().await, Err(EngineError::Offline));
        assert!(matches!(drive.state(), DriveState::Failed(why) if why.contains("flush")));
    });
}

/// Somebody copied another state of the drive over it, or opened it from elsewhere: it is left as it is.
#[test]
fn a_drive_that_somebody_else_writes_to() {
    simulate(|| async {
        let (media, drive, volume) = fresh().await;
        let (foreign, elsewhere, _) = fresh().await;
        elsewhere.close().await.expect("closes");
        for slot in [0, EXTENT] {
            copy(&foreign.disk(), &media.disk(), slot).await;
        }
        assert_eq!(drive.grow(Some(64 * MIB)).await, Err(EngineError::ReadOnly));
        let state = drive.state();
        assert!(
            matches!(&state, DriveState::ReadOnly(why) if why.contains("something else writes")),
            "{state:?}"
        );
        assert_eq!(write(&volume, 0, 2).await, Err(EngineError::ReadOnly));
        for slot in [0, EXTENT] {
            let expected = page(&foreign.disk(), slot).await;
            assert!(page(&media.disk(), slot).await == expected, "the foreign superblocks stay");
        }
    });
}

async fn page(disk: &Disk, offset: u64) -> Vec<u8> {
    let (page, result) = disk.read(Buf::alloc(4096).await, offset).await;
    result.expect("readable");
    page.to_vec()
}

async fn copy(from: &Disk, to: &Disk, offset: u64) {
    let (page, result) = from.read(Buf::alloc(4096).await, offset).await;
    result.expect("readable");
    to.write(page, offset, Durability::Durable).await.1.expect("writable");
}

/// Damage below a deleted volume: what can be read is given back, the rest stays taken and is reported.
#[test]
fn a_damaged_volume_gives_back_what_can_be_read() {
    simulate(|| async {
        let (media, drive, hit) = fresh().await;
        // Extents of two map pages: one at the first, three at the second.
        for extent in 0..3 {
            write(&hit, 40 * MIB + extent * EXTENT, 2).await.expect("room");
        }
        drive.close().await.expect("closes");
        let disk = media.disk();
        let leaf = find_leaf(&disk).await;
        disk.write(Buf::zeroed(4096).await, leaf, Durability::Durable).await.1.expect("writable");
        let drive = Drive::open(disk, options()).await.expect("the others are sound");
        let hit = drive.volumes().pop().expect("it is there");
        assert!(matches!(read(&hit, 0).await, Err(EngineError::Corruption(_))));
        assert!(matches!(hit.state(), VolumeState::ReadOnly(_)));
        assert_eq!(read(&hit, 40 * MIB).await, Ok(vec![2; 4096]), "the other page is sound");
        assert_eq!(drive.used_bytes(), 4 * EXTENT);
        drive.delete_volume(&hit).await.expect("delete");
        drive.settled().await;
        assert_eq!(drive.used_bytes(), EXTENT, "what the damaged page led to");
        let report = engine::check(&drive).await.expect("it goes on");
        assert_eq!(report.problems.len(), 1, "{report:#?}");
        assert!(report.problems[0].contains("damaged"), "{report:#?}");
        let new = drive.create_volume(Uuid::from_u128(2), MIB, 4096, 0).await.expect("room");
        write(&new, 0, 3).await.expect("write");
        drive.close().await.expect("checkpoints go on");
        // As it was left.
        let drive = Drive::open(media.disk(), options()).await.expect("opens");
        drive.settled().await;
        assert_eq!(drive.used_bytes(), 2 * EXTENT);
        assert_eq!(read(&drive.volumes()[0], 0).await, Ok(vec![3; 4096]));
        drive.close().await.expect("closes");
    });
}

/// Byte address of the one page that looks like a leaf with one entry.
async fn find_leaf(disk: &Disk) -> u64 {
    let mut found = None;
    for address in (2 * EXTENT + MIB..disk.size_bytes()).step_by(4096) {
        let page = page(disk, address).await;
        let entry = u64::from_le_bytes(page[..8].try_into().expect("eight bytes"));
        if entry >> 32 == 1 && page[8..].iter().all(|&byte| byte == 0) {
            found = Some(address);
        }
    }
    found.expect("the leaf was written at close")
}
