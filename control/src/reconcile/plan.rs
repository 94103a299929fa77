//! What must be done so that the node has what it shall have. Pure: no I/O, no clock.

use std::collections::{BTreeMap, HashSet};

use dataplane::node::{SubsystemSpec, VolumeInfo, VolumeState};
use uuid::Uuid;

use crate::model::volume::{Phase, Size, VolumeRecord};

/// Finishes what a crash or a failing node cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VolumeAction {
    /// Nobody was told of the volume.
    UndoCreate(Uuid),
    FinishExpand(Uuid, Size),
    FinishDelete(Uuid),
}

impl VolumeAction {
    pub(crate) fn volume(self) -> Uuid {
        let (Self::UndoCreate(volume) | Self::FinishExpand(volume, _) | Self::FinishDelete(volume)) = self;
        volume
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
    #[error("volume {0} is recorded but on no drive of this node: is a drive missing?")]
    VolumeMissing(Uuid),
    /// Never deleted by itself: it may be all that is left of somebody's data.
    #[error("volume {0} is on a drive but not recorded here: was the drive used by another server?")]
    VolumeUnknown(Uuid),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct VolumePlan {
    pub(crate) actions: Vec<VolumeAction>,
    pub(crate) problems: Vec<Problem>,
}

pub(crate) fn plan_volumes(desired: &[VolumeRecord], observed: &[VolumeInfo]) -> VolumePlan {
    let mut plan = VolumePlan::default();
    let on_node: HashSet<Uuid> = observed.iter().map(|v| v.uuid).collect();
    let mut recorded = HashSet::new();
    for volume in desired {
        recorded.extend(volume.replicas.iter().map(|r| r.uuid));
        match volume.phase {
            Phase::Creating => plan.actions.push(VolumeAction::UndoCreate(volume.uuid)),
            Phase::Expanding { to } => plan.actions.push(VolumeAction::FinishExpand(volume.uuid, to)),
            Phase::Deleting => plan.actions.push(VolumeAction::FinishDelete(volume.uuid)),
            Phase::Ready => {}
        }
        let missing = volume.replicas.iter().filter(|r| !on_node.contains(&r.uuid));
        if matches!(volume.phase, Phase::Ready | Phase::Expanding { .. }) {
            plan.problems.extend(missing.map(|r| Problem::VolumeMissing(r.uuid)));
        }
    }
    let stays = |v: &&VolumeInfo| v.state != VolumeState::Deleting;
    let unknown = observed.iter().filter(stays).filter(|v| !recorded.contains(&v.uuid));
    plan.problems.extend(unknown.map(|v| Problem::VolumeUnknown(v.uuid)));
    plan.problems.sort();
    plan
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

#[cfg(test)]
mod tests {
    use dataplane::node::{BlockSize, NamespaceSpec};

    use super::*;
    use crate::model::volume::tests::volume;

    fn on_node(uuid: u128) -> VolumeInfo {
        VolumeInfo {
            uuid: Uuid::from_u128(uuid),
            drive: Uuid::nil(),
            size_bytes: 1,
            block_size: BlockSize::B4096,
            reserved_bytes: 0,
            used_bytes: 0,
            limits: dataplane::node::RateLimits::default(),
            shared_bytes: 0,
            writable: true,
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

    #[test]
    fn phases_by_what_the_node_has() {
        let id = Uuid::from_u128(1);
        let to = Size { capacity_gib: 2, reserved_bytes: 0 };
        // (phase, on the node, actions, problems)
        let table: [(Phase, bool, Vec<VolumeAction>, Vec<Problem>); 8] = [
            (Phase::Ready, true, vec![], vec![]),
            (Phase::Ready, false, vec![], vec![Problem::VolumeMissing(id)]),
            (Phase::Creating, true, vec![VolumeAction::UndoCreate(id)], vec![]),
            (Phase::Creating, false, vec![VolumeAction::UndoCreate(id)], vec![]),
            (Phase::Expanding { to }, true, vec![VolumeAction::FinishExpand(id, to)], vec![]),
            (
                Phase::Expanding { to },
                false,
                vec![VolumeAction::FinishExpand(id, to)],
                vec![Problem::VolumeMissing(id)],
            ),
            (Phase::Deleting, true, vec![VolumeAction::FinishDelete(id)], vec![]),
            (Phase::Deleting, false, vec![VolumeAction::FinishDelete(id)], vec![]),
        ];
        for (phase, there, actions, problems) in table {
            let record = VolumeRecord { phase, ..volume(1, 1) };
            let observed = if there { vec![on_node(1)] } else { vec![] };
            assert_eq!(
                plan_volumes(&[record], &observed),
                VolumePlan { actions, problems },
                "{phase:?} {there}"
            );
        }
    }

    #[test]
    fn a_volume_nobody_recorded_is_reported_and_left_alone() {
        let plan = plan_volumes(&[], &[on_node(9)]);
        assert_eq!(plan.problems, [Problem::VolumeUnknown(Uuid::from_u128(9))]);
        assert!(plan.actions.is_empty());
        let going = VolumeInfo { state: VolumeState::Deleting, ..on_node(9) };
        assert_eq!(
            plan_volumes(&[], &[going]),
            VolumePlan::default(),
            "what is being deleted is no stranger"
        );
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
}
