//! Nodes in other processes: whether they answer, and what they are told when they come back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dataplane::node::NodeError;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Liveness, Member, NodeClient, NodeHandle, authority::node_name};
use crate::{app::SharedApp, model::node::NodeRecord, reconcile};

/// The tasks that watch nodes.
#[derive(Default)]
pub(crate) struct Attending(Mutex<JoinSet<()>>);

impl Attending {
    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop(&self) {
        self.tasks().abort_all();
    }
}

/// From now on the node is one of ours, until the server ends or the same node joins anew.
pub(crate) fn attend(app: &SharedApp, node: &NodeRecord) {
    let id = &node.persistent_id;
    let client = NodeClient::new(node.address, node_name(id), Arc::clone(&app.to_nodes));
    let member = Arc::new(Member::new(id, NodeHandle::Remote(client), Liveness::new(app.state.store(), id)));
    app.nodes.put(Arc::clone(&member));
    let watched = Arc::clone(app);
    app.attending.tasks().spawn(watch(watched, member));
}

/// A node that came for the first time, or started again, is brought to what is recorded; hosts are let in then.
async fn watch(app: SharedApp, member: Arc<Member>) {
    let mut beats = interval(Duration::from_secs(1));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut lease, mut served) = (None, None);
    loop {
        beats.tick().await;
        if !app.nodes.find(&member.persistent_id).is_some_and(|now| Arc::ptr_eq(&now, &member)) {
            return;
        }
        lease = member.liveness.beat(&member.handle, lease).await;
        // A process that started again may have come back before anybody missed it.
        let Ok(instance) = member.handle.instance().await else { continue };
        if served != Some(instance) && bring_back(&app, &member).await {
            served = Some(instance);
        }
    }
}

async fn bring_back(app: &SharedApp, member: &Member) -> bool {
    let brought = async {
        reconcile::storage(app).await?;
        reconcile::subsystems(app).await
    };
    let failed = match brought.await {
        Ok(failed) => failed,
        Err(error) => {
            tracing::warn!(%error, "the desired state cannot be read");
            return false;
        }
    };
    let is_deaf = |((_, backend), error): (&(String, String), &NodeError)| {
        *backend == member.persistent_id && matches!(error, NodeError::NoAnswer(_))
    };
    if failed.iter().any(is_deaf) {
        return false;
    }
    match member.handle.open_portals().await {
        Ok(()) => {
            tracing::info!(node = member.persistent_id, "the node serves what is published");
            true
        }
        Err(error) => {
            tracing::warn!(node = member.persistent_id, %error, "hosts are not let in yet");
            false
        }
    }
}
