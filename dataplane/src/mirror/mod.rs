//! Replicated volumes: the state machine of `replication` on a real volume, real connections and a real clock.
//!
//! ```text
//! hosts' commands --> volume::Volume --> handle --+                       +--> durable   (its durable fields)
//!                                                 +--> replica (home core)+--> work      (this node's volume)
//! other nodes' commands --> target --> serve -----+                       +--> peers     (connections to other nodes)
//!                                                                         +--> set_change (the store, by the control plane)
//! ```
//! A replica lives on one core, its home; who is elsewhere sends it messages. Blocks are never moved between cores but
//! copied there: buffers stay on their core.
//!
//! A replicated volume begins with [`META_BYTES`] that hosts do not see, where its durable fields lie. What marks it is its
//! attachment ([`identity`]): a volume that has one is never exported without its replica.

mod content;
mod durable;
mod encoding;
mod handle;
mod host_io;
mod identity;
mod peers;
mod replica;
mod serve;
mod set_change;
#[cfg(test)]
mod tests;
mod work;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nvmeof::auth::{Credentials, Requirement};
pub use replication::{
    Epoch, Leadership, LinkState, Membership, NodeId, PeerStatus, Phase, Role, Status, Stored,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use self::{
    handle::{MirrorHandle, Mirrors},
    replica::{Mirror, format, home_of, open},
    serve::{Mailbox, execute},
};
pub use self::{identity::ReplicaIdentity, set_change::SetChange};

/// At the front of a replicated volume, for its durable fields; a multiple of every extent.
pub const META_BYTES: u64 = 16 << 20;

/// How long nodes wait for one another. Agreed by all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a grant to read lasts: the pause after the death of a primary whom nobody could ask (M3).
    pub grant: Duration,
    /// How long a primary waits for a peer whose connection broke before it goes on without it.
    pub patience: Duration,
    /// A node that answers nothing for so long is cut off.
    pub silence_max: Duration,
}

impl Default for Timing {
    /// Well within the 30 seconds after which Linux gives a command up.
    fn default() -> Self {
        Self {
            grant: Duration::from_secs(4),
            patience: Duration::from_secs(2),
            silence_max: Duration::from_secs(2),
        }
    }
}

/// Another node that may hold replicas of this one's volumes.
#[derive(Debug, Clone)]
pub struct Peer {
    pub node: NodeId,
    /// Its portal for storage.
    pub address: SocketAddr,
    /// How we prove who we are there, and have it prove itself.
    pub credentials: Option<Credentials>,
    /// What it has to prove here.
    pub requirement: Option<Arc<Requirement>>,
}

/// Who a node is to the others, and who they are.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub me: NodeId,
    pub peers: Vec<Peer>,
    pub timing: Timing,
}

/// A volume that becomes a replica when it is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewReplica {
    pub identity: ReplicaIdentity,
    /// The volume's first, or the present one for a replica that is added later.
    pub membership: Membership,
    /// It is made with its volume, empty like all others; else it has yet to be filled.
    pub complete: bool,
}

/// What a person or the control plane is told of a replica.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplicaInfo {
    pub volume: Uuid,
    pub identity: ReplicaIdentity,
    pub status: Status,
}
