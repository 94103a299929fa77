//! What a user may do: fixed roles, and the privileges they hold (session.md §8).

/// The roles of a user, from the groups it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Roles {
    pub(crate) administrator: bool,
    pub(crate) observer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds every privilege.
    Administrators,
    /// Holds every privilege that only reads.
    Observers,
}

/// What an operation of the session API needs. Some guard operations that are not served yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    AccessTokensRead,
    AccessTokensWrite,
    ClusterRead,
    ClusterWrite,
    IdentityRead,
    LocalGroupRead,
    LocalGroupWrite,
    LocalUserRead,
    LocalUserWrite,
    RebootUse,
    RoleRead,
    TenantRead,
    TenantWrite,
    UpgradeRead,
    UpgradeWrite,
}

impl Privilege {
    pub(crate) const ALL: [Self; 15] = [
        Self::AccessTokensRead,
        Self::AccessTokensWrite,
        Self::ClusterRead,
        Self::ClusterWrite,
        Self::IdentityRead,
        Self::LocalGroupRead,
        Self::LocalGroupWrite,
        Self::LocalUserRead,
        Self::LocalUserWrite,
        Self::RebootUse,
        Self::RoleRead,
        Self::TenantRead,
        Self::TenantWrite,
        Self::UpgradeRead,
        Self::UpgradeWrite,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AccessTokensRead => "PRIVILEGE_ACCESS_TOKENS_READ",
            Self::AccessTokensWrite => "PRIVILEGE_ACCESS_TOKENS_WRITE",
            Self::ClusterRead => "PRIVILEGE_CLUSTER_READ",
            Self::ClusterWrite => "PRIVILEGE_CLUSTER_WRITE",
            Self::IdentityRead => "PRIVILEGE_IDENTITY_READ",
            Self::LocalGroupRead => "PRIVILEGE_LOCAL_GROUP_READ",
            Self::LocalGroupWrite => "PRIVILEGE_LOCAL_GROUP_WRITE",
            Self::LocalUserRead => "PRIVILEGE_LOCAL_USER_READ",
            Self::LocalUserWrite => "PRIVILEGE_LOCAL_USER_WRITE",
            Self::RebootUse => "PRIVILEGE_REBOOT_USE",
            Self::RoleRead => "PRIVILEGE_ROLE_READ",
            Self::TenantRead => "PRIVILEGE_TENANT_READ",
            Self::TenantWrite => "PRIVILEGE_TENANT_WRITE",
            Self::UpgradeRead => "PRIVILEGE_UPGRADE_READ",
            Self::UpgradeWrite => "PRIVILEGE_UPGRADE_WRITE",
        }
    }

    fn only_reads(self) -> bool {
        self.name().ends_with("_READ")
    }
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Administrators, Self::Observers];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Administrators => "Administrators",
            Self::Observers => "Observers",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Administrators => "Sees and changes everything",
            Self::Observers => "Sees everything but secrets, changes nothing",
        }
    }

    pub(crate) fn privileges(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL.into_iter().filter(move |privilege| match self {
            Self::Administrators => true,
            Self::Observers => privilege.only_reads(),
        })
    }
}

impl Roles {
    pub(crate) const ADMINISTRATOR: Self = Self { administrator: true, observer: false };
    pub(crate) const OBSERVER: Self = Self { administrator: false, observer: true };

    pub(crate) fn list(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| match role {
            Role::Administrators => self.administrator,
            Role::Observers => self.observer,
        })
    }

    pub(crate) fn allow(self, privilege: Privilege) -> bool {
        self.list().any(|role| role.privileges().any(|held| held == privilege))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrators_may_all_observers_only_read_and_others_nothing() {
        let observer = Roles { observer: true, ..Roles::default() };
        for privilege in Privilege::ALL {
            assert!(Roles::ADMINISTRATOR.allow(privilege));
            assert!(!Roles::default().allow(privilege));
            let reads = !privilege.name().ends_with("_WRITE") && privilege != Privilege::RebootUse;
            assert_eq!(observer.allow(privilege), reads, "{privilege:?}");
        }
    }
}
