//! How the replicas of a volume stay one volume: the protocol of REPLICATION.md as a state machine without I/O.
//!
//! ```text
//! membership  who is in sync and who leads, under an epoch
//! durable     what a replica keeps on its drive beside the data
//! replica     one replica: events in, actions out
//! follower    its part that obeys a primary's session
//! status      what people and metrics see of it
//! force       an operator's word that others are off for good
//! leader      its part that leads: takeover, hosts' operations, copies, changes of the set, grants
//! ```
//! The caller owns payload, clock, drive, network and store, so the same code runs on the reactor and in the simulator.
#![forbid(unsafe_code)]

mod config;
mod durable;
mod event;
mod follower;
mod force;
mod leader;
mod membership;
mod message;
mod range;
mod replica;
mod status;
#[cfg(test)]
mod tests;
mod tracker;

pub use config::{Cheat, Config};
pub use durable::{Boot, Change, Durable};
pub use event::{Action, Event, HostAnswer, HostRequest, OpId, Payload, Stored, Work, WorkId};
pub use force::CannotForce;
pub use leader::{LinkState, Phase};
pub use membership::{Epoch, Membership, NodeId, Session};
pub use message::{Command, CommandId, Message, Outcome, Standing};
pub use range::{BlockRange, Extent, Grain, NoRuns, Numbered, RUNS_MAX, Region, RunSet, Superset};
pub use replica::Replica;
pub use status::{Leadership, PeerStatus, Role, Status, TakenOut, TakenOutFor};
