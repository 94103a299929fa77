//! What the plan makes of every difference between store and node.

use std::collections::HashSet;

use dataplane::node::{
    BlockSize, NamespaceSpec, RateLimits, SnapshotInfo, SubsystemSpec, VolumeInfo, VolumeState,
};
use uuid::Uuid;

use super::plan::*;
use crate::model::{
    replica::Replica,
    snapshot::{SnapshotPhase, SnapshotRecord, tests::snapshot},
    volume::{
        Phase, Size, StorageClass, VolumeRecord,
        tests::{class, volume},
    },
};

fn on_node(uuid: u128) -> VolumeInfo {
    VolumeInfo {
        replica: None,
        uuid: Uuid::from_u128(uuid),
        parts: Vec::new(),
        complete: true,
        size_bytes: 1,
        block_size: BlockSize::B4096,
        reserved_bytes: 0,
        used_bytes: 0,
        shared_bytes: 0,
        writable: true,
        limits: RateLimits::default(),
        state: VolumeState::Online,
    }
}

fn spec(nqn: &str, volumes: &[u128]) -> SubsystemSpec {
    let namespaces = volumes.iter().map(|v| NamespaceSpec {
        nsid: u32::try_from(*v).unwrap(),
        volume: Uuid::from_u128(*v),
        uuid: Uuid::from_u128(*v),
    });
    SubsystemSpec {
        nqn: nqn.to_owned(),
        allowed_hosts: vec!["h".to_owned()],
        namespaces: namespaces.collect(),
    }
}

fn snapshot_on_node(uuid: u128) -> SnapshotInfo {
    SnapshotInfo {
        uuid: Uuid::from_u128(uuid),
        parts: Vec::new(),
        size_bytes: 1,
        block_size: BlockSize::B4096,
        owned_bytes: 0,
        state: VolumeState::Online,
    }
}

fn volumes(volumes: Vec<VolumeRecord>) -> Desired {
    Desired { volumes, ..Desired::default() }
}

fn snapshots(snapshots: Vec<SnapshotRecord>) -> Desired {
    Desired { snapshots, ..Desired::default() }
}

#[test]
fn volume_phases_by_what_the_node_has() {
    let id = Uuid::from_u128(1);
    let to = Size { capacity_gib: 2, reserved_bytes: 0 };
    let missing = || vec![Problem::Missing(Object::Volume, id)];
    // (phase, on the node, actions, problems)
    let table: [(Phase, bool, Vec<VolumeAction>, Vec<Problem>); 8] = [
        (Phase::Ready, true, vec![], vec![]),
        (Phase::Ready, false, vec![], missing()),
        (Phase::Creating, true, vec![VolumeAction::UndoCreate(id)], vec![]),
        (Phase::Creating, false, vec![VolumeAction::UndoCreate(id)], vec![]),
        (Phase::Expanding { to }, true, vec![VolumeAction::FinishExpand(id, to)], vec![]),
        (Phase::Expanding { to }, false, vec![VolumeAction::FinishExpand(id, to)], missing()),
        (Phase::Deleting, true, vec![VolumeAction::FinishDelete(id)], vec![]),
        (Phase::Deleting, false, vec![VolumeAction::FinishDelete(id)], vec![]),
    ];
    for (phase, there, actions, problems) in table {
        let desired = volumes(vec![VolumeRecord { phase, ..volume(1, 1) }]);
        let on_node = if there { vec![on_node(1)] } else { vec![] };
        let observed = OnNode { volumes: on_node, ..OnNode::default() };
        let expected = StoragePlan { volumes: actions, problems, ..StoragePlan::default() };
        assert_eq!(plan_storage(&desired, &observed), expected, "{phase:?} {there}");
    }
}

/// Copies 1 and 2 of volume 1, on backends of those numbers.
fn two_copies(phase: Phase) -> VolumeRecord {
    let mut record = VolumeRecord { phase, ..volume(1, 1) };
    record.replicas.push(Replica::new(Uuid::from_u128(2), "02:00:00:00:00:02", 0));
    record
}

