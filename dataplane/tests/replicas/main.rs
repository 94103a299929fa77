//! Replicated volumes on real nodes: files, sockets, clocks; a host that tries each path until one serves it.
#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]

mod cluster;
mod fail_over;
mod host;
mod internal;
mod limits;
mod power;
mod proxy;
mod random;
