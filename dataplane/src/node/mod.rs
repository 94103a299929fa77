//! The handle through which the control plane reaches a node.

mod api;

pub use self::api::*;
