//! A node whose drives come, grow, go, and are not what they were.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dataplane::node::{
    BlockSize, DriveConfig, DriveIdentity, DriveInfo, DriveMedium, DriveState, Node, NodeConfig, NodeError,
    NodeObject, SnapshotSpec, VolumeSpec, VolumeState,
};
use tempfile::TempDir;
use uuid::Uuid;

const MIB: u64 = 1 << 20;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of 64 MiB, made on demand.
    fn drive(&self, name: &str) -> DriveConfig {
        drive(&self.path(name))
    }
}

fn drive(path: &Path) -> DriveConfig {
    DriveConfig { size_bytes: Some(64 * MIB), ..DriveConfig::new(DriveMedium::Path(path.to_owned())) }
}

fn node(drives: Vec<DriveConfig>) -> Result<Node, String> {
    let config =
        NodeConfig { cores: 2, drives, map_memory_bytes: MIB, ..NodeConfig::new("02:00:00:00:00:01") };
    Node::start(config).map_err(|error| error.to_string())
}

/// Runs a node request to its end.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(answer) = future.as_mut().poll(&mut cx) {
            return answer;
        }
        std::thread::yield_now();
    }
}

fn volume(uuid: u128, drive: Option<Uuid>) -> VolumeSpec {
    VolumeSpec {
        uuid: Uuid::from_u128(uuid),
        size_bytes: 16 * MIB,
        block_size: BlockSize::B4096,
        reserved_bytes: 16 * MIB,
        drives: drive.into_iter().collect(),
    }
}

fn identity(info: &DriveInfo) -> Option<DriveIdentity> {
    Some(DriveIdentity { uuid: info.uuid, sequence: info.sequence })
}

#[test]
fn a_drive_comes_grows_and_goes() {
    let place = Place::new();
    let node = node(vec![place.drive("a")]).expect("starts");
    let first = wait(node.drives()).remove(0);
    let added = wait(node.add_drive(place.drive("b"))).expect("a new file");
    assert_eq!(wait(node.drives()).len(), 2);

    // Placement sees it at once: it has more room than the first one, which has less.
    wait(node.create_volume(volume(1, Some(first.uuid)))).expect("room");
    let grown = wait(node.grow_drive(added.uuid, Some(256 * MIB))).expect("a file grows");
    assert_eq!(grown.size_bytes, 256 * MIB);
    assert!(grown.capacity_bytes > added.capacity_bytes);
    assert_eq!(fs::metadata(place.path("b")).expect("there").len(), 256 * MIB);
    let placed = wait(node.create_volume(volume(2, None))).expect("room");
    assert_eq!(placed.parts[0].drive, added.uuid);

    let snapshot = SnapshotSpec { volume: placed.uuid, snapshot: Uuid::from_u128(3) };
    wait(node.create_snapshots(vec![snapshot])).expect("a snapshot");
    match wait(node.remove_drive(added.uuid)) {
        Err(error @ NodeError::NotEmpty { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&placed.uuid.to_string()) && text.contains(&snapshot.snapshot.to_string()));
        }
        other => panic!("{other:?}"),
    }
    wait(node.delete_volume(placed.uuid)).expect("delete");
    assert!(matches!(wait(node.remove_drive(added.uuid)), Err(NodeError::NotEmpty { .. })), "its snapshot");
    wait(node.delete_snapshot(snapshot.snapshot)).expect("delete");
    wait(node.remove_drive(added.uuid)).expect("it is empty");
    assert!(matches!(wait(node.remove_drive(added.uuid)), Err(NodeError::NotFound(NodeObject::Drive))));
    let elsewhere = wait(node.create_volume(volume(4, Some(added.uuid))));
    assert!(matches!(elsewhere, Err(NodeError::NotFound(NodeObject::Drive))), "{elsewhere:?}");
    let left: Vec<_> = wait(node.drives()).iter().map(|info| info.uuid).collect();
    assert_eq!(left, [first.uuid]);

    // The file stayed as it was, and comes back.
    let again = wait(node.add_drive(place.drive("b"))).expect("it was closed in order");
    assert_eq!((again.uuid, again.size_bytes, again.used_bytes), (added.uuid, 256 * MIB, 0));
    wait(node.shutdown());
}

#[test]
fn what_cannot_be_added() {
    let place = Place::new();
    let node = node(vec![place.drive("a")]).expect("starts");
    assert!(matches!(
        wait(node.add_drive(place.drive("a"))),
        Err(NodeError::AlreadyExists(NodeObject::Drive))
    ));
    let refused = |config: DriveConfig| match wait(node.add_drive(config)) {
        Err(NodeError::Invalid(reason)) => reason,
        other => panic!("{other:?}"),
    };

    fs::copy(place.path("a"), place.path("copy")).expect("copied");
    let before = fs::read(place.path("copy")).expect("readable");
    assert!(refused(place.drive("copy")).contains("same drive"));
    assert!(fs::read(place.path("copy")).expect("readable") == before, "not one byte was changed");

    std::os::unix::fs::symlink(place.path("a"), place.path("link")).expect("a link");
    assert!(refused(place.drive("link")).contains("in use"));

    fs::write(place.path("foreign"), vec![b'x'; 64 << 20]).expect("written");
    assert!(refused(place.drive("foreign")).contains("--format"));
    assert!(fs::read(place.path("foreign")).expect("readable").iter().all(|&byte| byte == b'x'));
    let formatted = DriveConfig { format: true, ..place.drive("foreign") };
    wait(node.add_drive(formatted)).expect("asked for");

    let small = DriveConfig { size_bytes: Some(MIB), ..place.drive("small") };
    assert!(refused(small).contains("size"));
    assert!(!place.path("small").exists());
    assert!(refused(place.drive("no/such/directory")).contains("no/such/directory"));
    assert_eq!(wait(node.drives()).len(), 2);
    assert!(matches!(wait(node.grow_drive(Uuid::nil(), None)), Err(NodeError::NotFound(NodeObject::Drive))));
    wait(node.shutdown());
}

