//! What a replica is told at its start.

use std::time::Duration;

use crate::{durable::Boot, membership::NodeId, range::Grain};

/// Agreed by all replicas of a volume, but for who they are.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub me: NodeId,
    /// Greater at each start of the process.
    pub incarnation: u64,
    pub boot: Boot,
    pub grain: Grain,
    /// How long a grant to read lasts.
    pub grant: Duration,
    /// How long a primary waits for a peer before it goes on without it.
    pub patience: Duration,
    /// Copies under way to one replica.
    pub copies_max: usize,
    pub cheat: Option<Cheat>,
}

/// A rule that is broken, to see that the tests notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cheat {
    /// Answers hosts before the loss of a peer is recorded in the store.
    AnswerBeforeRecord,
    /// Reads without grants.
    NoGrants,
    /// A replica executes whatever arrives.
    NoFence,
    /// A fence is answered while older writes are under way.
    NoDrain,
    /// A replica that lost power counts as intact.
    NoIncarnation,
    /// A replica drops its records when it has flushed, whatever the others have.
    DropEarly,
    /// A new primary serves without making the recently written equal.
    NoEqualize,
    /// Reads do not wait for writes of the same blocks under way.
    ReadInFlight,
}

impl Config {
    /// The primary counts a grant from before it asked, and shorter: its clock may be slow by 1 % (M3).
    pub(crate) fn grant_for_primary(&self) -> Duration {
        self.grant * 98 / 100
    }

    /// The replica counts it from when it answered, and longer: its clock may be fast.
    pub(crate) fn grant_for_replica(&self) -> Duration {
        self.grant * 102 / 100
    }

    pub(crate) fn cheats(&self, cheat: Cheat) -> bool {
        self.cheat == Some(cheat)
    }
}
