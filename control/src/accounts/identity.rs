//! Naming a user or a group by whichever of its names is at hand (session.md §7, §8).

use super::directory::{AccountId, Directory, Group, User};

/// All that is given must mean the same user or group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    pub(crate) domain: Option<String>,
    pub(crate) auth_id: Option<String>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) sid: Option<String>,
    pub(crate) name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account<'a> {
    User(&'a User),
    Group(&'a Group),
}

/// The only domain there is.
pub(crate) const DOMAIN: &str = "LOCAL";

impl Identity {
    /// The form of the `user` argument: a name, a SID, or `auth_id:`, `uid:`, `gid:`, `sid:`, `name:` or `local:`
    /// and a value. `None` if a number is none.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) => (kind.to_ascii_lowercase(), value.trim().to_owned()),
            None if text.starts_with("S-1-") => ("sid".to_owned(), text.to_owned()),
            None => ("name".to_owned(), text.to_owned()),
        };
        let nothing = Self::default();
        Some(match kind.as_str() {
            "auth_id" => Self { auth_id: Some(value), ..nothing },
            "uid" => Self { uid: Some(value.parse().ok()?), ..nothing },
            "gid" => Self { gid: Some(value.parse().ok()?), ..nothing },
            "sid" => Self { sid: Some(value), ..nothing },
            "name" => Self { name: Some(value), ..nothing },
            "local" => Self { domain: Some(DOMAIN.to_owned()), name: Some(value), ..nothing },
            _ => return None,
        })
    }

    /// Something besides the domain is given.
    pub(crate) fn names_somebody(&self) -> bool {
        let Self { domain: _, auth_id, uid, gid, sid, name } = self;
        auth_id.is_some() || uid.is_some() || gid.is_some() || sid.is_some() || name.is_some()
    }

    /// Whom it means; nobody if its parts disagree.
    pub(crate) fn find<'a>(&self, directory: &'a Directory) -> Option<Account<'a>> {
        let users = directory.users.values().map(Account::User);
        let groups = directory.groups.values().map(Account::Group);
        let found = users.chain(groups).find(|account| self.means(*account, directory));
        found.filter(|_| self.names_somebody())
    }

    fn means(&self, account: Account<'_>, directory: &Directory) -> bool {
        let (uid, gid) = match account {
            Account::User(user) => (user.uid, None),
            Account::Group(group) => (None, group.gid),
        };
        let agrees = |given: &Option<String>, has: &str| given.as_deref().is_none_or(|given| given == has);
        agrees(&self.domain, DOMAIN)
            && agrees(&self.name, account.name())
            && agrees(&self.auth_id, &account.id().to_string())
            && agrees(&self.sid, &directory.sid(account.id()))
            && (self.uid.is_none() || self.uid == uid)
            && (self.gid.is_none() || self.gid == gid)
    }
}

impl<'a> Account<'a> {
    pub(crate) fn id(self) -> AccountId {
        match self {
            Self::User(user) => user.id,
            Self::Group(group) => group.id,
        }
    }

    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::User(user) => &user.name,
            Self::Group(group) => &group.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, directory: &Directory) -> Option<AccountId> {
        Identity::from_text(text)?.find(directory).map(Account::id)
    }

    #[test]
    fn every_way_to_name_somebody() {
        let mut directory = Directory::first(None);
        directory.user_mut(AccountId::ADMIN).unwrap().uid = Some(7);
        let sid = directory.sid(AccountId::ADMIN);
        for text in
            ["admin", "local:admin", "name:admin", "auth_id:500", "uid:7", &sid, &format!("SID:{sid}")]
        {
            assert_eq!(find(text, &directory), Some(AccountId::ADMIN), "{text}");
        }
        assert_eq!(find("Users", &directory), Some(AccountId::USERS));
        for text in ["", "nobody", "auth_id:9", "uid:x", "uid:8", "ad:admin", "gid:7", "S-1-5-21-1"] {
            assert_eq!(find(text, &directory), None, "{text}");
        }
    }

    #[test]
    fn parts_that_disagree_mean_nobody() {
        let directory = Directory::first(None);
        let both = |name: &str, auth_id: &str| Identity {
            name: Some(name.to_owned()),
            auth_id: Some(auth_id.to_owned()),
            ..Identity::default()
        };
        assert!(both("admin", "500").find(&directory).is_some());
        assert!(both("admin", "501").find(&directory).is_none());
        let domain_alone = Identity { domain: Some(DOMAIN.to_owned()), ..Identity::default() };
        assert!(domain_alone.find(&directory).is_none());
    }
}
