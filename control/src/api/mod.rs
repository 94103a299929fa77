//! The handlers, one file per noun.

pub(crate) mod admin;
pub(crate) mod auth_server;
pub(crate) mod backends;
pub(crate) mod basalt;
pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod hosts;
pub(crate) mod info;
pub(crate) mod inventory;
pub(crate) mod license;
pub(crate) mod metrics;
pub(crate) mod publish;
pub(crate) mod replicas;
pub(crate) mod role;
pub(crate) mod session;
pub(crate) mod snapshots;
pub(crate) mod syslog;
pub(crate) mod targets;
pub(crate) mod tasks;
pub(crate) mod tenants;
pub(crate) mod volumes;
