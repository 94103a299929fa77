//! How a snapshot looks to clients: the record, and what the node says of it.

use std::collections::HashMap;

use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::SharedApp,
    limits,
    model::{reserve::DEFAULT_PERCENT, snapshot::SnapshotRecord},
};

/// The contract's Snapshot object. Fields that do not apply are omitted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotView {
    alias: String,
    #[serde(rename = "volumeID")]
    volume_id: Uuid,
    #[serde(rename = "snapshotID")]
    snapshot_id: Uuid,
    #[serde(rename = "replicaID")]
    replica_id: Uuid,
    reserved_space_percentage: u64,
    reserved_space: u64,
    capacity: u64,
    timestamp: u64,
    tenant_id: String,
    /// What deleting it frees (D63); omitted while the node does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_bytes: Option<u64>,
}

impl SnapshotView {
    pub(super) fn new(snapshot: &SnapshotRecord, unique_bytes: Option<u64>) -> Self {
        Self {
            alias: snapshot.alias.clone(),
            volume_id: snapshot.volume,
            snapshot_id: snapshot.uuid,
            replica_id: snapshot.replica.uuid,
            reserved_space_percentage: match snapshot.reserve_percent {
                0 => DEFAULT_PERCENT,
                percent => percent,
            },
            reserved_space: snapshot.size.reserved_bytes,
            capacity: snapshot.size.capacity_bytes(),
            timestamp: snapshot.taken_ms,
            tenant_id: snapshot.tenant_id.clone(),
            unique_bytes,
        }
    }
}

/// What deleting each snapshot would free. The node walks their maps, so several are asked for at once, but not
/// all; those that are not known in time are left out.
pub(super) async fn unique_bytes(
    app: &SharedApp,
    snapshots: impl Iterator<Item = &SnapshotRecord>,
) -> HashMap<Uuid, u64> {
    let mut waiting = snapshots.fuse();
    let mut walks = JoinSet::new();
    let mut found = HashMap::new();
    let end = Instant::now() + limits::NODE_ANSWER;
    loop {
        while walks.len() < limits::WALKS
            && let Some(snapshot) = waiting.next()
        {
            let Ok(node) = app.nodes.of(&snapshot.replica.backend) else { continue };
            let uuid = snapshot.uuid;
            walks.spawn(async move { (uuid, node.snapshot_unique_bytes(uuid).await) });
        }
        match timeout_at(end, walks.join_next()).await {
            Ok(Some(Ok((uuid, Ok(bytes))))) => {
                found.insert(uuid, bytes);
            }
            // One that is gone by now, or that the node cannot read.
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return found,
        }
    }
}
