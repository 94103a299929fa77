//! What the contracts lack, under `/basalt/v1` (design §5): bare JSON objects, true HTTP statuses, errors
//! `{code, message, field}`.

pub(crate) mod drives;
mod error;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod nodes;
pub(crate) mod paths;
pub(crate) mod placements;
pub(crate) mod secrets;
pub(crate) mod status;
pub(crate) mod tls_keys;
pub(crate) mod tokens;

pub(crate) use error::{method_not_allowed, not_found, refused};
