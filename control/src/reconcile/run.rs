//! Reads what is desired and what is there, plans, and does it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use dataplane::node::{NodeError, VolumeState};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::{
    plan::{Problem, SubsystemAction, plan_subsystems, plan_volumes},
    volume::{finish_delete, finish_expand, undo_create},
};
use crate::{
    app::App,
    model::{
        host::HostRecord,
        target::TargetRecord,
        volume::{Phase, VolumeRecord},
    },
    store::{StoreError, Watch},
};

/// Without any change, node and store are still compared this often.
const LOOK: Duration = Duration::from_secs(30);

/// Finishes or undoes what a crash or a failing node cut short; returns what cannot be healed. An action that
/// fails is logged and left for the next time.
pub(crate) async fn volumes(app: &App) -> Result<Vec<Problem>, StoreError> {
    let desired: Vec<VolumeRecord> = app.state.list().await?.into_iter().map(|v| v.value).collect();
    let plan = plan_volumes(&desired, &app.node.volumes().await);
    for action in plan.actions {
        let volume = action.volume();
        let _lock = app.volume_locks.lock(volume).await;
        // Under the lock, a phase other than Ready is a leftover: whoever works on a volume holds its lock.
        let Some(stored) = app.state.get::<VolumeRecord>(&volume.to_string()).await? else { continue };
        let done = match stored.value.phase {
            Phase::Ready => continue,
            Phase::Creating => undo_create(app, stored).await,
            Phase::Expanding { to } => finish_expand(app, stored, to).await,
            Phase::Deleting => finish_delete(app, stored).await,
        };
        match done {
            Ok(()) => tracing::info!(%volume, ?action, "finished what was cut short"),
            Err(error) => tracing::warn!(%volume, ?action, ?error, "could not finish what was cut short"),
        }
    }
    Ok(plan.problems)
}

/// What the node could not export, by NQN.
pub(crate) type Unexported = BTreeMap<String, NodeError>;

/// Makes the node's subsystems what the targets say; called after every change of targets or hosts. One that
/// fails does not keep the others back.
pub(crate) async fn subsystems(app: &App) -> Result<Unexported, StoreError> {
    let _one_at_a_time = app.subsystems.lock().await;
    let hosts = app.state.list::<HostRecord>().await?.into_iter();
    let hosts: HashMap<String, HostRecord> = hosts.map(|h| (h.value.id.clone(), h.value)).collect();
    let targets = app.state.list::<TargetRecord>().await?;
    let desired = targets.iter().filter_map(|t| Some(t.value.subsystem(hosts.get(&t.value.host_id)?)));
    let there = app.node.volumes().await.into_iter().filter(|v| v.state != VolumeState::Deleting);
    let volumes: HashSet<Uuid> = there.map(|v| v.uuid).collect();
    let mut failed = Unexported::new();
    for action in plan_subsystems(desired.collect(), app.node.subsystems().await, &volumes) {
        match action {
            SubsystemAction::Remove(nqn) => app.node.remove_subsystem(&nqn).await,
            SubsystemAction::Set(spec) => {
                let nqn = spec.nqn.clone();
                if let Err(error) = app.node.set_subsystem(spec).await {
                    tracing::warn!(nqn, %error, "the node does not export this subsystem as it shall");
                    failed.insert(nqn, error);
                }
            }
        }
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
                volumes(&app).await?;
            }
            subsystems(&app).await
        };
        if let Err(error) = healed.await {
            tracing::warn!(%error, "the desired state cannot be read");
        }
    }
}
