//! The storage nodes that this control plane directs, by persistentID.

mod attend;
pub(crate) mod authority;
mod client;
mod controller_ids;
mod identify;
pub(crate) mod invite;
mod live;
mod local;
mod operations;
mod upkeep;
pub(crate) mod wire;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use dataplane::node::{DriveInfo, NodeError, SnapshotInfo, VolumeInfo};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;

pub(crate) use self::{
    attend::{Attending, attend, let_in, watch},
    client::NodeClient,
    identify::{Shown, identify},
    live::Liveness,
    local::LocalNode,
    operations::routes,
    upkeep::keep_up,
};
use crate::{
    app::App,
    model::{backend::BackendRecord, node::NodeRecord},
    store::{LeaseId, StoreError},
};

/// How a node is reached. What it can be asked for stands in `operations`.
#[derive(Debug, Clone)]
pub(crate) enum NodeHandle {
    Local(LocalNode),
    Remote(NodeClient),
}

/// What a node has, at one time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Observation {
    /// Where hosts connect; an unspecified address is any of the node's.
    pub(crate) portals: Vec<SocketAddr>,
    pub(crate) drives: Vec<DriveInfo>,
    pub(crate) volumes: Vec<VolumeInfo>,
    pub(crate) snapshots: Vec<SnapshotInfo>,
}

/// The process that a node is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Another one after each start.
    pub(crate) instance: Uuid,
    pub(crate) version: String,
}

/// A node and whether it is there.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) persistent_id: String,
    pub(crate) handle: NodeHandle,
    pub(crate) liveness: Liveness,
    last: RwLock<Told>,
}

/// What a node told when it last answered.
#[derive(Debug, Default)]
struct Told {
    drives: Vec<DriveInfo>,
    process: Option<Process>,
}

impl Member {
    pub(crate) fn new(persistent_id: &str, handle: NodeHandle, liveness: Liveness) -> Self {
        Self { persistent_id: persistent_id.to_owned(), handle, liveness, last: RwLock::default() }
    }

    /// Its drives, as it last told of them.
    pub(crate) fn last_drives(&self) -> Vec<DriveInfo> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).drives.clone()
    }

    /// As it last told; `None` before it did.
    pub(crate) fn process(&self) -> Option<Process> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).process.clone()
    }

    pub(crate) fn saw(&self, drives: Vec<DriveInfo>) {
        self.last.write().unwrap_or_else(PoisonError::into_inner).drives = drives;
    }

    /// Asks whether it is there; returns the lease that holds now.
    pub(crate) async fn beat(&self, lease: Option<LeaseId>) -> Option<LeaseId> {
        let answer = timeout(live::LEASE, async {
            Ok::<_, NodeError>((self.handle.process().await?, self.handle.drives().await?))
        });
        let told = answer.await.ok().and_then(Result::ok);
        let lease = self.liveness.note(told.is_some(), lease).await;
        if let Some((process, drives)) = told {
            *self.last.write().unwrap_or_else(PoisonError::into_inner) =
                Told { drives, process: Some(process) };
        }
        if let NodeHandle::Remote(client) = &self.handle {
            client.set_away(!self.liveness.is_alive());
        }
        lease
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Nodes(RwLock<BTreeMap<String, Arc<Member>>>);

impl Nodes {
    /// Replaces the one of the same persistentID.
    pub(crate) fn put(&self, member: Arc<Member>) {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        members.insert(member.persistent_id.clone(), member);
    }

    /// In the order of their persistentIDs.
    pub(crate) fn all(&self) -> Vec<Arc<Member>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// From now on it is none of ours.
    pub(crate) fn remove(&self, persistent_id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(persistent_id);
    }

    pub(crate) fn find(&self, persistent_id: &str) -> Option<Arc<Member>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(persistent_id).cloned()
    }

    /// The node of a volume's or snapshot's copy.
    ///
    /// # Errors
    /// `NoAnswer` if it is none of ours any more.
    pub(crate) fn of(&self, persistent_id: &str) -> Result<NodeHandle, NodeError> {
        let found = self.find(persistent_id).map(|member| member.handle.clone());
        found.ok_or_else(|| NodeError::NoAnswer(format!("backend {persistent_id:?} is not known")))
    }

    /// Whether there is a node that answers.
    pub(crate) fn is_any_alive(&self) -> bool {
        self.all().iter().any(|member| member.liveness.is_alive())
    }
}

/// What people call the nodes, by persistentID. Those of other makes have no other name.
pub(crate) async fn names(app: &App) -> Result<BTreeMap<String, String>, StoreError> {
    let joined = app.state.list::<NodeRecord>().await?.into_iter().map(|node| node.value);
    let own = app.own_node.iter().map(|id| (id.clone(), app.node_name()));
    let others = app.state.list::<BackendRecord>().await?.into_iter().map(|backend| backend.value);
    let others = others.filter(|backend| !backend.is_ours()).map(|backend| backend.persistent_id);
    let others = others.map(|id| (id.clone(), id));
    Ok(joined.map(|node| (node.persistent_id, node.name)).chain(own).chain(others).collect())
}
