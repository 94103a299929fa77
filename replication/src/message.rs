//! What replicas say to each other. A connection may deliver late and out of order, but nothing twice; what an old
//! connection delivers after a newer one was made is recognised by its session.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    membership::{Membership, NodeId, Session},
    range::{BlockRange, Extent, Region, Superset},
};

/// A command of a primary, unique in its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandId(pub u64);

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Primary: from now on, obey this session and none before it.
    Fence { session: Session, membership: Membership },
    /// It does, durably, and nothing that an older session asked for is under way any more (M4).
    Fenced { session: Session, replica: Standing },
    /// It does not: it obeys another session by now. `newer` is the newest membership that it takes part in, `of` the
    /// command that ends with this, or none for a fence.
    Refused { newer: Membership, of: Option<CommandId> },
    /// Primary: do this. Writes and copies carry their blocks.
    Command { session: Session, id: CommandId, command: Command },
    /// Done, or the replica's drive failed. The answer to a fetch that is done carries its blocks.
    Done { session: Session, id: CommandId, outcome: Outcome },
    /// Primary: may I read without asking? `asked` is its own time, to be given back.
    GrantRequest { session: Session, asked: Duration },
    /// For the agreed time from when it asked (M3).
    Grant { session: Session, asked: Duration },
    /// Primary: I read no more.
    GrantReturn { session: Session },
    /// Primary: this flush completed on all replicas in sync. Of these regions a write began before it ended and may
    /// not have reached everybody, so they stay in the record, even where the flush covered it. More may stay, too.
    Flushed { session: Session, flush: CommandId, except: Superset<Region> },
}

/// What a fenced replica is, for the primary to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Nothing that it acknowledged since it was last equal to a primary can be lost.
    pub intact: bool,
    /// It holds the volume's data, but for what left members lack.
    pub complete: bool,
    pub record: Superset<Region>,
    /// How large the volume is, as far as the replica knows.
    pub extents: u64,
}

/// What a primary asks of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A host's write, or an extent copied.
    Write(BlockRange),
    Flush,
    /// Blocks, for a primary that lost some.
    Fetch(BlockRange),
    /// Equal now. `missing` is what those lack that left the set.
    Certify {
        missing: BTreeMap<NodeId, Superset<Extent>>,
    },
    /// The set has changed.
    Adopt(Membership),
}

/// How a command, or a piece of work on a drive, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Ok,
    /// The drive failed.
    Failed,
}
