//! Users and groups: one document, changed as a whole, because names and ids are unique over all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::role::Roles;
use crate::{limits, random, state::Record};

/// Of a user or a group; both are numbered in one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AccountId(pub(crate) u32);

impl AccountId {
    pub(crate) const ADMIN: Self = Self(500);
    pub(crate) const GUEST: Self = Self(501);
    pub(crate) const ADMINISTRATORS: Self = Self(512);
    pub(crate) const USERS: Self = Self(513);
    pub(crate) const GUESTS: Self = Self(514);
    /// Ours: who may read everything. The contract has the role but no group that gives it.
    pub(crate) const OBSERVERS: Self = Self(515);
    const FIRST_NEW: Self = Self(1000);
}

impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: AccountId,
    pub(crate) name: String,
    pub(crate) primary_group: AccountId,
    /// Of POSIX.
    pub(crate) uid: Option<u32>,
    pub(crate) home_directory: Option<String>,
    /// A PHC string (argon2id). `None`: nobody can log in with a password.
    pub(crate) password: Option<String>,
    /// Otherwise no credential of it is valid.
    pub(crate) enabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) id: AccountId,
    pub(crate) name: String,
    /// Of POSIX.
    pub(crate) gid: Option<u32>,
    /// Besides those whose primary group it is.
    pub(crate) members: BTreeSet<AccountId>,
}

