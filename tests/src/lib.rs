//! End-to-end tests: a real Linux initiator in a virtual machine against the `basalt` binary.
//! `cargo run -p basalt-tests --bin vm` runs them; `cargo xtask ci` does so too.

#![forbid(unsafe_code)]

pub mod admin;
pub mod api;
pub mod command;
pub mod connection_info;
pub mod file_system;
pub mod initiator;
pub mod lab;
mod link;
pub mod release;
pub mod report;
pub mod scenarios;
pub mod server;
pub mod storage_node;
pub mod vm;