/// The drive that is there must be the one that was there, as it was or newer.
#[test]
fn a_stale_swapped_or_missing_drive_is_refused_unchanged() {
    let place = Place::new();
    let first = node(vec![place.drive("a")]).expect("starts");
    wait(first.shutdown());
    drop(first);
    fs::copy(place.path("a"), place.path("old")).expect("a copy of that moment");
    let second = node(vec![place.drive("a")]).expect("starts");
    wait(second.create_volume(volume(1, None))).expect("room");
    wait(second.shutdown());
    let known = identity(&wait(second.drives())[0]);
    drop(second);

    let expect = |config: DriveConfig| DriveConfig { identity: known, ..config };
    fs::rename(place.path("a"), place.path("newest")).expect("aside");
    assert!(node(vec![expect(place.drive("a"))]).expect_err("gone").contains("does not exist"));
    assert!(!place.path("a").exists(), "no empty drive in its place");

    fs::copy(place.path("old"), place.path("a")).expect("the old copy in its place");
    let before = fs::read(place.path("a")).expect("readable");
    let refused = node(vec![expect(place.drive("a"))]).expect_err("stale");
    assert!(refused.contains("older copy") && refused.contains("--accept-drive"), "{refused}");
    assert!(fs::read(place.path("a")).expect("readable") == before, "not one byte was changed");

    wait(node(vec![place.drive("other")]).expect("starts").shutdown());
    fs::rename(place.path("other"), place.path("a")).expect("another drive in its place");
    assert!(node(vec![expect(place.drive("a"))]).expect_err("swapped").contains("was there before"));

    // A failed one that is optional stops nobody else.
    let optional = DriveConfig { optional: true, ..expect(place.drive("a")) };
    let degraded = node(vec![place.drive("b"), optional]).expect("the other is fine");
    let states: Vec<_> = wait(degraded.drives()).into_iter().map(|info| info.state).collect();
    assert!(matches!(states.as_slice(), [DriveState::Online, DriveState::Failed(_)]), "{states:?}");
    wait(degraded.create_volume(volume(2, None))).expect("on the other");
    // Brought back, it is there again.
    fs::rename(place.path("newest"), place.path("a")).expect("the right one");
    wait(degraded.add_drive(expect(place.drive("a")))).expect("the right one");
    let mut volumes: Vec<_> = wait(degraded.volumes()).into_iter().map(|info| info.uuid).collect();
    volumes.sort();
    assert_eq!(volumes, [1, 2].map(Uuid::from_u128));
    assert_eq!(wait(degraded.drives()).len(), 2);
    wait(degraded.shutdown());
}

/// A volume that lies on two drives is served with both, kept with one, and whole again when the other comes back.
#[test]
fn a_volume_with_a_missing_part_waits_for_it() {
    let place = Place::new();
    let first = node(vec![place.drive("a"), place.drive("b")]).expect("starts");
    let capacities: Vec<_> = wait(first.drives()).iter().map(|drive| drive.unreserved_bytes).collect();
    let size_bytes = capacities.iter().max().expect("two") + 16 * MIB;
    let spec = VolumeSpec { size_bytes, reserved_bytes: size_bytes, ..volume(1, None) };
    let alone = VolumeSpec { drives: vec![wait(first.drives())[0].uuid], ..spec.clone() };
    assert!(matches!(wait(first.create_volume(alone)), Err(NodeError::NoFreeSpace { .. })));
    assert_eq!(wait(first.create_volume(spec)).expect("room on both").parts.len(), 2);
    let huge = VolumeSpec { size_bytes: 1 << 40, reserved_bytes: 1 << 40, ..volume(2, None) };
    assert!(matches!(wait(first.create_volume(huge)), Err(NodeError::NoFreeSpace { .. })));
    assert_eq!(wait(first.volumes()).len(), 1, "nothing is left of it");
    wait(first.shutdown());
    drop(first);

    for kept in ["a", "b"] {
        let second = node(vec![place.drive(kept)]).expect("starts");
        let info = wait(second.volume(Uuid::from_u128(1))).expect("part of it");
        assert!(!info.complete);
        assert!(
            matches!(&info.state, VolumeState::Offline(why) if why.contains("is a drive missing?")),
            "{info:?}"
        );
        let snapshot = SnapshotSpec { volume: info.uuid, snapshot: Uuid::from_u128(3) };
        assert!(wait(second.create_snapshots(vec![snapshot])).is_err());
        assert!(wait(second.expand_volume(info.uuid, size_bytes * 2, 0, &[])).is_err());
        let other = if kept == "a" { "b" } else { "a" };
        wait(second.add_drive(place.drive(other))).expect("there");
        let info = wait(second.volume(Uuid::from_u128(1))).expect("all of it");
        assert_eq!((info.complete, info.state, info.size_bytes), (true, VolumeState::Online, size_bytes));
        wait(second.shutdown());
    }

    // What is left of it can be deleted, on each drive.
    let last = node(vec![place.drive("b")]).expect("starts");
    wait(last.delete_volume(Uuid::from_u128(1))).expect("a part of it");
    wait(last.add_drive(place.drive("a"))).expect("there");
    wait(last.delete_volume(Uuid::from_u128(1))).expect("the rest");
    assert!(wait(last.volumes()).is_empty());
    wait(last.shutdown());
}
