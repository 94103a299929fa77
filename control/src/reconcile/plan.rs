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
        snapshot::{SnapshotPhase, SnapshotRecord},
        volume::{Phase, Replica, Size, VolumeRecord},
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
    /// Backends that do not answer: what they have is not known, so nothing that has a copy there is touched.
    pub(crate) away: HashSet<String>,
    pub(crate) volumes: Vec<VolumeInfo>,
    pub(crate) snapshots: Vec<SnapshotInfo>,
}

impl OnNode {
    pub(crate) fn new(observed: &Observed, desired: &Desired) -> Self {
        let of_volumes = desired.volumes.iter().flat_map(|v| &v.replicas);
        let replicas = of_volumes.chain(desired.snapshots.iter().map(|s| &s.replica));
        let away = replicas.map(|r| &r.backend).filter(|backend| !observed.is_available(backend));
        Self {
            away: away.cloned().collect(),
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
    /// The node forgets limits when it restarts.
    SetLimits(Uuid),
}

impl VolumeAction {
    pub(crate) fn volume(self) -> Uuid {
        let (Self::UndoCreate(volume)
        | Self::FinishExpand(volume, _)
        | Self::FinishDelete(volume)
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
        if volume.replicas.iter().any(|r| observed.is_away(r)) {
            continue;
        }
        let replicas = || volume.replicas.iter().map(|r| (r.uuid, on_node.get(&r.uuid)));
        let limits = volume.limits();
        match volume.phase {
            Phase::Creating => plan.volumes.push(VolumeAction::UndoCreate(volume.uuid)),
            Phase::Expanding { to } => plan.volumes.push(VolumeAction::FinishExpand(volume.uuid, to)),
            Phase::Deleting => plan.volumes.push(VolumeAction::FinishDelete(volume.uuid)),
            Phase::Ready if replicas().any(|(_, there)| there.is_some_and(|v| v.limits != limits)) => {
                plan.volumes.push(VolumeAction::SetLimits(volume.uuid));
            }
            Phase::Ready => {}
        }
        if matches!(volume.phase, Phase::Ready | Phase::Expanding { .. }) {
            let missing = replicas().filter(|(_, there)| there.is_none());
            plan.problems.extend(missing.map(|(uuid, _)| Problem::Missing(Object::Volume, uuid)));
        }
    }
    let there = observed.volumes.iter();
    let unknown = there.filter(|v| v.state != VolumeState::Deleting && !recorded.contains(&v.uuid));
    plan.problems.extend(unknown.map(|v| Problem::Unknown(Object::Volume, v.uuid)));
}

fn plan_snapshots(plan: &mut StoragePlan, desired: &[SnapshotRecord], observed: &OnNode) {
    let on_node: HashSet<Uuid> = observed.snapshots.iter().map(|s| s.uuid).collect();
    let recorded: HashSet<Uuid> = desired.iter().map(|s| s.uuid).collect();
    for snapshot in desired.iter().filter(|s| !observed.is_away(&s.replica)) {
        match snapshot.phase {
            SnapshotPhase::Creating => plan.snapshots.push(SnapshotAction::UndoTake(snapshot.uuid)),
            SnapshotPhase::Deleting => plan.snapshots.push(SnapshotAction::FinishDelete(snapshot.uuid)),
            SnapshotPhase::Ready if !on_node.contains(&snapshot.uuid) => {
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