/// Why a change is refused; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DirectoryError {
    #[error("there is no user {0}")]
    NoUser(String),
    #[error("there is no group {0}")]
    NoGroup(String),
    #[error("user {user} is no member of group {group}")]
    NotAMember { user: AccountId, group: AccountId },
    #[error("{field} must be the id of a group: there is no group {id}")]
    NoSuchGroup { field: &'static str, id: AccountId },
    #[error("member_id must be the id of a user: there is no user {0}")]
    NoSuchMember(AccountId),
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    #[error("{field} {number} is taken")]
    NumberTaken { field: &'static str, number: u32 },
    #[error("{0} is built in and stays as it is")]
    BuiltIn(String),
    #[error("group {0} is the primary group of a user")]
    PrimaryGroup(AccountId),
    #[error("{0} is not as If-Match names it")]
    OtherState(AccountId),
    #[error("there are {} users and groups, which is as many as there may be", limits::ACCOUNTS)]
    Full,
    #[error("the license allows {0} enabled users")]
    Licensed(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Directory {
    /// The part of every SID that is this system's own.
    sid: [u32; 3],
    next: AccountId,
    pub(crate) users: BTreeMap<AccountId, User>,
    pub(crate) groups: BTreeMap<AccountId, Group>,
}

impl Record for Directory {
    const PREFIX: &'static str = "accounts/";
    fn id(&self) -> String {
        Self::KEY.to_owned()
    }
}

impl Directory {
    pub(crate) const KEY: &'static str = "directory";

    /// The accounts of a first start. `password` of the user admin, as a PHC string.
    pub(crate) fn first(password: Option<String>) -> Self {
        let user = |id, name: &str, primary_group, password, enabled| {
            let name = name.to_owned();
            (id, User { id, name, primary_group, uid: None, home_directory: None, password, enabled })
        };
        let group = |id, name: &str, members: &[AccountId]| {
            let members = members.iter().copied().collect();
            (id, Group { id, name: name.to_owned(), gid: None, members })
        };
        Self {
            sid: [(); 3].map(|()| u32::from_le_bytes(random::bytes())),
            next: AccountId::FIRST_NEW,
            users: BTreeMap::from([
                user(AccountId::ADMIN, "admin", AccountId::USERS, password, true),
                user(AccountId::GUEST, "guest", AccountId::GUESTS, None, false),
            ]),
            groups: BTreeMap::from([
                group(AccountId::ADMINISTRATORS, "Administrators", &[AccountId::ADMIN]),
                group(AccountId::USERS, "Users", &[]),
                group(AccountId::GUESTS, "Guests", &[]),
                group(AccountId::OBSERVERS, "Observers", &[]),
            ]),
        }
    }

    /// The security identifier of a user or group.
    pub(crate) fn sid(&self, id: AccountId) -> String {
        let [a, b, c] = self.sid;
        format!("S-1-5-21-{a}-{b}-{c}-{id}")
    }

    pub(crate) fn user(&self, id: AccountId) -> Result<&User, DirectoryError> {
        self.users.get(&id).ok_or_else(|| DirectoryError::NoUser(id.to_string()))
    }

    pub(crate) fn user_mut(&mut self, id: AccountId) -> Result<&mut User, DirectoryError> {
        self.users.get_mut(&id).ok_or_else(|| DirectoryError::NoUser(id.to_string()))
    }

    pub(crate) fn group(&self, id: AccountId) -> Result<&Group, DirectoryError> {
        self.groups.get(&id).ok_or_else(|| DirectoryError::NoGroup(id.to_string()))
    }

    pub(crate) fn user_named(&self, name: &str) -> Option<&User> {
        self.users.values().find(|user| user.name == name)
    }

    pub(crate) fn groups_of<'a>(&'a self, user: &User) -> impl Iterator<Item = &'a Group> {
        let (id, primary) = (user.id, user.primary_group);
        self.groups.values().filter(move |group| group.id == primary || group.members.contains(&id))
    }

    pub(crate) fn members_of<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a User> {
        let is_member = |user: &&User| user.primary_group == group.id || group.members.contains(&user.id);
        self.users.values().filter(is_member)
    }

    pub(crate) fn roles_of(&self, user: &User) -> Roles {
        let is_in = |id| self.groups_of(user).any(|group| group.id == id);
        Roles { administrator: is_in(AccountId::ADMINISTRATORS), observer: is_in(AccountId::OBSERVERS) }
    }

    /// Whether one more enabled user may be there. `most`: what the license allows.
    pub(crate) fn check_license(&self, most: Option<u64>) -> Result<(), DirectoryError> {
        let enabled = self.users.values().filter(|user| user.enabled).count() as u64;
        most.filter(|most| enabled >= *most).map_or(Ok(()), |most| Err(DirectoryError::Licensed(most)))
    }

    /// Takes a new user in; its id is given here.
    pub(crate) fn add_user(&mut self, mut user: User) -> Result<User, DirectoryError> {
        user.id = self.new_id()?;
        self.check_user(&user)?;
        self.next.0 += 1;
        self.users.insert(user.id, user.clone());
        Ok(user)
    }

    /// Replaces a user by one with the same id.
    pub(crate) fn replace_user(&mut self, user: User) -> Result<User, DirectoryError> {
        let old = self.user(user.id)?;
        if user.id < AccountId::FIRST_NEW && user.name != old.name {
            return Err(DirectoryError::BuiltIn(format!("the name of user {}", old.name)));
        }
        self.check_user(&user)?;
        self.users.insert(user.id, user.clone());
        Ok(user)
    }

    pub(crate) fn remove_user(&mut self, id: AccountId) -> Result<User, DirectoryError> {
        let user = self.user(id)?.clone();
        if id < AccountId::FIRST_NEW {
            return Err(DirectoryError::BuiltIn(format!("user {}", user.name)));
        }
        self.users.remove(&id);
        for group in self.groups.values_mut() {
            group.members.remove(&id);
        }
        Ok(user)
    }

    /// Takes a new group in; its id is given here.
    pub(crate) fn add_group(&mut self, name: String, gid: Option<u32>) -> Result<Group, DirectoryError> {
        let group = Group { id: self.new_id()?, name, gid, members: BTreeSet::new() };
        self.check_group(&group)?;
        self.next.0 += 1;
        self.groups.insert(group.id, group.clone());
        Ok(group)
    }

    pub(crate) fn change_group(
        &mut self,
        id: AccountId,
        name: String,
        gid: Option<u32>,
    ) -> Result<Group, DirectoryError> {
        let old = self.group(id)?;
        if id < AccountId::FIRST_NEW && name != old.name {
            return Err(DirectoryError::BuiltIn(format!("the name of group {}", old.name)));
        }
        let group = Group { name, gid, ..old.clone() };
        self.check_group(&group)?;
        self.groups.insert(id, group.clone());
        Ok(group)
    }

    pub(crate) fn remove_group(&mut self, id: AccountId) -> Result<Group, DirectoryError> {
        let group = self.group(id)?.clone();
        if id < AccountId::FIRST_NEW {
            return Err(DirectoryError::BuiltIn(format!("group {}", group.name)));
        }
        if self.users.values().any(|user| user.primary_group == id) {
            return Err(DirectoryError::PrimaryGroup(id));
        }
        self.groups.remove(&id);
        Ok(group)
    }

    pub(crate) fn add_member(&mut self, group: AccountId, user: AccountId) -> Result<(), DirectoryError> {
        if !self.users.contains_key(&user) {
            return Err(DirectoryError::NoSuchMember(user));
        }
        self.group(group)?;
        self.groups.entry(group).and_modify(|group| {
            group.members.insert(user);
        });
        Ok(())
    }

    /// The user admin stays an administrator: somebody must be able to come in.
    pub(crate) fn remove_member(&mut self, group: AccountId, user: AccountId) -> Result<(), DirectoryError> {
        self.group(group)?;
        if (group, user) == (AccountId::ADMINISTRATORS, AccountId::ADMIN) {
            return Err(DirectoryError::BuiltIn(
                "user admin's membership in group Administrators".to_owned(),
            ));
        }
        let removed = self.groups.get_mut(&group).is_some_and(|group| group.members.remove(&user));
        if removed { Ok(()) } else { Err(DirectoryError::NotAMember { user, group }) }
    }

    fn new_id(&self) -> Result<AccountId, DirectoryError> {
        match self.users.len() + self.groups.len() < limits::ACCOUNTS {
            true => Ok(self.next),
            false => Err(DirectoryError::Full),
        }
    }

    /// Names are unique over users and groups: an identity may be given by its name alone.
    fn check_name(&self, id: AccountId, name: &str) -> Result<(), DirectoryError> {
        let users = self.users.values().map(|user| (user.id, &user.name));
        let groups = self.groups.values().map(|group| (group.id, &group.name));
        match users.chain(groups).any(|(other, taken)| other != id && taken == name) {
            true => Err(DirectoryError::NameTaken(name.to_owned())),
            false => Ok(()),
        }
    }

    fn check_user(&self, user: &User) -> Result<(), DirectoryError> {
        self.check_name(user.id, &user.name)?;
        if !self.groups.contains_key(&user.primary_group) {
            return Err(DirectoryError::NoSuchGroup { field: "primary_group", id: user.primary_group });
        }
        let taken = |uid| self.users.values().any(|other| other.id != user.id && other.uid == Some(uid));
        match user.uid.filter(|uid| taken(*uid)) {
            Some(number) => Err(DirectoryError::NumberTaken { field: "uid", number }),
            None => Ok(()),
        }
    }

    fn check_group(&self, group: &Group) -> Result<(), DirectoryError> {
        self.check_name(group.id, &group.name)?;
        let taken = |gid| self.groups.values().any(|other| other.id != group.id && other.gid == Some(gid));
        match group.gid.filter(|gid| taken(*gid)) {
            Some(number) => Err(DirectoryError::NumberTaken { field: "gid", number }),
            None => Ok(()),
        }
    }
}
