//! Drives that fail, each fault in its place: what it stops, and what goes on.

use std::ops::Range;

use dataplane::{
    engine::{self, Drive, EngineError, Volume},
    node::{DriveState, VolumeState},
    rt::{
        Buf, Disk, DiskError, Durability,
        disk::{FaultyOperation, SimFault, SimMedia},
    },
};
use uuid::Uuid;

use crate::support::{BLOCK, EXTENT, MIB, assert_sound, find_leaf, fresh, options, read, simulate, write};

const EIO: DiskError = DiskError::Io(5);
/// Of a drive of 32 MiB: its journal, and what comes behind the metadata's share.
const JOURNAL: Range<u64> = 2 * EXTENT..2 * EXTENT + MIB;
const DATA: Range<u64> = 2 * EXTENT + MIB + 16 * EXTENT..u64::MAX;
const EVERYWHERE: Range<u64> = 0..u64::MAX;

/// A drive with a volume whose first block holds ones, flushed.
async fn with_volume() -> (SimMedia, Drive, Volume) {
    let media = SimMedia::new(32 * MIB, 512, 4096, true);
    let drive = fresh(&media).await;
    let volume = drive.create_volume(Uuid::from_u128(1), 64 * MIB, 4096, 0).await.expect("room");
    write(&volume, 0, BLOCK, 1).await.expect("write");
    volume.flush().await.expect("flush");
    (media, drive, volume)
}

fn fault(of: FaultyOperation, bytes: Range<u64>, error: DiskError) -> Option<SimFault> {
    Some(SimFault { of, bytes, error })
}

#[test]
fn a_read_error_costs_that_read() {
    simulate(1, || async {
        let (media, drive, volume) = with_volume().await;
        media.inject(fault(FaultyOperation::Read, DATA, EIO));
        assert_eq!(read(&volume, 0, BLOCK).await, Err(EngineError::Disk(EIO)));
        assert_eq!(read(&volume, MIB, BLOCK).await, Ok(vec![0; 4096]), "nothing was ever written there");
        write(&volume, 4096, BLOCK, 2).await.expect("writes go on");
        media.inject(None);
        assert_eq!(read(&volume, 0, BLOCK).await, Ok(vec![1; 4096]));
        assert_eq!(drive.state(), DriveState::Online);
        assert_sound(&drive).await;
    });
}

/// The host is told which writes failed; a first write that did leaves zeros, and no space is lost.
#[test]
fn a_failed_write_costs_that_write() {
    simulate(1, || async {
        for (error, told) in [
            (EIO, EngineError::Disk(EIO)),
            // The file system under a sparse file is full: overwrites of what has its space go on there.
            (DiskError::NoSpace, EngineError::CapacityExceeded),
        ] {
            let (media, drive, volume) = with_volume().await;
            let unreserved = drive.unreserved_bytes();
            media.inject(fault(FaultyOperation::Write, DATA, error));
            for offset in [EXTENT, 0, 4096] {
                assert_eq!(write(&volume, offset, BLOCK, 2).await, Err(told.clone()), "at {offset}");
            }
            assert_eq!(read(&volume, EXTENT, BLOCK).await, Ok(vec![0; 4096]));
            assert_eq!(read(&volume, 4096, BLOCK).await, Ok(vec![0; 4096]));
            media.inject(None);
            assert_eq!((drive.state(), volume.state()), (DriveState::Online, VolumeState::Online));
            assert_eq!(drive.unreserved_bytes(), unreserved, "the extent it took went back");
            write(&volume, EXTENT, BLOCK, 3).await.expect("it works again");
            volume.flush().await.expect("flush");
            assert_sound(&drive).await;
            drive.close().await.expect("closes");
        }
    });
}

/// Journal, flush and checkpoint carry everything: without them nothing new is promised, and nothing old is lost.
#[test]
fn a_drive_whose_own_work_fails_takes_no_changes() {
    simulate(1, || async {
        for (of, bytes, error, reason) in [
            (FaultyOperation::Write, JOURNAL, EIO, "journal"),
            (FaultyOperation::Write, JOURNAL, DiskError::Short, "journal"),
            (FaultyOperation::Flush, EVERYWHERE, EIO, "flush"),
            (FaultyOperation::Read, 0..4096, EIO, "checkpoint"),
        ] {
            let (media, drive, volume) = with_volume().await;
            media.inject(fault(of, bytes, error));
            let written = write(&volume, EXTENT, BLOCK, 2).await;
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
            assert_eq!(write(&volume, 0, BLOCK, 3).await, Err(EngineError::ReadOnly));
            assert_eq!(volume.flush().await, Err(EngineError::ReadOnly), "a failed flush is not repeated");
            assert_eq!(read(&volume, 0, BLOCK).await, Ok(vec![1; 4096]), "reads go on");
            drop((drive, volume));
            let drive = Drive::open(media.disk(), options()).await.expect("the medium works again");
            assert_eq!(drive.state(), DriveState::Online);
            assert_eq!(read(&drive.volumes()[0], 0, BLOCK).await, Ok(vec![1; 4096]));
            assert_sound(&drive).await;
        }
    });
}

