//! Brings the node to what the store says: at start, after each change, and whenever the two drift apart.

#[cfg(test)]
pub(crate) mod crash_test;
mod plan;
#[cfg(test)]
mod plan_test;
mod proofs;
mod replica;
mod run;
mod snapshot;
mod volume;

pub(crate) use plan::{Desired, Object, OnNode, Problem, plan_storage};
pub(crate) use replica::{finish_add_replica, finish_remove_replica, undo_add_replica};
pub(crate) use run::{Unexported, background, storage, subsystems};
pub(crate) use snapshot::{finish_delete_snapshot, undo_take};
pub(crate) use volume::{finish_create, finish_delete, finish_expand, undo_create};
