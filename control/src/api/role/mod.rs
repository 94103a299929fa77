//! The role API (role.md): roles, policies, resources, tenants and their tokens, with errors as `error` says. Its
//! requests bring tokens of its own (`call`), so the handlers authenticate.

mod answer;
mod call;
mod change;
mod error;
pub(crate) mod hosts;
pub(crate) mod list;
pub(crate) mod machines;
mod objects;
pub(crate) mod policies;
mod register_path;
pub(crate) mod resources;
pub(crate) mod roles;
pub(crate) mod tenants;
pub(crate) mod tokens;
pub(crate) mod user_tokens;
pub(crate) mod userdata;
pub(crate) mod version;

pub(crate) use answer::dress;
pub(crate) use error::{RoleError, method_not_allowed, not_found};
