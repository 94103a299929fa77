//! The state of a volume's path through this node.

use uuid::Uuid;

use super::{AnaState, Node, NodeError};

impl Node {
    /// The state in which hosts see the volume through this node; optimized when the node starts.
    pub async fn ana_state(&self, uuid: Uuid) -> Result<AnaState, NodeError> {
        self.find(uuid)?;
        Ok(self.inner.target.ana_state(uuid))
    }

    /// Sets it, and tells all hosts that have the volume. Once this has returned, no command is under way that the
    /// new state would refuse: another node may take the volume over (M8, H1).
    ///
    /// # Errors
    /// If there is no such volume, or it is exported and its path was given up for good.
    pub async fn set_ana_state(&self, uuid: Uuid, state: AnaState) -> Result<(), NodeError> {
        self.find(uuid)?;
        self.inner.target.set_ana_state(uuid, state).await
    }
}
