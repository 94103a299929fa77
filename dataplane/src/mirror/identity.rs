//! What marks a volume as a replica: its attachment, written when it is made and never changed.

use replication::NodeId;
use serde::{Deserialize, Serialize};

use super::encoding;
use crate::volume::Volume;

/// Which replica a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaIdentity {
    /// Of the replicated volume, the same on all nodes: what stands in the NSID of their commands.
    pub number: u32,
    /// Whose replica it is: the node's number when the volume was made.
    pub me: NodeId,
}

/// No document of reservations begins so.
const MAGIC: &[u8; 16] = b"basalt replica 1";

impl ReplicaIdentity {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(encoding::encode(self));
        bytes
    }

    /// Of a volume; `None` if it is none.
    pub(crate) fn of(volume: &Volume) -> Option<Self> {
        Self::decode(&volume.attachment())
    }

    /// What an attachment says.
    pub(crate) fn decode(attachment: &[u8]) -> Option<Self> {
        let body = attachment.strip_prefix(MAGIC)?;
        encoding::decode(body).ok()
    }
}
