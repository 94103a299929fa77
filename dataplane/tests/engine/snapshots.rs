//! Snapshots, views and clones, deleted in every order; what comes back.

use dataplane::{
    engine::{self, Drive, EngineError, Snapshot, Volume},
    rt::{self, Buf, disk::SimMedia, sim::SimRng},
};
use uuid::Uuid;

use crate::support::{BLOCK, EXTENT, MIB, assert_sound, fresh, options, simulate, write};

/// Runs a test body with an empty drive of 64 MiB.
fn on_drive<F: Future<Output = ()> + 'static>(
    seed: u64,
    body: impl FnOnce(SimMedia, Drive) -> F + Send + 'static,
) {
    simulate(seed, move || async move {
        let media = SimMedia::new(64 * MIB, 512, 4096, true);
        let drive = fresh(&media).await;
        body(media, drive).await;
    });
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// The byte that fills a block.
async fn byte(volume: &Volume, offset: u64) -> u8 {
    let (buf, result) = volume.read(offset, Buf::alloc(BLOCK as usize).await).await;
    result.expect("read");
    assert!(buf.iter().all(|byte| *byte == buf[0]), "one write filled it");
    buf[0]
}

async fn bytes<const N: usize>(volume: &Volume, offsets: [u64; N]) -> [u8; N] {
    let mut found = [0; N];
    for (found, offset) in found.iter_mut().zip(offsets) {
        *found = byte(volume, offset).await;
    }
    found
}

async fn snapshot(drive: &Drive, volume: &Volume, name: u128) -> Snapshot {
    let made = drive.create_snapshots(&[(volume.clone(), id(name))]).await.expect("snapshot");
    made.into_iter().next().expect("one was asked for")
}

async fn view(drive: &Drive, snapshot: &Snapshot, name: u128) -> Volume {
    drive.create_snapshot_volume(snapshot, id(name), false, snapshot.size_bytes(), 0).await.expect("view")
}

async fn settle(drive: &Drive) {
    drive.settled().await;
    assert_sound(drive).await;
}

/// Blocks of one extent in three layers; each view shows its instant, over deletions and a restart.
#[test]
fn views_keep_their_instant() {
    on_drive(1, |media, drive| async move {
        let volume = drive.create_volume(id(1), 8 * MIB, 512, 0).await.expect("room");
        let offsets = [0, BLOCK, 2 * BLOCK, 3 * BLOCK, 5 * MIB];
        write(&volume, 0, 3 * BLOCK, 1).await.expect("write");
        write(&volume, 5 * MIB, BLOCK, 1).await.expect("write");
        let first = snapshot(&drive, &volume, 11).await;
        write(&volume, BLOCK, 2 * BLOCK, 2).await.expect("write");
        volume.deallocate(5 * MIB, BLOCK).await.expect("trim");
        let second = snapshot(&drive, &volume, 12).await;
        write(&volume, 2 * BLOCK, 2 * BLOCK, 3).await.expect("write");
        // Part of a block that only the oldest layer has.
        write(&volume, 512, 512, 1).await.expect("write");

        let (one, two) = (view(&drive, &first, 21).await, view(&drive, &second, 22).await);
        assert_eq!(bytes(&one, offsets).await, [1, 1, 1, 0, 1]);
        assert_eq!(bytes(&two, offsets).await, [1, 2, 2, 0, 0]);
        assert_eq!(bytes(&volume, offsets).await, [1, 2, 3, 3, 0]);
        assert_eq!((one.used_bytes(), one.shared_bytes()), (0, 2 * EXTENT));
        assert_eq!((volume.used_bytes(), volume.shared_bytes()), (EXTENT, 3 * EXTENT));
        let refused = one.write(0, Buf::zeroed(4096).await, false).await.1;
        assert_eq!(refused, Err(EngineError::ReadOnly));

        drive.delete_snapshot(&first).await.expect("delete");
        settle(&drive).await;
        assert_eq!(bytes(&one, offsets).await, [1, 1, 1, 0, 1], "its view keeps it");
        drive.delete_volume(&one).await.expect("delete");
        settle(&drive).await;
        assert_eq!(volume.shared_bytes(), EXTENT, "one layer is left below");
        assert_eq!(bytes(&two, offsets).await, [1, 2, 2, 0, 0]);
        drive.close().await.expect("closes");

        let drive = Drive::open(media.disk(), options()).await.expect("formatted");
        let found = drive.volumes();
        let named = |name| found.iter().find(|volume| volume.uuid() == id(name)).expect("it is there");
        assert_eq!(bytes(named(22), offsets).await, [1, 2, 2, 0, 0]);
        assert_eq!(bytes(named(1), offsets).await, [1, 2, 3, 3, 0]);
        assert!(!named(22).is_writable());
        let last = &drive.snapshots()[0];
        drive.delete_volume(named(22)).await.expect("delete");
        drive.delete_snapshot(last).await.expect("delete");
        settle(&drive).await;
        assert_eq!(bytes(named(1), offsets).await, [1, 2, 3, 3, 0]);
        assert_eq!((named(1).used_bytes(), named(1).shared_bytes()), (EXTENT, 0));
    });
}

/// Clones go their own ways; the source may go first.
#[test]
fn clones_are_independent() {
    on_drive(1, |_, drive| async move {
        let source = drive.create_volume(id(1), 4 * MIB, 4096, 0).await.expect("room");
        write(&source, 0, 2 * EXTENT, 1).await.expect("write");
        let clone = drive.clone_volume(&source, id(2), 8 * MIB, 0).await.expect("clone");
        let snapshot = snapshot(&drive, &source, 11).await;
        let branch = drive.create_snapshot_volume(&snapshot, id(3), true, 4 * MIB, 0).await.expect("branch");
        write(&source, 0, BLOCK, 2).await.expect("write");
        write(&clone, BLOCK, BLOCK, 3).await.expect("write");
        write(&clone, 6 * MIB, BLOCK, 3).await.expect("write");
        write(&branch, EXTENT, EXTENT, 4).await.expect("write");
        let offsets = [0, BLOCK, EXTENT];
        assert_eq!(bytes(&source, offsets).await, [2, 1, 1]);
        assert_eq!(bytes(&clone, offsets).await, [1, 3, 1]);
        assert_eq!(bytes(&branch, offsets).await, [1, 1, 4]);
        drive.delete_volume(&source).await.expect("delete");
        drive.delete_snapshot(&snapshot).await.expect("delete");
        settle(&drive).await;
        assert_eq!(bytes(&clone, offsets).await, [1, 3, 1]);
        assert_eq!(byte(&clone, 6 * MIB).await, 3);
        assert_eq!(bytes(&branch, offsets).await, [1, 1, 4]);
        // Both still see the first extent; the second is the clone's alone, but nobody's yet.
        assert_eq!(drive.used_bytes(), 5 * EXTENT);
        drive.delete_volume(&branch).await.expect("delete");
        settle(&drive).await;
        assert_eq!((clone.used_bytes(), clone.shared_bytes()), (3 * EXTENT, 0));
        assert_eq!(bytes(&clone, offsets).await, [1, 3, 1]);
    });
}

/// What all branches have overwritten is given back, though a nameless layer stays below them.
#[test]
fn what_no_branch_sees_comes_back() {
    on_drive(1, |_, drive| async move {
        let source = drive.create_volume(id(1), 4 * MIB, 4096, 0).await.expect("room");
        write(&source, 0, 8 * EXTENT, 1).await.expect("write");
        let clone = drive.clone_volume(&source, id(2), 4 * MIB, 0).await.expect("clone");
        write(&source, 0, 4 * EXTENT, 2).await.expect("write");
        write(&clone, 2 * EXTENT, 4 * EXTENT, 3).await.expect("write");
        clone.write_zeroes(0, EXTENT, true, false).await.expect("zeroes");
        settle(&drive).await;
        // Of the eight: three are hidden by both.
        assert_eq!(drive.used_bytes(), (8 - 3 + 4 + 4) * EXTENT);
        assert_eq!(bytes(&clone, [0, EXTENT, 2 * EXTENT, 7 * EXTENT]).await, [0, 1, 3, 1]);
        assert_eq!(bytes(&source, [0, EXTENT, 2 * EXTENT, 7 * EXTENT]).await, [2, 2, 2, 1]);
    });
}

/// Blocks of every extent lie in many layers; what was resolved once stays right while layers merge and move them.
#[test]
fn deep_chains_read_right_through_merges() {
    on_drive(1, |_, drive| async move {
        const EXTENTS: u64 = 6;
        let volume = drive.create_volume(id(1), 8 * MIB, 4096, 0).await.expect("room");
        let mut rng = SimRng::new(5);
        let blocks = EXTENTS * EXTENT / BLOCK;
        let mut present = vec![0; blocks as usize];
        let mut views = Vec::new();
        for round in 1..=14u8 {
            for _ in 0..20 {
                let block = rng.below(blocks);
                write(&volume, block * BLOCK, BLOCK, round).await.expect("write");
                present[block as usize] = round;
            }
            let snapshot = snapshot(&drive, &volume, 100 + u128::from(round)).await;
            let shown = view(&drive, &snapshot, 200 + u128::from(round)).await;
            views.push((snapshot, shown, present.clone()));
        }
        while !views.is_empty() {
            // Twice: the first time may walk the layers, the second finds what was resolved.
            for _ in 0..2 {
                for (_, shown, expected) in &views {
                    for (block, expected) in (0..).zip(expected) {
                        assert_eq!(byte(shown, block * BLOCK).await, *expected, "block {block}");
                    }
                }
                drive.settled().await;
            }
            let (snapshot, shown, _) = views.swap_remove(rng.below(views.len() as u64) as usize);
            drive.delete_volume(&shown).await.expect("delete");
            drive.delete_snapshot(&snapshot).await.expect("delete");
            write(&volume, rng.below(blocks) * BLOCK, BLOCK, 99).await.expect("write");
        }
        settle(&drive).await;
        assert_eq!((volume.shared_bytes(), drive.used_bytes()), (0, EXTENTS * EXTENT));
    });
}

/// A layer that loses its last name is about to merge into the head above, which is empty: a snapshot in this moment
/// must not stand on half a layer.
#[test]
fn a_snapshot_while_its_layer_merges() {
    for seed in 0..60 {
        on_drive(seed, move |_, drive| async move {
            let volume = drive.create_volume(id(1), 8 * MIB, 4096, 0).await.expect("room");
            write(&volume, 0, 40 * EXTENT, 1).await.expect("write");
            let first = snapshot(&drive, &volume, 11).await;
            drive.delete_snapshot(&first).await.expect("delete");
            for _ in 0..seed {
                rt::yield_now().await;
            }
            let second = snapshot(&drive, &volume, 12).await;
            let clone = drive.clone_volume(&volume, id(2), 8 * MIB, 0).await.expect("clone");
            write(&volume, 0, 40 * EXTENT, 2).await.expect("write");
            settle(&drive).await;
            let shown = view(&drive, &second, 21).await;
            for extent in 0..40 {
                assert_eq!(byte(&shown, extent * EXTENT).await, 1, "seed {seed}, extent {extent}");
                assert_eq!(byte(&clone, extent * EXTENT).await, 1, "seed {seed}, extent {extent}");
            }
        });
    }
}

/// Each snapshot says what its deletion gives back, whatever stands on it.
#[test]
fn what_deletion_gives_back_is_known() {
    on_drive(1, |_, drive| async move {
        let volume = drive.create_volume(id(1), 4 * MIB, 4096, 0).await.expect("room");
        let mut snapshots = Vec::new();
        for round in 0..6u8 {
            write(&volume, u64::from(round) * EXTENT, 3 * EXTENT, round + 1).await.expect("write");
            // Half an extent: both layers keep one.
            write(&volume, 20 * EXTENT, u64::from(round + 1) * BLOCK, round + 1).await.expect("write");
            snapshots.push(snapshot(&drive, &volume, 10 + u128::from(round)).await);
        }
        let branch =
            drive.create_snapshot_volume(&snapshots[2], id(2), true, 4 * MIB, 0).await.expect("branch");
        write(&branch, 2 * EXTENT, 3 * EXTENT, 9).await.expect("write");
        for pick in [3, 2, 5, 0, 1, 4] {
            settle(&drive).await;
            let used = drive.used_bytes();
            let unique = snapshots[pick].unique_bytes().await.expect("readable");
            drive.delete_snapshot(&snapshots[pick]).await.expect("delete");
            settle(&drive).await;
            assert_eq!(used - drive.used_bytes(), unique, "snapshot {pick}");
        }
        assert_eq!(bytes(&branch, [0, 2 * EXTENT, 5 * EXTENT, 20 * EXTENT]).await, [1, 9, 0, 3]);
        assert_eq!(bytes(&volume, [0, 2 * EXTENT, 7 * EXTENT, 20 * EXTENT]).await, [1, 3, 6, 6]);
    });
}

/// E13: a thick head reserves anew, and where the drive cannot, nothing changes.
#[test]
fn a_thick_volume_needs_room_for_its_snapshot() {
    on_drive(1, |_, drive| async move {
        let half = drive.capacity_bytes() * 6 / 10 / EXTENT * EXTENT;
        let volume = drive.create_volume(id(1), half, 4096, half).await.expect("room");
        write(&volume, 0, MIB, 1).await.expect("write");
        let unreserved = drive.unreserved_bytes();
        let first = snapshot(&drive, &volume, 11).await;
        assert_eq!(drive.unreserved_bytes(), unreserved - MIB, "only what it holds is needed twice");
        assert_eq!(volume.reserved_bytes(), half);
        for extent in 0..half / EXTENT {
            write(&volume, extent * EXTENT, BLOCK, 2).await.expect("write");
        }
        let refused = drive.create_snapshots(&[(volume.clone(), id(12))]).await.map(|_| ());
        assert!(matches!(refused, Err(EngineError::NoFreeSpace { .. })), "{refused:?}");
        assert_eq!(drive.snapshots().len(), 1);
        write(&volume, 0, BLOCK, 3).await.expect("write");
        drive.delete_snapshot(&first).await.expect("delete");
        settle(&drive).await;
        assert_eq!(byte(&volume, 0).await, 3);
        assert_eq!(drive.used_bytes(), half);
    });
}

/// An idle volume's snapshots and clones are not a tower of empty layers.
#[test]
fn idle_volumes_do_not_grow_towers() {
    on_drive(1, |_, drive| async move {
        let volume = drive.create_volume(id(1), 4 * MIB, 4096, 0).await.expect("room");
        write(&volume, 0, BLOCK, 7).await.expect("write");
        for number in 0..40 {
            snapshot(&drive, &volume, 100 + number).await;
            drive.clone_volume(&volume, id(200 + number), 4 * MIB, 0).await.expect("clone");
        }
        assert_eq!(engine::check(&drive).await.expect("readable").layers, 42, "one below, a head for each");
        write(&volume, 0, BLOCK, 8).await.expect("write");
        for snapshot in drive.snapshots() {
            drive.delete_snapshot(&snapshot).await.expect("delete");
        }
        for clone in drive.volumes().iter().filter(|volume| volume.uuid() != id(1)) {
            assert_eq!(byte(clone, 0).await, 7);
            drive.delete_volume(clone).await.expect("delete");
        }
        settle(&drive).await;
        assert_eq!(byte(&volume, 0).await, 8);
        assert_eq!(drive.used_bytes(), EXTENT);
    });
}

#[test]
fn wrong_requests_change_nothing() {
    on_drive(1, |_, drive| async move {
        let volume = drive.create_volume(id(1), 4 * MIB, 4096, 0).await.expect("room");
        let snapshot = snapshot(&drive, &volume, 11).await;
        let reason = |result: Result<Volume, EngineError>| match result {
            Err(EngineError::Invalid(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert!(reason(drive.clone_volume(&volume, id(2), MIB, 0).await).contains("at least as large"));
        assert!(
            reason(drive.create_snapshot_volume(&snapshot, id(2), false, 8 * MIB, 0).await)
                .contains("read-only")
        );
        let twice = [(volume.clone(), id(12)), (volume.clone(), id(13))];
        assert!(matches!(drive.create_snapshots(&twice).await, Err(EngineError::Invalid(_))));
        let taken = [(volume.clone(), id(11))];
        assert!(matches!(drive.create_snapshots(&taken).await, Err(EngineError::AlreadyExists)));
        assert!(matches!(
            drive.clone_volume(&volume, id(1), 4 * MIB, 0).await,
            Err(EngineError::AlreadyExists)
        ));
        drive.delete_snapshot(&snapshot).await.expect("delete");
        assert_eq!(drive.delete_snapshot(&snapshot).await, Err(EngineError::Offline));
        assert_eq!((drive.snapshots().len(), drive.volumes().len(), drive.used_bytes()), (0, 1, 0));
    });
}
