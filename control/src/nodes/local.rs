//! The node in this process, with what is remembered of its drives.

use std::sync::Arc;

use dataplane::node::{DriveConfig, DriveInfo, Node, NodeError};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Observation, Process};
use crate::{ControlError, known_drives::KnownDrives};

/// Cloneable; all clones are the same node.
#[derive(Debug, Clone)]
pub(crate) struct LocalNode {
    pub(crate) node: Node,
    instance: Uuid,
    /// Held while drives come, grow and go.
    known_drives: Arc<Mutex<KnownDrives>>,
}

impl LocalNode {
    pub(crate) fn new(node: Node, known_drives: KnownDrives) -> Self {
        Self { node, instance: Uuid::new_v4(), known_drives: Arc::new(Mutex::new(known_drives)) }
    }

    /// As long as the node has not been shut down.
    pub(super) async fn process(&self) -> Result<Process, NodeError> {
        match self.node.core_answers(0).await {
            true => Ok(Process { instance: self.instance, version: env!("CARGO_PKG_VERSION").to_owned() }),
            false => Err(NodeError::ShuttingDown),
        }
    }

    pub(super) async fn observe(&self) -> Observation {
        Observation {
            portals: self.node.portals(),
            drives: self.node.drives().await,
            volumes: self.node.volumes().await,
            snapshots: self.node.snapshots().await,
        }
    }

    /// Takes note of how far the drives are, so that an older copy of one is known at the next start.
    pub(crate) async fn remember_drives(&self) -> Result<(), ControlError> {
        let drives = self.node.drives().await;
        self.known_drives.lock().await.see(&drives)
    }

    /// Opens a drive and remembers it: it is opened at every start from now on.
    pub(super) async fn add_drive(&self, mut config: DriveConfig) -> Result<DriveInfo, NodeError> {
        let mut known = self.known_drives.lock().await;
        config.identity = known.identity(&config.medium);
        let drive = self.node.add_drive(config.clone()).await?;
        known.add(&config, &drive).map_err(|error| not_remembered(&error))?;
        Ok(drive)
    }

    pub(super) async fn grow_drive(
        &self,
        drive: Uuid,
        size_bytes: Option<u64>,
    ) -> Result<DriveInfo, NodeError> {
        let mut known = self.known_drives.lock().await;
        let drive = self.node.grow_drive(drive, size_bytes).await?;
        known.see(std::slice::from_ref(&drive)).map_err(|error| not_remembered(&error))?;
        Ok(drive)
    }

    /// Closes an empty drive and forgets it.
    pub(super) async fn remove_drive(&self, drive: Uuid) -> Result<(), NodeError> {
        let mut known = self.known_drives.lock().await;
        self.node.remove_drive(drive).await?;
        known.forget(drive).map_err(|error| not_remembered(&error))
    }

    /// Begins to empty a drive, which is removed in the end. It goes on whoever waits; a restart ends it, and the drive
    /// then serves as before.
    pub(super) async fn begin_evacuation(&self, drive: Uuid) -> Result<(), NodeError> {
        self.node.prepare_evacuation(drive).await?;
        let this = self.clone();
        tokio::spawn(async move {
            // What goes wrong in between stands in the drive's `evacuation`.
            if this.node.evacuate_drive(drive).await.is_ok()
                && let Err(error) = this.remove_drive(drive).await
            {
                tracing::error!(%drive, %error, "the drive is empty but was not closed");
            }
        });
        Ok(())
    }
}

/// It is done, but the next start will not know.
fn not_remembered(error: &ControlError) -> NodeError {
    tracing::error!(%error, "a change of the drives was made but not written down");
    NodeError::Drive(format!("the change was made, but it could not be written down: {error}"))
}
