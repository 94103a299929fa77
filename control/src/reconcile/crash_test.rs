//! The process dies between the store and the node, at every step of every change; the next start must find its
//! way from there.

use std::{collections::BTreeSet, sync::Arc};

use dataplane::node::{
    BlockSize, DriveConfig, DriveMedium, Node, NodeConfig, RateLimits, SnapshotSpec, SnapshotVolumeSpec,
    VolumeSpec,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{storage, subsystems};
use crate::{
    ControlConfig, KnownDrives,
    app::SharedApp,
    model::{
        GIB,
        host::HostRecord,
        replica::Replica,
        snapshot::{SnapshotPhase, SnapshotRecord, tests::snapshot},
        target::{Scope, TargetRecord},
        volume::{Phase, Provisioning, Size, StorageClass, VolumeRecord, tests::volume},
    },
    nodes::{Liveness, LocalNode, Member, NodeHandle},
    open::open,
    state::{AliasRecord, Change},
};

/// The second copy of `recorded_twice`.
const SECOND: Uuid = Uuid::from_u128(2);

pub(crate) struct Crashed {
    pub(crate) app: SharedApp,
    node: Node,
    _dir: TempDir,
}

/// With one drive of 16 GiB that is gone with it.
fn memory_node(id: &str) -> Node {
    let drive = DriveConfig {
        size_bytes: Some(16 * GIB),
        ..DriveConfig::new(DriveMedium::Memory("crash".to_owned()))
    };
    let node =
        NodeConfig { cores: 1, drives: vec![drive], map_memory_bytes: 16 << 20, ..NodeConfig::new(id) };
    Node::start(node).unwrap()
}

async fn put(node: &Node, uuid: Uuid, gib: u64) {
    let spec = VolumeSpec {
        uuid,
        size_bytes: gib * GIB,
        block_size: BlockSize::B4096,
        reserved_bytes: gib * GIB,
        drives: Vec::new(),
    };
    node.create_volume(spec).await.unwrap();
}

impl Crashed {
    pub(crate) async fn new() -> Self {
        let node = memory_node("02:00:00:00:00:01");
        let dir = tempfile::tempdir().unwrap();
        // That of the test volumes' backend.
        std::fs::write(dir.path().join("persistent-id"), "02:00:00:00:00:01\n").unwrap();
        let opened = open(ControlConfig::new(dir.path()), Some(node), &[]).await.unwrap();
        Self { app: opened.app, node: opened.own.unwrap().node.node, _dir: dir }
    }

    /// A second node, which is there.
    async fn second(&self) -> Node {
        let (id, node) = ("02:00:00:00:00:02", memory_node("02:00:00:00:00:02"));
        let drives = KnownDrives::load(self._dir.path()).unwrap();
        let handle = NodeHandle::Local(LocalNode::new(node.clone(), drives));
        let member = Member::new(id, handle, Liveness::new(self.app.state.store(), id));
        member.beat(None).await.unwrap();
        self.app.nodes.put(Arc::new(member));
        node
    }

    /// As `recorded`, with a second copy on a second node.
    async fn recorded_twice(&self, phase: Phase) -> VolumeRecord {
        let mut record = VolumeRecord { phase, ..volume(1, 1) };
        record.class.num_replicas = 2;
        record.replicas.push(Replica::new(SECOND, "02:00:00:00:00:02", 0));
        let alias = Change::default().create(&AliasRecord::of(&record));
        self.app.state.create(record.clone(), alias).await.unwrap();
        record
    }

    /// What the store says after the crash.
    async fn recorded(&self, phase: Phase) -> VolumeRecord {
        let record = VolumeRecord { phase, ..volume(1, 1) };
        let alias = Change::default().create(&AliasRecord::of(&record));
        self.app.state.create(record.clone(), alias).await.unwrap();
        record
    }

    /// What the node has after the crash.
    async fn on_node(&self, record: &VolumeRecord, gib: u64) {
        put(&self.node, record.uuid, gib).await;
    }

    /// A ready volume with a snapshot in that phase, which the node has or not.
    async fn with_snapshot(&self, phase: SnapshotPhase, node_has_it: bool) -> SnapshotRecord {
        let volume = self.recorded(Phase::Ready).await;
        self.on_node(&volume, 1).await;
        let record = SnapshotRecord { phase, ..snapshot(5) };
        assert_eq!(record.volume, volume.uuid);
        self.app.state.create(record.clone(), Change::default()).await.unwrap();
        if node_has_it {
            let spec = SnapshotSpec { volume: volume.uuid, snapshot: record.uuid };
            self.node.create_snapshots(vec![spec]).await.unwrap();
        }
        record
    }

    /// How many snapshots are recorded, and how many the node has.
    async fn snapshots(&self) -> (usize, usize) {
        let recorded = self.app.state.list::<SnapshotRecord>().await.unwrap().len();
        (recorded, self.node.snapshots().await.len())
    }

    /// The recorded volume, its node's GiB, and how many aliases there are.
    async fn after(&self) -> (Option<VolumeRecord>, Vec<u64>, usize) {
        let mut records = self.app.state.list::<VolumeRecord>().await.unwrap();
        let sizes = self.node.volumes().await.iter().map(|v| v.size_bytes / GIB).collect();
        let aliases = self.app.state.list::<AliasRecord>().await.unwrap().len();
        (records.pop().map(|r| r.value), sizes, aliases)
    }
}

#[tokio::test]
async fn a_create_is_undone_wherever_it_was_cut() {
    for node_has_it in [false, true] {
        let crashed = Crashed::new().await;
        let record = crashed.recorded(Phase::Creating).await;
        if node_has_it {
            crashed.on_node(&record, 1).await;
        }
        storage(&crashed.app).await.unwrap();
        assert_eq!(crashed.after().await, (None, vec![], 0), "{node_has_it}");
    }
}

#[tokio::test]
async fn a_delete_is_finished_wherever_it_was_cut() {
    for node_has_it in [false, true] {
        let crashed = Crashed::new().await;
        let record = crashed.recorded(Phase::Deleting).await;
        if node_has_it {
            crashed.on_node(&record, 1).await;
        }
        storage(&crashed.app).await.unwrap();
        assert_eq!(crashed.after().await, (None, vec![], 0), "{node_has_it}");
    }
}

#[tokio::test]
async fn an_expand_is_finished_wherever_it_was_cut() {
    let to = Size { capacity_gib: 3, reserved_bytes: 3 * GIB };
    for node_gib in [1, 3] {
        let crashed = Crashed::new().await;
        let record = crashed.recorded(Phase::Expanding { to }).await;
        crashed.on_node(&record, node_gib).await;
        storage(&crashed.app).await.unwrap();
        let expected = VolumeRecord { phase: Phase::Ready, size: to, ..record };
        assert_eq!(crashed.after().await, (Some(expected), vec![3], 1), "{node_gib}");
    }
}

#[tokio::test]
async fn several_copies_are_undone_or_finished_wherever_it_was_cut() {
    for has in [[false, false], [true, false], [false, true], [true, true]] {
        for phase in [Phase::Creating, Phase::Deleting] {
            let crashed = Crashed::new().await;
            let record = crashed.recorded_twice(phase).await;
            if has[0] {
                crashed.on_node(&record, 1).await;
            }
            // While the other node is away nothing is touched.
            storage(&crashed.app).await.unwrap();
            assert_eq!(
                crashed.after().await,
                (Some(record), vec![1; usize::from(has[0])], 1),
                "{phase:?} {has:?}"
            );
            let second = crashed.second().await;
            if has[1] {
                put(&second, SECOND, 1).await;
            }
            storage(&crashed.app).await.unwrap();
            assert_eq!(crashed.after().await, (None, vec![], 0), "{phase:?} {has:?}");
            assert_eq!(second.volumes().await.len(), 0, "{phase:?} {has:?}");
        }
    }
}

#[tokio::test]
async fn an_expand_of_several_copies_is_finished_wherever_it_was_cut() {
    let to = Size { capacity_gib: 3, reserved_bytes: 3 * GIB };
    for sizes in [[1, 1], [3, 1], [1, 3], [3, 3]] {
        let crashed = Crashed::new().await;
        let second = crashed.second().await;
        let record = crashed.recorded_twice(Phase::Expanding { to }).await;
        crashed.on_node(&record, sizes[0]).await;
        put(&second, SECOND, sizes[1]).await;
        storage(&crashed.app).await.unwrap();
        let expected = VolumeRecord { phase: Phase::Ready, size: to, ..record };
        assert_eq!(crashed.after().await, (Some(expected), vec![3], 1), "{sizes:?}");
        assert_eq!(second.volumes().await[0].size_bytes, 3 * GIB, "{sizes:?}");
    }
}

#[tokio::test]
async fn a_copy_that_outgrew_a_failed_expand_is_left_so() {
    let crashed = Crashed::new().await;
    let second = crashed.second().await;
    let to = Size { capacity_gib: 12, reserved_bytes: 12 * GIB };
    let record = crashed.recorded_twice(Phase::Expanding { to }).await;
    crashed.on_node(&record, 1).await;
    put(&second, SECOND, 1).await;
    put(&second, Uuid::from_u128(9), 8).await;
    storage(&crashed.app).await.unwrap();
    let expected = VolumeRecord { phase: Phase::Ready, ..record };
    assert_eq!(crashed.after().await, (Some(expected.clone()), vec![12], 1), "the second had no room");
    let mut stored =
        crashed.app.state.get::<VolumeRecord>(&expected.uuid.to_string()).await.unwrap().unwrap();
    let to = Size { capacity_gib: 2, reserved_bytes: 2 * GIB };
    stored.value.enter(Phase::Expanding { to });
    crashed.app.state.update(stored).await.unwrap();
    storage(&crashed.app).await.unwrap();
    assert_eq!(crashed.after().await, (Some(VolumeRecord { size: to, ..expected }), vec![12], 1));
}

#[tokio::test]
async fn adding_and_removing_a_copy_is_settled_wherever_it_was_cut() {
    for phase in [Phase::AddingReplica(SECOND), Phase::RemovingReplica(SECOND)] {
        for second_has_it in [false, true] {
            let crashed = Crashed::new().await;
            let record = crashed.recorded_twice(phase).await;
            crashed.on_node(&record, 1).await;
            let second = crashed.second().await;
            if second_has_it {
                put(&second, SECOND, 1).await;
            }
            assert!(storage(&crashed.app).await.unwrap().is_empty());
            let replicas = record.replicas[..1].to_vec();
            let expected = VolumeRecord { phase: Phase::Ready, replicas, ..record };
            assert_eq!(crashed.after().await, (Some(expected), vec![1], 1), "{phase:?} {second_has_it}");
            assert_eq!(second.volumes().await.len(), 0, "{phase:?} {second_has_it}");
        }
    }
}

#[tokio::test]
async fn an_expand_that_the_node_refuses_leaves_the_old_size() {
    let crashed = Crashed::new().await;
    let to = Size { capacity_gib: 100, reserved_bytes: 100 * GIB };
    let record = crashed.recorded(Phase::Expanding { to }).await;
    crashed.on_node(&record, 1).await;
    storage(&crashed.app).await.unwrap();
    let expected = VolumeRecord { phase: Phase::Ready, ..record };
    assert_eq!(crashed.after().await, (Some(expected), vec![1], 1));
}

#[tokio::test]
async fn targets_come_back_and_forgotten_ones_go() {
    let crashed = Crashed::new().await;
    let record = crashed.recorded(Phase::Ready).await;
    crashed.on_node(&record, 1).await;
    let host: HostRecord = crate::model::host::tests::host("h");
    let mut target = TargetRecord::new("h", Scope::AllBackends, "nqn.2026-11.io.basalt:");
    target.publish(record.uuid, record.uuid, &BTreeSet::new()).unwrap();
    let mut forgotten = target.subsystem(&host);
    forgotten.nqn.push_str("-old");
    crashed.node.set_subsystem(forgotten).await.unwrap();
    crashed.app.state.commit(Change::default().create(&host).create(&target)).await.unwrap();
    assert!(subsystems(&crashed.app).await.unwrap().is_empty());
    assert_eq!(crashed.node.subsystems().await, [target.subsystem(&host)]);
}

#[tokio::test]
async fn a_snapshot_is_undone_or_its_deletion_finished_wherever_it_was_cut() {
    for phase in [SnapshotPhase::Creating, SnapshotPhase::Deleting] {
        for node_has_it in [false, true] {
            let crashed = Crashed::new().await;
            crashed.with_snapshot(phase, node_has_it).await;
            assert!(storage(&crashed.app).await.unwrap().is_empty());
            assert_eq!(crashed.snapshots().await, (0, 0), "{phase:?} {node_has_it}");
            assert_eq!(crashed.after().await.1, vec![1], "its volume stays");
        }
    }
}

#[tokio::test]
async fn a_forced_deletion_that_was_cut_leaves_clones() {
    for node_has_it in [false, true] {
        let crashed = Crashed::new().await;
        let taken = crashed.with_snapshot(SnapshotPhase::Deleting, true).await;
        let shows = VolumeRecord {
            alias: "shows".to_owned(),
            provisioning: Provisioning::Other,
            snapshot: Some(taken.uuid),
            ..volume(2, 1)
        };
        let alias = Change::default().create(&AliasRecord::of(&shows));
        crashed.app.state.create(shows.clone(), alias).await.unwrap();
        let spec = SnapshotVolumeSpec {
            uuid: shows.uuid,
            snapshot: taken.uuid,
            writable: true,
            size_bytes: GIB,
            reserved_bytes: 0,
        };
        crashed.node.create_snapshot_volume(spec).await.unwrap();
        if !node_has_it {
            crashed.node.delete_snapshot(taken.uuid).await.unwrap();
        }
        assert!(storage(&crashed.app).await.unwrap().is_empty());
        assert_eq!(crashed.snapshots().await, (0, 0), "{node_has_it}");
        let left = crashed.app.state.get::<VolumeRecord>(&shows.uuid.to_string()).await.unwrap().unwrap();
        assert_eq!(left.value, VolumeRecord { snapshot: None, ..shows });
    }
}

#[tokio::test]
async fn limits_that_the_node_forgot_are_set_again() {
    let crashed = Crashed::new().await;
    let record = volume(1, 2);
    let class = StorageClass { max_iops_per_gib: 10, ..record.class.clone() };
    let record = VolumeRecord { class, ..record };
    crashed.app.state.create(record.clone(), Change::default()).await.unwrap();
    crashed.on_node(&record, 2).await;
    storage(&crashed.app).await.unwrap();
    let limits = crashed.node.volume(record.uuid).await.unwrap().limits;
    assert_eq!(limits, RateLimits { max_iops: 20, max_bytes_per_second: 0 });
}
