//! What is stored of roles, policies, resources, role tokens and tenants. Keys begin with the tenant's name.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Member, ObjectYrn};
use crate::{accounts::AccountId, state::Record};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoleRecord {
    pub(crate) name: ObjectYrn,
    /// Of the own tenant.
    pub(crate) policies: Vec<ObjectYrn>,
    /// Roles of any tenant, which need not exist.
    pub(crate) aliases: Vec<ObjectYrn>,
    pub(crate) hosts: Vec<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Action {
    Read,
    Write,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PolicyRecord {
    pub(crate) name: ObjectYrn,
    pub(crate) effect: Effect,
    pub(crate) actions: Vec<Action>,
    pub(crate) resources: Vec<ObjectYrn>,
    /// Reserved by the contract: kept and shown, not judged.
    pub(crate) condition: Option<String>,
    /// Policies of the own tenant.
    pub(crate) aliases: Vec<ObjectYrn>,
}

/// Data that users leave for the hosts of roles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourceRecord {
    pub(crate) name: ObjectYrn,
    pub(crate) string: Option<String>,
    pub(crate) object: Option<Value>,
    pub(crate) keys: BTreeMap<String, Value>,
    pub(crate) aliases: Vec<ObjectYrn>,
}

/// Who asked for a role token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RoleTokenCreator {
    User(AccountId),
    /// A member; the token is good at this address only.
    Host(Member),
}

/// Found by its text's digest; the text itself is sealed, because the list of tokens has to show it (role.md §3.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoleTokenRecord {
    pub(crate) digest: String,
    pub(crate) role: ObjectYrn,
    pub(crate) creator: RoleTokenCreator,
    pub(crate) sealed: String,
    /// Milliseconds since the epoch, as is `ends_ms`.
    pub(crate) made_ms: u64,
    pub(crate) ends_ms: u64,
}

impl RoleTokenRecord {
    /// Where its sealed text belongs.
    pub(crate) fn place(digest: &str) -> String {
        format!("{}{digest}", Self::PREFIX)
    }

    /// The one address that it may be used from.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match &self.creator {
            RoleTokenCreator::User(_) => None,
            RoleTokenCreator::Host(member) => member.address(),
        }
    }
}

/// What the role API knows of a tenant besides the provisioner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct TenantProfile {
    pub(crate) tenant_id: String,
    pub(crate) description: Option<String>,
    pub(crate) display: Option<String>,
    /// Who may act in it, besides administrators.
    pub(crate) users: BTreeSet<AccountId>,
}

impl Action {
    const ALL: [Self; 2] = [Self::Read, Self::Write];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word().eq_ignore_ascii_case(word))
    }
}

impl Effect {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl RoleRecord {
    pub(crate) fn new(name: ObjectYrn) -> Self {
        Self { name, policies: Vec::new(), aliases: Vec::new(), hosts: Vec::new() }
    }

    pub(crate) fn has(&self, host: &Member) -> bool {
        self.hosts.iter().any(|member| member.matches(host))
    }

    /// Takes a host in; entries that mean the same one are replaced.
    pub(crate) fn add(&mut self, host: Member) {
        self.remove(&host);
        self.hosts.push(host);
    }

    pub(crate) fn remove(&mut self, host: &Member) {
        self.hosts.retain(|member| !member.matches(host));
    }
}

impl PolicyRecord {
    pub(crate) fn new(name: ObjectYrn) -> Self {
        let (actions, resources, aliases) = Default::default();
        Self { name, effect: Effect::Deny, actions, resources, condition: None, aliases }
    }
}

impl ResourceRecord {
    pub(crate) fn new(name: ObjectYrn) -> Self {
        let (string, object, keys, aliases) = Default::default();
        Self { name, string, object, keys, aliases }
    }
}

/// What has a name within a tenant.
pub(crate) trait Named: Record + Clone + Send + Sync + 'static {
    fn new(name: ObjectYrn) -> Self;
    fn name(&self) -> &ObjectYrn;
}

macro_rules! named {
    ($record:ident, $prefix:literal) => {
        impl Record for $record {
            const PREFIX: &'static str = $prefix;
            fn id(&self) -> String {
                self.name.key()
            }
        }

        impl Named for $record {
            fn new(name: ObjectYrn) -> Self {
                Self::new(name)
            }
            fn name(&self) -> &ObjectYrn {
                &self.name
            }
        }
    };
}

named!(RoleRecord, "roles/");
named!(PolicyRecord, "policies/");
named!(ResourceRecord, "resources/");

impl Record for RoleTokenRecord {
    const PREFIX: &'static str = "role-tokens/";
    fn id(&self) -> String {
        self.digest.clone()
    }
}

impl Record for TenantProfile {
    const PREFIX: &'static str = "tenant-profiles/";
    fn id(&self) -> String {
        self.tenant_id.clone()
    }
}
