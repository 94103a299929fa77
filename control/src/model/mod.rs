//! What the control plane knows and how it decides, without any I/O.

pub(crate) mod backend;
pub(crate) mod capacity;
pub(crate) mod host;
pub(crate) mod inventory;
pub(crate) mod node;
pub(crate) mod page;
pub(crate) mod placement;
pub(crate) mod probe;
pub(crate) mod replica;
pub(crate) mod reserve;
pub(crate) mod secret;
pub(crate) mod snapshot;
pub(crate) mod target;
pub(crate) mod task;
pub(crate) mod tenant;
pub(crate) mod tls_key;
pub(crate) mod volume;

/// Bytes of the contract's "GB" and "GiB" alike (D9).
pub(crate) const GIB: u64 = 1 << 30;

/// The tenant that always exists, meant where a path names none (D2).
pub(crate) const DEFAULT_TENANT: &str = "0";
