//! What must be done so that the node has what it shall have. Pure: no I/O, no clock.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use dataplane::node::{SnapshotInfo, SubsystemSpec, VolumeInfo, VolumeState};
use uuid::Uuid;

use crate::{
    app::Observed,
    model::{
        replica::Replica,
        snapshot::{SnapshotPhase, SnapshotRecord},
        volume::{Phase, Size, VolumeRecord},
    },
};

/// What the store says.
#[derive(Debug, Default)]
pub(crate) struct Desired {
    pub(crate) volumes: Vec<VolumeRecord>,
    pub(crate) snapshots: Vec<SnapshotRecord>,
}

/// What the nodes say.
#[derive(Debug, Default)]
pub(crate) struct OnNode {
    /// Backends that do not answer: what they have is not known, so nothing is finished or undone that has a copy
    /// there.
    pub(crate) away: HashSet<String>,
    pub(crate) volumes: Vec<VolumeInfo>,
    pub(crate) snapshots: Vec<SnapshotInfo>,
}

impl OnNode {
    pub(crate) fn new(observed: &Observed, desired: &Desired) -> Self {
        let of_volumes = desired.volumes.iter().flat_map(|v| &v.replicas);
        let replicas = of_volumes.chain(desired.snapshots.iter().map(|s| &s.replica));
        let away = replicas.filter(|r| !r.is_lost() && !observed.is_available(&r.backend));
        Self {
            away: away.map(|r| r.backend.clone()).collect(),
            volumes: observed.volumes.values().cloned().collect(),
            snapshots: observed.snapshots.values().cloned().collect(),
        }
    }

    fn is_away(&self, replica: &Replica) -> bool {
        self.away.contains(&replica.backend)
    }
}

/// Finishes what a crash or a failing node cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VolumeAction {
    /// Nobody was told of the volume.
    UndoCreate(Uuid),
    FinishExpand(Uuid, Size),
    FinishDelete(Uuid),
    /// Nobody was told of its new copy.
    UndoAddReplica(Uuid),
    FinishRemoveReplica(Uuid),
    /// The node forgets limits when it restarts.
    SetLimits(Uuid),
}

