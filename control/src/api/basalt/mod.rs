//! What the contracts lack, under `/basalt/v1` (design §5): bare JSON objects, true HTTP statuses, errors
//! `{code, message, field}`.

mod drives;
mod error;
mod events;
mod groups;
mod status;
mod tokens;

pub(crate) use drives::{act as act_on_drive, add as add_drive, list as drives, remove as remove_drive};
pub(crate) use error::{method_not_allowed, not_found, unauthorized};
pub(crate) use events::list as events;
pub(crate) use groups::create as create_snapshot_group;
pub(crate) use status::status;
pub(crate) use tokens::rotate as rotate_token;
