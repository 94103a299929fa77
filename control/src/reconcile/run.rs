//! Reads what is desired and what is there, plans, and does it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use dataplane::node::{NodeError, SubsystemSpec, VolumeInfo, VolumeState};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use uuid::Uuid;

use super::{
    plan::{Desired, OnNode, Problem, SubsystemAction, plan_storage, plan_subsystems},
    proofs::Proofs,
    replica::{finish_remove_replica, undo_add_replica},
    snapshot::{finish_delete_snapshot, undo_take},
    volume::{finish_delete, finish_expand, set_limits, undo_create},
};
use crate::{
    app::App,
    envelope::ApiError,
    model::{
        host::HostRecord,
        snapshot::{SnapshotPhase, SnapshotRecord},
        target::TargetRecord,
        volume::{Phase, VolumeRecord},
    },
    nodes::Member,
    store::{StoreError, Watch},
};

/// Without any change, node and store are still compared this often.
const LOOK: Duration = Duration::from_secs(30);

/// Finishes or undoes what a crash or a failing node cut short; returns what cannot be healed. An action that
/// fails is logged and left for the next time.
pub(crate) async fn storage(app: &App) -> Result<Vec<Problem>, StoreError> {
    let desired = Desired {
        volumes: app.state.list().await?.into_iter().map(|v| v.value).collect(),
        snapshots: app.state.list().await?.into_iter().map(|s| s.value).collect(),
    };
    let plan = plan_storage(&desired, &OnNode::new(&app.observe().await, &desired));
    for action in plan.volumes {
        report(action, heal_volume(app, action.volume()).await);
    }
    for action in plan.snapshots {
        report(action, heal_snapshot(app, action.snapshot()).await);
    }
    Ok(plan.problems)
}

fn report(action: impl Debug, done: Result<(), ApiError>) {
    match done {
        Ok(()) => tracing::info!(?action, "brought the node to what is recorded"),
        Err(error) => tracing::warn!(?action, ?error, "could not bring the node to what is recorded"),
    }
}

/// Under the lock, a phase other than Ready is a leftover: whoever works on a volume holds its lock.
async fn heal_volume(app: &App, volume: Uuid) -> Result<(), ApiError> {
    let _lock = app.volume_locks.lock(volume).await;
    let Some(stored) = app.state.get::<VolumeRecord>(&volume.to_string()).await? else { return Ok(()) };
    match stored.value.phase {
        Phase::Ready => set_limits(app, &stored.value).await,
        Phase::Creating => undo_create(app, stored).await?,
        Phase::Expanding { to } => finish_expand(app, stored, to).await?,
        Phase::Deleting => finish_delete(app, stored).await?,
        Phase::AddingReplica(_) => undo_add_replica(app, stored).await?,
        Phase::RemovingReplica(_) => finish_remove_replica(app, stored).await?,
    }
    Ok(())
}

/// As for a volume.
async fn heal_snapshot(app: &App, snapshot: Uuid) -> Result<(), ApiError> {
    let _lock = app.snapshot_locks.lock(snapshot).await;
    let Some(stored) = app.state.get::<SnapshotRecord>(&snapshot.to_string()).await? else { return Ok(()) };
    match stored.value.phase {
        SnapshotPhase::Ready => Ok(()),
        SnapshotPhase::Creating => undo_take(app, stored).await,
        SnapshotPhase::Deleting => finish_delete_snapshot(app, stored).await,
    }
}

/// What could not be exported, by NQN and the backend that should.
pub(crate) type Unexported = BTreeMap<(String, String), NodeError>;

