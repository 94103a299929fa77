//! Brings the node to what the store says: at start, after each change, and whenever the two drift apart.

#[cfg(test)]
mod crash_test;
mod live;
mod plan;
mod run;
mod volume;

pub(crate) use live::Liveness;
pub(crate) use plan::{Problem, plan_volumes};
pub(crate) use run::{Unexported, background, subsystems, volumes};
pub(crate) use volume::{finish_delete, finish_expand, undo_create};
