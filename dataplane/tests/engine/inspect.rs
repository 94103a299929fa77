//! Drives that are looked into from outside.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use dataplane::{
    engine::{Drive, FormatOptions, MapRange},
    offline::{self, OfflineError},
    rt::{
        Disk,
        disk::{OpenError, OpenOptions},
    },
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{EXTENT, MIB, on_a_thread, options, write};

const VOLUME: Uuid = Uuid::from_u128(1);
const SNAPSHOT: Uuid = Uuid::from_u128(2);

/// A volume with a snapshot, written to before and after; the process died, so part of it is in the journal only.
fn written_drive() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("drive");
    let file = path.clone();
    on_a_thread(move || async move {
        let disk = Disk::open(&file, OpenOptions { create_bytes: Some(32 * MIB), ..OpenOptions::default() });
        let disk = disk.expect("a file");
        Drive::format(&disk, FormatOptions::default()).await.expect("blank");
        let drive = Drive::open(disk.clone(), options()).await.expect("formatted");
        let volume = drive.create_volume(VOLUME, 8 * MIB, 4096, 0).await.expect("room");
        write(&volume, 0, 8192, 7).await.expect("room");
        drive.create_snapshots(&[(volume, SNAPSHOT)]).await.expect("a snapshot");
        drive.close().await.expect("closes");
        let drive = Drive::open(disk, options()).await.expect("closed in order");
        let volume = drive.volumes().remove(0);
        write(&volume, 4096, 4096, 7).await.expect("room");
        volume.write_zeroes(MIB, EXTENT, true, false).await.expect("zeroes");
        volume.flush().await.expect("flush");
    });
    (directory, path)
}

#[test]
fn a_check_and_a_dump_change_nothing() {
    let (_directory, path) = written_drive();
    let before = fs::read(&path).expect("readable");
    let report = offline::check(&path).expect("readable");
    assert!(report.problems.is_empty() && report.exact, "{report:#?}");
    assert_eq!((report.layers, report.owned_extents), (2, 2));

    let (dump, map) = offline::dump(&path, Some(VOLUME)).expect("readable");
    assert_eq!(dump.superblocks.len(), 2);
    assert!(dump.flush_marks.iter().flatten().max() >= dump.groups.last().map(|group| &group.sequence));
    assert!(!dump.groups.is_empty() && dump.journal_problems.is_empty());
    let head = dump.volumes.iter().find(|volume| volume.uuid == VOLUME).expect("the volume").head;
    let below = dump.volumes.iter().find(|volume| volume.uuid == SNAPSHOT).expect("the snapshot");
    assert_eq!((below.kind, below.size_bytes), ("snapshot", 8 * MIB));
    assert_eq!(
        dump.layers.iter().find(|layer| layer.layer == head).expect("its layer").parent,
        Some(below.head)
    );
    let shape: Vec<_> = map
        .iter()
        .map(|range| {
            (range.offset_bytes, range.length_bytes, range.layer, range.drive_offset_bytes.is_some())
        })
        .collect();
    let expected = [(0, 4096, below.head, true), (4096, 4096, head, true), (MIB, EXTENT, head, false)];
    assert_eq!(shape, expected);
    let bytes_at = |range: &MapRange| {
        let start = range.drive_offset_bytes.expect("on the drive") as usize;
        before[start..start + range.length_bytes as usize].to_vec()
    };
    assert!(map[..2].iter().all(|range| bytes_at(range) == vec![7; 4096]), "they are where it says");

    let (_, of_snapshot) = offline::dump(&path, Some(SNAPSHOT)).expect("readable");
    assert_eq!((of_snapshot.len(), of_snapshot[0].length_bytes), (1, 8192));
    let nobody = offline::dump(&path, Some(Uuid::from_u128(9)));
    assert!(matches!(nobody, Err(OfflineError::NoVolume(_))), "{nobody:?}");
    assert!(fs::read(&path).expect("readable") == before, "not one byte was changed");
}

#[test]
fn damage_is_found_offline() {
    let (_directory, path) = written_drive();
    let pages = leaf_pages(&path);
    assert!(!pages.is_empty());
    for page in pages {
        let file = fs::OpenOptions::new().write(true).open(&path).expect("there");
        file.write_all_at(&[0xA5; 512], page + 2048).expect("written");
    }
    let report = offline::check(&path).expect("it can be walked all the same");
    assert!(report.problems.iter().any(|problem| problem.contains("damaged")), "{report:#?}");
}

/// Byte addresses of pages that look like leaves with one entry.
fn leaf_pages(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path).expect("readable");
    let from = (2 * EXTENT + MIB) as usize;
    let is_leaf = |page: &[u8]| {
        let entry = u64::from_le_bytes(page[..8].try_into().expect("eight bytes"));
        // Of the first two blocks; the free map begins with many ones.
        (1..16).contains(&(entry >> 32)) && entry as u32 != 0 && page[8..].iter().all(|&byte| byte == 0)
    };
    let pages = bytes[from..].chunks_exact(4096).enumerate().filter(|(_, page)| is_leaf(page));
    pages.map(|(index, _)| (from + index * 4096) as u64).collect()
}

#[test]
fn what_cannot_be_looked_into() {
    let (_directory, path) = written_drive();
    let held = Disk::open(&path, OpenOptions::default()).expect("a server");
    let refused = offline::check(&path);
    assert!(matches!(refused, Err(OfflineError::Medium(OpenError::Locked(_)))), "{refused:?}");
    drop(held);
    offline::check(&path).expect("it is free again");
    let missing = offline::check(&path.with_extension("none"));
    assert!(matches!(missing, Err(OfflineError::Medium(OpenError::Missing(_)))), "{missing:?}");
    fs::write(&path, vec![b'x'; 1 << 20]).expect("written");
    assert!(matches!(offline::dump(&path, None), Err(OfflineError::Open(_))));
}
