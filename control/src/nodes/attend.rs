//! Whether the nodes answer, and what they are told when they come back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::node::NodeError;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Liveness, Member, NodeClient, NodeHandle, authority::node_name, controller_ids, live::BEAT};
use crate::{
    app::{App, SharedApp},
    envelope::{ApiError, Failure},
    events::Kind,
    model::node::NodeRecord,
    reconcile,
    store::LeaseId,
};

/// The tasks that watch nodes in other processes.
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

/// From now on the node is one of ours, until the server ends, it is removed, or the same node joins anew.
pub(crate) fn attend(app: &SharedApp, node: &NodeRecord) {
    let id = &node.persistent_id;
    let to_nodes = Arc::clone(&app.to_nodes);
    let client = NodeClient::new(node.address, node_name(id), node.certificate, to_nodes, app.epoch);
    let member = Arc::new(Member::new(id, NodeHandle::Remote(client), Liveness::new(app.state.store(), id)));
    app.nodes.put(Arc::clone(&member));
    let watched = Arc::clone(app);
    app.attending.tasks().spawn(async move {
        watch(watched, member, None, false).await;
    });
}

/// Keeps a node's lease as long as it answers. One that came for the first time, that was away, or that started again
/// is brought to what is recorded; hosts are let in then. `served`: it has been already.
pub(crate) async fn watch(app: SharedApp, member: Arc<Member>, mut lease: Option<LeaseId>, served: bool) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut served = served.then(|| member.process()).flatten();
    let mut was_alive = served.is_some();
    loop {
        beats.tick().await;
        if !app.nodes.find(&member.persistent_id).is_some_and(|now| Arc::ptr_eq(&now, &member)) {
            return;
        }
        lease = member.beat(lease).await;
        let is_alive = member.liveness.is_alive();
        if was_alive != is_alive {
            tell(&app, &member, is_alive).await;
        }
        if !is_alive {
            served = None;
        }
        was_alive = is_alive;
        // A process that started again may have come back before anybody missed it.
        let process = member.process().filter(|_| is_alive);
        if process.is_some() && served != process && bring_back(&app, &member).await {
            served = process;
        }
    }
}

async fn tell(app: &App, member: &Member, is_alive: bool) {
    let (kind, what) = match is_alive {
        true => (Kind::NodeAvailable, "answers"),
        false => (Kind::NodeUnavailable, "does not answer"),
    };
    app.events.add(kind, &member.persistent_id, format!("node {} {what}", member.persistent_id)).await;
}

async fn bring_back(app: &App, member: &Member) -> bool {
    let brought = async {
        reconcile::storage(app).await?;
        let failed = reconcile::subsystems(app).await?;
        let is_deaf = |((_, backend), error): (&(String, String), &NodeError)| {
            *backend == member.persistent_id && matches!(error, NodeError::NoAnswer(_))
        };
        if let Some((_, deaf)) = failed.iter().find(|failure| is_deaf(*failure)) {
            return Err(Failure::from(deaf.clone()).into());
        }
        let_in(app, member).await
    };
    match brought.await {
        Ok(()) => {
            tracing::info!(node = member.persistent_id, "the node serves what is published");
            true
        }
        Err(error) => {
            tracing::warn!(node = member.persistent_id, ?error, "hosts are not let in yet");
            false
        }
    }
}

/// Hosts may connect from now on: the node exports what they were published, and its controllers have identifiers that
/// no other node gives.
pub(crate) async fn let_in(app: &App, member: &Member) -> Result<(), ApiError> {
    let ids = controller_ids::assign(app, &member.persistent_id).await?;
    member.handle.assign_controller_ids(*ids.start(), *ids.end()).await?;
    Ok(member.handle.open_portals().await?)
}
