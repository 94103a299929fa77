//! The initiator: entries of the commands it sends, and the steps that bring a controller up.
//!
//! With `transport::HostConnection` this is all a host needs; it serves load generation, tests, and nodes that
//! write to one another.

mod bring_up;
pub mod sqe;

pub use bring_up::{Association, BringUp, BringUpError, BringUpStep};
