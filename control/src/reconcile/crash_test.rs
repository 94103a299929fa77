//! The process dies between the store and the node, at every step of every change; the next start must find its
//! way from there.

use dataplane::node::{DriveConfig, DriveMedium, Node, NodeConfig, VolumeSpec};
use tempfile::TempDir;

use super::{subsystems, volumes};
use crate::{
    ControlConfig,
    app::SharedApp,
    model::{
        GIB,
        host::HostRecord,
        target::{Scope, TargetRecord},
        volume::{Phase, Size, VolumeRecord, tests::volume},
    },
    open::open,
    state::{AliasRecord, Change},
};

struct Crashed {
    app: SharedApp,
    _dir: TempDir,
}

impl Crashed {
    async fn new() -> Self {
        let drive = DriveConfig {
            medium: DriveMedium::Memory("crash".to_owned()),
            size_bytes: Some(16 * GIB),
            format: false,
            write_through: None,
            torn: None,
            lossy: false,
            fault: None,
        };
        let node = NodeConfig {
            cores: 1,
            drives: vec![drive],
            portals: Vec::new(),
            map_memory_bytes: 16 << 20,
            nqn_prefix: "nqn.2026-11.io.basalt:".to_owned(),
            node_id: "02:00:00:00:00:01".to_owned(),
        };
        let node = Node::start(node).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let opened = open(ControlConfig::new(dir.path()), node, &[]).await.unwrap();
        Self { app: opened.app, _dir: dir }
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
        let spec = VolumeSpec {
            uuid: record.uuid,
            size_bytes: gib * GIB,
            block_size: record.class.block_size(),
            reserved_bytes: gib * GIB,
            drive: None,
        };
        self.app.node.create_volume(spec).await.unwrap();
    }

    /// The recorded volume, its node's GiB, and how many aliases there are.
    async fn after(&self) -> (Option<VolumeRecord>, Vec<u64>, usize) {
        let mut records = self.app.state.list::<VolumeRecord>().await.unwrap();
        let sizes = self.app.node.volumes().await.iter().map(|v| v.size_bytes / GIB).collect();
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
        volumes(&crashed.app).await.unwrap();
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
        volumes(&crashed.app).await.unwrap();
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
        volumes(&crashed.app).await.unwrap();
        let expected = VolumeRecord { phase: Phase::Ready, size: to, ..record };
        assert_eq!(crashed.after().await, (Some(expected), vec![3], 1), "{node_gib}");
    }
}

#[tokio::test]
async fn an_expand_that_the_node_refuses_leaves_the_old_size() {
    let crashed = Crashed::new().await;
    let to = Size { capacity_gib: 100, reserved_bytes: 100 * GIB };
    let record = crashed.recorded(Phase::Expanding { to }).await;
    crashed.on_node(&record, 1).await;
    volumes(&crashed.app).await.unwrap();
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
    target.publish(record.uuid, record.uuid).unwrap();
    let mut forgotten = target.subsystem(&host);
    forgotten.nqn.push_str("-old");
    crashed.app.node.set_subsystem(forgotten).await.unwrap();
    crashed.app.state.commit(Change::default().create(&host).create(&target)).await.unwrap();
    assert!(subsystems(&crashed.app).await.unwrap().is_empty());
    assert_eq!(crashed.app.node.subsystems().await, [target.subsystem(&host)]);
}
