//! A volume's rate limits.

use uuid::Uuid;

use super::{Node, NodeError, RateLimits};

impl Node {
    /// Limits a volume from now on, whoever uses it; commands that wait go on under the new limits. Kept by the
    /// control plane, not on the drive: a volume is unlimited when its node starts.
    pub async fn set_limits(&self, uuid: Uuid, limits: RateLimits) -> Result<(), NodeError> {
        self.find(uuid)?;
        self.inner.target.set_limits(uuid, limits);
        Ok(())
    }
}
