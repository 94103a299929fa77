//! The control plane over HTTP, one file per theme. One program, so that the build links it once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access_tokens;
mod admin;
mod auth;
mod auth_server;
mod cinder_flow;
mod codes;
mod common;
mod contents;
mod data_path;
mod docs;
mod events;
mod inventory;
mod issued_tokens;
mod kill;
mod license;
mod local_socket;
mod metrics_page;
mod nodes;
mod openapi;
mod placements;
mod protocol;
mod publish;
mod replicas;
mod restart;
mod role_api;
mod role_grants;
mod roles;
mod secrets;
mod session;
mod snapshots;
mod syslog;
mod tasks;
mod tenants;
mod tls_keys;
mod volumes;
