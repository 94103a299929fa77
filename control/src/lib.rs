//! The control plane: TLS listeners, authentication, the REST APIs, desired state and its reconciliation with
//! the node. It reaches the data plane through `dataplane::Node` only.
#![forbid(unsafe_code)]

mod config;
mod credentials;
mod error;
mod files;
mod identity;
mod random;

pub use config::{AuthSettings, ControlConfig, Replication, Require};
pub use error::ControlError;
pub use identity::node_id;
