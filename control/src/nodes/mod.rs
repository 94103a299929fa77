//! The storage nodes that this control plane directs, by persistentID.

mod attend;
pub(crate) mod authority;
mod client;
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

pub(crate) use self::{
    attend::{Attending, attend},
    client::NodeClient,
    live::Liveness,
    local::LocalNode,
    operations::routes,
    upkeep::keep_up,
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

/// A node and whether it is there.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) persistent_id: String,
    pub(crate) handle: NodeHandle,
    pub(crate) liveness: Liveness,
    last_drives: RwLock<Vec<DriveInfo>>,
}

impl Member {
    pub(crate) fn new(persistent_id: &str, handle: NodeHandle, liveness: Liveness) -> Self {
        Self { persistent_id: persistent_id.to_owned(), handle, liveness, last_drives: RwLock::default() }
    }

    /// Its drives, as it last told of them.
    pub(crate) fn last_drives(&self) -> Vec<DriveInfo> {
        self.last_drives.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn saw(&self, drives: Vec<DriveInfo>) {
        *self.last_drives.write().unwrap_or_else(PoisonError::into_inner) = drives;
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

    /// From now on it is none of ours.
    pub(crate) fn remove(&self, persistent_id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(persistent_id);
    }

    /// In the order of their persistentIDs.
    pub(crate) fn all(&self) -> Vec<Arc<Member>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
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

    /// Whether every node answers.
    pub(crate) fn are_all_alive(&self) -> bool {
        self.all().iter().all(|member| member.liveness.is_alive())
    }
}
