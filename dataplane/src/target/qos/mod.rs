//! Rate limits of volumes: operations and bytes per second.
//!
//! A volume's [`Limiter`] is shared by all cores and says how much of the coming time is spoken for. While nobody
//! waits, a command buys its own time there, one compare-exchange for each limit. When the volume is busy, commands
//! wait on their own core, in a [`Lane`] for each queue pair, and one task buys time for many of them at once. Cores
//! buy in turns and so share a limit evenly; queue pairs share their core's part evenly; commands of one queue pair
//! go in order; nobody takes a lock. An unlimited volume costs its commands one load.
//!
//! What moves or looks at data counts, by its bytes: Read, Write, Write Zeroes, Compare, Verify, Copy. Flush, Deallocate
//! and admin commands do not.

mod gate;
mod limiter;
mod rate;
#[cfg(test)]
mod tests;

pub(super) use self::{
    gate::{Lane, Leave},
    limiter::Limiter,
};
