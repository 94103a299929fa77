//! The data plane: one thread per core, NVMe/TCP connections and the storage engine.
//!
//! `rt` is the only part that touches the kernel; `engine` and `target` are the same code on real hardware
//! and under the seeded simulator. `node` is what the control plane holds.

pub mod engine;
pub mod host;
pub mod limits;
pub mod mirror;
pub mod node;
pub mod offline;
mod outbox;
pub mod rt;
pub mod target;
pub mod volume;
