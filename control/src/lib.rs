//! The control plane: TLS listeners, authentication, the REST APIs, desired state and its reconciliation with
//! the nodes. It reaches the data plane through `dataplane::node::Node` only.
#![forbid(unsafe_code)]

mod accounts;
mod admin;
mod api;
mod app;
mod auth;
mod config;
mod crash_point;
mod credentials;
mod envelope;
mod error;
mod events;
mod fields;
mod files;
pub mod fuzz;
mod identity;
mod inventory;
mod jwt_key;
#[cfg(test)]
mod kill_test;
mod known_drives;
mod license;
mod limits;
mod local_socket;
mod model;
mod monitor;
mod node_api;
mod nodes;
mod oidc;
mod open;
mod openapi;
mod outbound;
mod overdue;
mod random;
mod reconcile;
mod request;
mod revoke;
mod role;
mod router;
mod sealed;
mod server;
mod state;
mod store;
mod syslog;
mod tasks;
mod tls;
mod usage_file;
mod utc;

pub use admin::{
    AdminConfig, AdminGroup, LogFile, NextProgram, NoAdminGroup, NoStorageType, ReleaseTrial, StorageHelpers,
    next_program, release_is_ready, self_check,
    settings::{LogFilter, configured_address},
};
pub use config::{AuthSettings, ControlConfig, Location, Replication, Require};
pub use error::ControlError;
pub use identity::node_id;
pub use known_drives::KnownDrives;
pub use node_api::{Join, NodeRole, NodeServer, serve_node};
pub use nodes::invite::{Invite, NoInvite};
pub use server::{ControlServer, serve};
pub use syslog::{SyslogUrl, SyslogUrlError};
pub use tls::{AnyName, OWN_SERVER_NAME};
pub use usage_file::{UsageFile, Written};
