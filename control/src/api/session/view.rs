//! How users, groups and identities look to clients (session.md §7, §8): ids are decimal text, what is unknown is
//! `null` or `""` as the contract has it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::{Account, AccountId, DOMAIN, Directory, Group, User};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserView {
    id: String,
    name: String,
    primary_group: String,
    sid: String,
    /// `""` if it has none.
    uid: String,
    home_directory: Option<String>,
    can_change_password: bool,
}

impl UserView {
    pub(super) fn new(user: &User, directory: &Directory) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name.clone(),
            primary_group: user.primary_group.to_string(),
            sid: directory.sid(user.id),
            uid: user.uid.map(|uid| uid.to_string()).unwrap_or_default(),
            home_directory: user.home_directory.clone(),
            can_change_password: user.enabled,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupView {
    id: String,
    name: String,
    sid: String,
    /// `""` if it has none.
    gid: String,
}

impl GroupView {
    pub(super) fn new(group: &Group, directory: &Directory) -> Self {
        Self {
            id: group.id.to_string(),
            name: group.name.clone(),
            sid: directory.sid(group.id),
            gid: group.gid.map(|gid| gid.to_string()).unwrap_or_default(),
        }
    }
}

/// Every key is there; `null` if unknown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentityView {
    domain: &'static str,
    auth_id: String,
    uid: Option<u32>,
    gid: Option<u32>,
    sid: String,
    name: Option<String>,
}

impl IdentityView {
    pub(super) fn new(account: Account<'_>, directory: &Directory) -> Self {
        let (uid, gid) = match account {
            Account::User(user) => (user.uid, None),
            Account::Group(group) => (None, group.gid),
        };
        Self {
            domain: DOMAIN,
            auth_id: account.id().to_string(),
            uid,
            gid,
            sid: directory.sid(account.id()),
            name: Some(account.name().to_owned()),
        }
    }
}

impl IdentityView {
    /// Of a user that was deleted.
    pub(super) fn gone(id: AccountId, directory: &Directory) -> Self {
        let sid = directory.sid(id);
        Self { domain: DOMAIN, auth_id: id.to_string(), uid: None, gid: None, sid, name: None }
    }
}