/// Makes the nodes' subsystems what the targets say; called after every change of targets or hosts. One that
/// fails does not keep the others back.
pub(crate) async fn subsystems(app: &App) -> Result<Unexported, StoreError> {
    let _one_at_a_time = app.subsystems.lock().await;
    let hosts = app.state.list::<HostRecord>().await?.into_iter();
    let hosts: HashMap<String, HostRecord> = hosts.map(|h| (h.value.id.clone(), h.value)).collect();
    let proofs = Arc::new(Proofs::read(app, hosts.values()).await?);
    let targets = app.state.list::<TargetRecord>().await?.into_iter().map(|t| t.value);
    let desired: Vec<SubsystemSpec> = targets
        .filter_map(|target| {
            let host = hosts.get(&target.host_id).filter(|host| !proofs.bars(&host.nqn))?;
            Some(target.subsystem(host))
        })
        .collect();
    let volumes = app.state.list::<VolumeRecord>().await?;
    let replicas = volumes.iter().flat_map(|v| &v.value.replicas);
    let backends: HashMap<Uuid, &str> = replicas.map(|r| (r.uuid, r.backend.as_str())).collect();
    let mut exports = JoinSet::new();
    for member in app.nodes.all() {
        let desired =
            part_of(&desired, |volume| backends.get(&volume) == Some(&member.persistent_id.as_str()));
        exports.spawn(export(member, desired, Arc::clone(&proofs)));
    }
    Ok(exports.join_all().await.into_iter().flatten().collect())
}

/// Of each subsystem what one node has to export.
fn part_of(desired: &[SubsystemSpec], is_there: impl Fn(Uuid) -> bool) -> Vec<SubsystemSpec> {
    let mut part = desired.to_vec();
    part.iter_mut().for_each(|spec| spec.namespaces.retain(|namespace| is_there(namespace.volume)));
    part.retain(|spec| !spec.namespaces.is_empty());
    part
}

/// Brings one node to what it has to export.
async fn export(member: Arc<Member>, desired: Vec<SubsystemSpec>, proofs: Arc<Proofs>) -> Unexported {
    let failed_at = |nqn: &str, error| ((nqn.to_owned(), member.persistent_id.clone()), error);
    let nqns: Vec<String> = desired.iter().map(|spec| spec.nqn.clone()).collect();
    match export_all(&member, desired, &proofs).await {
        Ok(failed) => failed.into_iter().map(|(nqn, error)| failed_at(&nqn, error)).collect(),
        Err(error) => {
            tracing::warn!(node = member.persistent_id, %error, "the node does not hear what it shall export");
            nqns.iter().map(|nqn| failed_at(nqn, error.clone())).collect()
        }
    }
}

/// What failed, by NQN; an error concerns all of them.
async fn export_all(
    member: &Member,
    desired: Vec<SubsystemSpec>,
    proofs: &Proofs,
) -> Result<BTreeMap<String, NodeError>, NodeError> {
    let node = &member.handle;
    proofs.demand(node).await?;
    let can_be_exported = |v: &VolumeInfo| v.complete && v.state != VolumeState::Deleting;
    let there = node.volumes().await?.into_iter().filter(can_be_exported);
    let volumes: HashSet<Uuid> = there.map(|v| v.uuid).collect();
    let mut failed = BTreeMap::new();
    for action in plan_subsystems(desired, node.subsystems().await?, &volumes) {
        match action {
            SubsystemAction::Remove(nqn) => node.remove_subsystem(nqn).await?,
            SubsystemAction::Set(spec) => {
                let nqn = spec.nqn.clone();
                if let Err(error) = node.set_subsystem(spec).await {
                    tracing::warn!(nqn, %error, "the node does not export this subsystem as it shall");
                    failed.insert(nqn, error);
                }
            }
        }
    }
    if failed.is_empty() {
        proofs.demand_of_no_others(node).await?;
    }
    Ok(failed)
}

/// Heals until dropped: the subsystems soon after a change of the targets, whoever made it, and everything
/// every now and then.
pub(crate) async fn background(app: Arc<App>, mut targets: Watch) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and everything has just been looked at.
    look.tick().await;
    loop {
        let everything = tokio::select! {
            changed = targets.next() => match changed {
                Some(_) => false,
                None => return,
            },
            _ = look.tick() => true,
        };
        let healed = async {
            if everything {
                storage(&app).await?;
            }
            subsystems(&app).await
        };
        if let Err(error) = healed.await {
            tracing::warn!(%error, "the desired state cannot be read");
        }
    }
}
