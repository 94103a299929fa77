//! What happens to a replica, and what it wants done. The caller owns all payload, the clock, the drive, the network
//! and the store.

use std::collections::BTreeSet;

use crate::{
    durable::Change,
    membership::{Epoch, Membership, NodeId, Session},
    message::{CommandId, Message, Outcome},
    range::BlockRange,
};

/// A host's operation, named by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// A piece of work on this node's drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkId(pub u64);

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed: see [`Replica::next_deadline`](crate::Replica::next_deadline).
    Tick,
    /// A connection to a peer stands. Messages of the one before may still arrive.
    PeerUp(NodeId),
    /// It broke.
    PeerDown(NodeId),
    Message {
        from: NodeId,
        message: Message,
    },
    /// Work ended. Persisted changes complete in the order in which they were given.
    WorkDone {
        id: WorkId,
        outcome: Outcome,
    },
    /// The store told of a membership.
    Learned(Membership),
    /// How a compare-and-set of ours ended.
    Stored {
        target: Membership,
        stored: Stored,
    },
    /// A host asks.
    Host {
        op: OpId,
        request: HostRequest,
    },
    /// The volume has so many extents now, or more: never fewer. What is new is zeros on all replicas, which may hear of
    /// it in any order and at any time. Hosts may use it when every replica that may lead was told.
    Expanded {
        extents: u64,
    },
    /// An administrator, or a drain: let that replica lead.
    HandOver(NodeId),
    /// An operator: these replicas are off for good, so lead without them, even if this copy has lost power and what was
    /// not flushed with it. Kept until it is done, or this process ends; nothing happens if
    /// [`Replica::can_force`](crate::Replica::can_force) says that it cannot be.
    Force {
        dead: BTreeSet<NodeId>,
    },
}

/// What hosts ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRequest {
    Read(BlockRange),
    Write(BlockRange),
    Flush,
}

/// The store's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    Ok,
    /// It holds another membership than was expected.
    Conflict(Membership),
    /// Nobody knows: it may have been stored, or may yet be.
    Unknown,
}

/// Something is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Send {
        to: NodeId,
        message: Message,
        payload: Option<Payload>,
    },
    Work {
        id: WorkId,
        work: Work,
    },
    /// Replace the store's membership of `expected` by `target`.
    CompareAndSet {
        expected: Epoch,
        target: Membership,
    },
    /// Answer the host.
    Answer {
        op: OpId,
        answer: HostAnswer,
    },
    /// Nothing will speak of this operation any more: its payload, and the blocks that were read for it, may go. Comes
    /// once for every operation, after its answer.
    Release {
        op: OpId,
        blocks: Option<WorkId>,
    },
    /// This path leads (ANA optimized), or hosts shall stay away (inaccessible).
    Lead(bool),
}

/// Work on this node's drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Make a change durable.
    Persist(Change),
    Write {
        range: BlockRange,
        payload: Payload,
    },
    /// Its blocks are kept as [`Payload::Work`].
    Read(BlockRange),
    Flush,
}

/// Where blocks are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payload {
    /// A host's write brought them.
    Host(OpId),
    /// They were read from this node's drive.
    Work(WorkId),
    /// They came with this command, or with its answer.
    Received { from: NodeId, session: Session, id: CommandId },
}

/// How a host's operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAnswer {
    /// A read's blocks are those of the work.
    Done(Option<WorkId>),
    /// Not here: try another path. It may have been done, but will not be any more.
    Path,
    /// The last copy's drive failed.
    Media,
}