#[test]
fn a_drive_that_has_gone_takes_its_volumes_along_and_no_other() {
    simulate(1, || async {
        let (media, drive, volume) = with_volume().await;
        let (_, other, other_volume) = with_volume().await;
        media.inject(fault(FaultyOperation::All, EVERYWHERE, DiskError::Vanished));
        assert_eq!(read(&volume, 0, BLOCK).await, Err(EngineError::Offline));
        assert!(matches!(drive.state(), DriveState::Failed(_)), "{:?}", drive.state());
        assert!(matches!(volume.state(), VolumeState::Offline(_)));
        assert_eq!(write(&volume, 0, BLOCK, 2).await, Err(EngineError::Offline));
        assert_eq!(volume.flush().await, Err(EngineError::Offline));
        assert_eq!(volume.deallocate(0, EXTENT).await, Err(EngineError::Offline));
        assert!(drive.create_volume(Uuid::from_u128(2), MIB, 4096, 0).await.is_err());
        assert!(drive.close().await.is_err(), "it cannot be closed in order");
        write(&other_volume, EXTENT, BLOCK, 3).await.expect("another drive");
        other_volume.flush().await.expect("another drive");
        assert_eq!(other.state(), DriveState::Online);
    });
}

/// The drive's own work notices it, too.
#[test]
fn a_drive_that_goes_under_a_flush() {
    simulate(1, || async {
        let (media, drive, volume) = with_volume().await;
        media.inject(fault(FaultyOperation::Flush, EVERYWHERE, DiskError::Vanished));
        assert_eq!(volume.flush().await, Err(EngineError::Offline));
        assert!(matches!(drive.state(), DriveState::Failed(why) if why.contains("flush")));
    });
}

/// Somebody copied another state of the drive over it, or opened it from elsewhere: it is left as it is.
#[test]
fn a_drive_that_somebody_else_writes_to() {
    simulate(1, || async {
        let (media, drive, volume) = with_volume().await;
        let (foreign, elsewhere, _) = with_volume().await;
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
        assert_eq!(write(&volume, 0, BLOCK, 2).await, Err(EngineError::ReadOnly));
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
    simulate(1, || async {
        let (media, drive, hit) = with_volume().await;
        // Extents of two map pages: one at the first, three at the second.
        for extent in 0..3 {
            write(&hit, 40 * MIB + extent * EXTENT, BLOCK, 2).await.expect("room");
        }
        drive.close().await.expect("closes");
        let disk = media.disk();
        let leaf = find_leaf(&disk).await;
        disk.write(Buf::zeroed(4096).await, leaf, Durability::Durable).await.1.expect("writable");
        let drive = Drive::open(disk, options()).await.expect("the others are sound");
        let hit = drive.volumes().pop().expect("it is there");
        assert!(matches!(read(&hit, 0, BLOCK).await, Err(EngineError::Corruption(_))));
        assert!(matches!(hit.state(), VolumeState::ReadOnly(_)));
        assert_eq!(read(&hit, 40 * MIB, BLOCK).await, Ok(vec![2; 4096]), "the other page is sound");
        assert_eq!(drive.used_bytes(), 4 * EXTENT);
        drive.delete_volume(&hit).await.expect("delete");
        drive.settled().await;
        assert_eq!(drive.used_bytes(), EXTENT, "what the damaged page led to");
        let report = engine::check(&drive).await.expect("it goes on");
        assert_eq!(report.problems.len(), 1, "{report:#?}");
        assert!(report.problems[0].contains("damaged"), "{report:#?}");
        let new = drive.create_volume(Uuid::from_u128(2), MIB, 4096, 0).await.expect("room");
        write(&new, 0, BLOCK, 3).await.expect("write");
        drive.close().await.expect("checkpoints go on");
        // As it was left.
        let drive = Drive::open(media.disk(), options()).await.expect("opens");
        drive.settled().await;
        assert_eq!(drive.used_bytes(), 2 * EXTENT);
        assert_eq!(read(&drive.volumes()[0], 0, BLOCK).await, Ok(vec![3; 4096]));
        drive.close().await.expect("closes");
    });
}
