//! The kit against our own target, and against targets that are wrong on purpose.
#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]

mod authentication;
mod crooked;
mod own_target;
mod published;
mod site;