impl VolumeAction {
    pub(crate) fn volume(self) -> Uuid {
        let (Self::UndoCreate(volume)
        | Self::FinishExpand(volume, _)
        | Self::FinishDelete(volume)
        | Self::UndoAddReplica(volume)
        | Self::FinishRemoveReplica(volume)
        | Self::SetLimits(volume)) = self;
        volume
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SnapshotAction {
    /// Nobody was told of the snapshot.
    UndoTake(Uuid),
    FinishDelete(Uuid),
}

impl SnapshotAction {
    pub(crate) fn snapshot(self) -> Uuid {
        let (Self::UndoTake(snapshot) | Self::FinishDelete(snapshot)) = self;
        snapshot
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubsystemAction {
    Set(SubsystemSpec),
    /// By NQN.
    Remove(String),
}

/// What no action can heal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0} {1} is recorded but on no drive of its node: is a drive missing?")]
    Missing(Object, Uuid),
    /// Never deleted by itself: it may be all that is left of somebody's data.
    #[error("{0} {1} is on a drive but not recorded here: was the drive used by another server?")]
    Unknown(Object, Uuid),
}

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    Volume,
    Snapshot,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
        })
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StoragePlan {
    pub(crate) volumes: Vec<VolumeAction>,
    pub(crate) snapshots: Vec<SnapshotAction>,
    pub(crate) problems: Vec<Problem>,
}

pub(crate) fn plan_storage(desired: &Desired, observed: &OnNode) -> StoragePlan {
    let mut plan = StoragePlan::default();
    plan_volumes(&mut plan, &desired.volumes, observed);
    plan_snapshots(&mut plan, &desired.snapshots, observed);
    plan.problems.sort();
    plan
}

fn plan_volumes(plan: &mut StoragePlan, desired: &[VolumeRecord], observed: &OnNode) {
    let on_node: HashMap<Uuid, &VolumeInfo> = observed.volumes.iter().map(|v| (v.uuid, v)).collect();
    let mut recorded = HashSet::new();
    for volume in desired {
        recorded.extend(volume.replicas.iter().map(|r| r.uuid));
        let pending = volume.pending_replica();
        let is_concerned = |replica: &&Replica| pending.is_none_or(|pending| pending == *replica);
        let is_one_away = volume.replicas.iter().filter(is_concerned).any(|r| observed.is_away(r));
        plan.volumes.extend(volume_action(volume, &on_node, is_one_away));
        if matches!(volume.phase, Phase::Creating | Phase::Deleting) {
            continue;
        }
        let settled = volume.replicas.iter().filter(|replica| pending != Some(replica));
        let missing = settled.filter(|replica| {
            !replica.is_lost() && !observed.is_away(replica) && !on_node.contains_key(&replica.uuid)
        });
        plan.problems.extend(missing.map(|replica| Problem::Missing(Object::Volume, replica.uuid)));
    }
    let there = observed.volumes.iter();
    let unknown = there.filter(|v| v.state != VolumeState::Deleting && !recorded.contains(&v.uuid));
    plan.problems.extend(unknown.map(|v| Problem::Unknown(Object::Volume, v.uuid)));
}

fn volume_action(
    volume: &VolumeRecord,
    on_node: &HashMap<Uuid, &VolumeInfo>,
    is_one_away: bool,
) -> Option<VolumeAction> {
    let uuid = volume.uuid;
    let limits = volume.limits();
    let mut there = volume.replicas.iter().filter_map(|replica| on_node.get(&replica.uuid));
    match volume.phase {
        Phase::Ready => there.any(|v| v.limits != limits).then_some(VolumeAction::SetLimits(uuid)),
        _ if is_one_away => None,
        Phase::Creating => Some(VolumeAction::UndoCreate(uuid)),
        Phase::Expanding { to } => Some(VolumeAction::FinishExpand(uuid, to)),
        Phase::Deleting => Some(VolumeAction::FinishDelete(uuid)),
        Phase::AddingReplica(_) => Some(VolumeAction::UndoAddReplica(uuid)),
        Phase::RemovingReplica(_) => Some(VolumeAction::FinishRemoveReplica(uuid)),
    }
}

fn plan_snapshots(plan: &mut StoragePlan, desired: &[SnapshotRecord], observed: &OnNode) {
    let on_node: HashSet<Uuid> = observed.snapshots.iter().map(|s| s.uuid).collect();
    let recorded: HashSet<Uuid> = desired.iter().map(|s| s.uuid).collect();
    for snapshot in desired.iter().filter(|s| !observed.is_away(&s.replica)) {
        match snapshot.phase {
            SnapshotPhase::Creating => plan.snapshots.push(SnapshotAction::UndoTake(snapshot.uuid)),
            SnapshotPhase::Deleting => plan.snapshots.push(SnapshotAction::FinishDelete(snapshot.uuid)),
            SnapshotPhase::Ready if !snapshot.replica.is_lost() && !on_node.contains(&snapshot.uuid) => {
                plan.problems.push(Problem::Missing(Object::Snapshot, snapshot.uuid));
            }
            SnapshotPhase::Ready => {}
        }
    }
    let there = observed.snapshots.iter();
    let unknown = there.filter(|s| s.state != VolumeState::Deleting && !recorded.contains(&s.uuid));
    plan.problems.extend(unknown.map(|s| Problem::Unknown(Object::Snapshot, s.uuid)));
}

/// `volumes`: those that the node has. A namespace without its volume is left out, so that one lost volume does
/// not take the host's others away.
pub(crate) fn plan_subsystems(
    desired: Vec<SubsystemSpec>,
    observed: Vec<SubsystemSpec>,
    volumes: &HashSet<Uuid>,
) -> Vec<SubsystemAction> {
    let mut surplus: BTreeMap<String, SubsystemSpec> =
        observed.into_iter().map(|spec| (spec.nqn.clone(), ordered(spec))).collect();
    let mut actions = Vec::new();
    for mut spec in desired {
        spec.namespaces.retain(|n| volumes.contains(&n.volume));
        let spec = ordered(spec);
        if surplus.remove(&spec.nqn).as_ref() != Some(&spec) {
            actions.push(SubsystemAction::Set(spec));
        }
    }
    actions.extend(surplus.into_keys().map(SubsystemAction::Remove));
    actions
}

fn ordered(mut spec: SubsystemSpec) -> SubsystemSpec {
    spec.namespaces.sort_by_key(|n| n.nsid);
    spec.allowed_hosts.sort();
    spec
}
