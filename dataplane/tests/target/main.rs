//! The whole data plane from outside: hosts, well-behaved and not, against a node over real sockets.
#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]

mod across;
mod authentication;
mod commands;
mod crowd;
mod evacuate;
mod fused;
mod hostile;
mod lba_status;
mod limits;
mod openssl;
mod paths;
mod random;
mod reservations;
mod serve;
mod spans;
mod support;
mod tls;
mod usage;