#[test]
fn several_copies_by_phase_and_by_who_is_away() {
    let (id, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let to = Size { capacity_gib: 2, reserved_bytes: 0 };
    let missing = || vec![Problem::Missing(Object::Volume, second)];
    // (phase, action if both are there, if the first is away, if the second is, is it a problem that the second node
    // has none)
    let finish = |action: VolumeAction| Some(action);
    let table = [
        (Phase::Ready, None, None, None, true),
        (Phase::Creating, finish(VolumeAction::UndoCreate(id)), None, None, false),
        (Phase::Expanding { to }, finish(VolumeAction::FinishExpand(id, to)), None, None, true),
        (Phase::Deleting, finish(VolumeAction::FinishDelete(id)), None, None, false),
        (
            Phase::AddingReplica(second),
            finish(VolumeAction::UndoAddReplica(id)),
            finish(VolumeAction::UndoAddReplica(id)),
            None,
            false,
        ),
        (
            Phase::RemovingReplica(second),
            finish(VolumeAction::FinishRemoveReplica(id)),
            finish(VolumeAction::FinishRemoveReplica(id)),
            None,
            false,
        ),
    ];
    for (phase, both, without_first, without_second, is_missed) in table {
        let desired = volumes(vec![two_copies(phase)]);
        let away = |backend: &str| HashSet::from([backend.to_owned()]);
        let planned = |away: HashSet<String>, on_nodes: &[u128]| {
            let there = on_nodes.iter().map(|uuid| on_node(*uuid)).collect();
            plan_storage(&desired, &OnNode { away, volumes: there, ..OnNode::default() })
        };
        let plan = planned(HashSet::new(), &[1]);
        assert_eq!(plan.volumes, Vec::from_iter(both), "{phase:?}");
        assert_eq!(plan.problems, if is_missed { missing() } else { vec![] }, "{phase:?}");
        let plan = planned(away("02:00:00:00:00:01"), &[2]);
        assert_eq!(plan.volumes, Vec::from_iter(without_first), "{phase:?}");
        let plan = planned(away("02:00:00:00:00:02"), &[1]);
        assert_eq!((plan.volumes, plan.problems), (Vec::from_iter(without_second), vec![]), "{phase:?}");
    }
}

#[test]
fn what_is_lost_with_its_backend_is_neither_missed_nor_waited_for() {
    let mut lost = two_copies(Phase::Deleting);
    lost.replicas[1].lose(1);
    let observed = OnNode { volumes: vec![on_node(1)], ..OnNode::default() };
    let plan = plan_storage(&volumes(vec![lost.clone()]), &observed);
    assert_eq!(plan.volumes, [VolumeAction::FinishDelete(lost.uuid)]);
    lost.phase = Phase::Ready;
    assert_eq!(plan_storage(&volumes(vec![lost]), &observed), StoragePlan::default());
}

#[test]
fn limits_are_set_where_a_node_is_whatever_the_others_do() {
    let class = StorageClass { max_iops_per_gib: 10, ..class() };
    let desired = volumes(vec![VolumeRecord { class, ..two_copies(Phase::Ready) }]);
    let away = HashSet::from(["02:00:00:00:00:02".to_owned()]);
    let observed = OnNode { away, volumes: vec![on_node(1)], ..OnNode::default() };
    assert_eq!(plan_storage(&desired, &observed).volumes, [VolumeAction::SetLimits(Uuid::from_u128(1))]);
}

#[test]
fn snapshot_phases_by_what_the_node_has() {
    let id = Uuid::from_u128(5);
    // (phase, on the node, actions, problems)
    let table: [(SnapshotPhase, bool, Vec<SnapshotAction>, Vec<Problem>); 6] = [
        (SnapshotPhase::Ready, true, vec![], vec![]),
        (SnapshotPhase::Ready, false, vec![], vec![Problem::Missing(Object::Snapshot, id)]),
        (SnapshotPhase::Creating, true, vec![SnapshotAction::UndoTake(id)], vec![]),
        (SnapshotPhase::Creating, false, vec![SnapshotAction::UndoTake(id)], vec![]),
        (SnapshotPhase::Deleting, true, vec![SnapshotAction::FinishDelete(id)], vec![]),
        (SnapshotPhase::Deleting, false, vec![SnapshotAction::FinishDelete(id)], vec![]),
    ];
    for (phase, there, actions, problems) in table {
        let desired = snapshots(vec![SnapshotRecord { phase, ..snapshot(5) }]);
        let on_node = if there { vec![snapshot_on_node(5)] } else { vec![] };
        let observed = OnNode { snapshots: on_node, ..OnNode::default() };
        let expected = StoragePlan { snapshots: actions, problems, ..StoragePlan::default() };
        assert_eq!(plan_storage(&desired, &observed), expected, "{phase:?} {there}");
    }
}

#[test]
fn limits_are_set_where_they_differ() {
    let class = StorageClass { max_iops_per_gib: 10, max_bytes_per_second_per_gib: 4096, ..class() };
    let limited = VolumeRecord { class, ..volume(1, 2) };
    let limits = RateLimits { max_iops: 20, max_bytes_per_second: 8192 };
    let old = RateLimits { max_iops: 10, max_bytes_per_second: 4096 };
    let set = vec![VolumeAction::SetLimits(Uuid::from_u128(1))];
    // (shall have, has, actions)
    let table = [
        (limited.clone(), limits, vec![]),
        (limited.clone(), old, set.clone()),
        (limited, RateLimits::default(), set.clone()),
        (volume(1, 2), RateLimits::default(), vec![]),
        (volume(1, 2), limits, set),
    ];
    for (record, limits, actions) in table {
        let there = VolumeInfo { limits, ..on_node(1) };
        let observed = OnNode { volumes: vec![there], ..OnNode::default() };
        assert_eq!(plan_storage(&volumes(vec![record]), &observed).volumes, actions, "{limits:?}");
    }
}

#[test]
fn what_nobody_recorded_is_reported_and_left_alone() {
    let observed = |state: VolumeState| OnNode {
        away: HashSet::new(),
        volumes: vec![VolumeInfo { state: state.clone(), ..on_node(9) }],
        snapshots: vec![SnapshotInfo { state, ..snapshot_on_node(8) }],
    };
    let plan = plan_storage(&Desired::default(), &observed(VolumeState::Online));
    let problems = vec![
        Problem::Unknown(Object::Volume, Uuid::from_u128(9)),
        Problem::Unknown(Object::Snapshot, Uuid::from_u128(8)),
    ];
    assert_eq!(plan, StoragePlan { problems, ..StoragePlan::default() });
    let going = plan_storage(&Desired::default(), &observed(VolumeState::Deleting));
    assert_eq!(going, StoragePlan::default(), "what is being deleted is no stranger");
}

#[test]
fn subsystems_are_set_where_they_differ_and_removed_where_nobody_wants_them() {
    let volumes = HashSet::from([1, 2, 3].map(Uuid::from_u128));
    let set = |spec| SubsystemAction::Set(spec);
    let table: [(Vec<SubsystemSpec>, Vec<SubsystemSpec>, Vec<SubsystemAction>); 6] = [
        (vec![], vec![], vec![]),
        (vec![spec("a", &[1])], vec![], vec![set(spec("a", &[1]))]),
        (vec![spec("a", &[1, 2])], vec![spec("a", &[2, 1])], vec![]),
        (vec![spec("a", &[1, 2])], vec![spec("a", &[1])], vec![set(spec("a", &[1, 2]))]),
        (vec![], vec![spec("a", &[1])], vec![SubsystemAction::Remove("a".into())]),
        (vec![spec("a", &[1, 8])], vec![], vec![set(spec("a", &[1]))]),
    ];
    for (desired, observed, actions) in table {
        assert_eq!(plan_subsystems(desired.clone(), observed, &volumes), actions, "{desired:?}");
    }
}

#[test]
fn a_host_that_changed_its_nqn_is_a_difference() {
    let volumes = HashSet::from([Uuid::from_u128(1)]);
    let moved = SubsystemSpec { allowed_hosts: vec!["new".to_owned()], ..spec("a", &[1]) };
    let actions = plan_subsystems(vec![moved.clone()], vec![spec("a", &[1])], &volumes);
    assert_eq!(actions, [SubsystemAction::Set(moved)]);
}

#[test]
fn what_has_a_copy_on_a_node_that_is_away_is_left_alone() {
    let size = Size { capacity_gib: 2, reserved_bytes: 0 };
    let phases = [Phase::Creating, Phase::Ready, Phase::Expanding { to: size }, Phase::Deleting];
    let volumes =
        phases.iter().zip(1..).map(|(phase, uuid)| VolumeRecord { phase: *phase, ..volume(uuid, 1) });
    let snapshots = [SnapshotPhase::Creating, SnapshotPhase::Ready, SnapshotPhase::Deleting];
    let snapshots = snapshots.map(|phase| SnapshotRecord { phase, ..snapshot(5) });
    let desired = Desired { volumes: volumes.collect(), snapshots: snapshots.to_vec() };
    let backend = desired.volumes[0].replicas[0].backend.clone();
    let away = OnNode { away: HashSet::from([backend]), ..OnNode::default() };
    assert_eq!(plan_storage(&desired, &away), StoragePlan::default());
    assert_ne!(plan_storage(&desired, &OnNode::default()), StoragePlan::default());
}
