//! What roles and policies allow (role.md §3.3, §4 Policy, §5).

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Effect, Kind, Member, ObjectYrn, PolicyRecord, RoleRecord};
use crate::{state::State, store::StoreError};

/// All roles and policies as they are now.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    roles: BTreeMap<ObjectYrn, RoleRecord>,
    policies: BTreeMap<ObjectYrn, PolicyRecord>,
}

impl Rules {
    pub(crate) async fn read(state: &State) -> Result<Self, StoreError> {
        let roles = state.list::<RoleRecord>().await?.into_iter().map(|r| r.value);
        let policies = state.list::<PolicyRecord>().await?.into_iter().map(|p| p.value);
        Ok(Self::new(roles, policies))
    }

    fn new(roles: impl Iterator<Item = RoleRecord>, policies: impl Iterator<Item = PolicyRecord>) -> Self {
        Self {
            roles: roles.map(|role| (role.name.clone(), role)).collect(),
            policies: policies.map(|policy| (policy.name.clone(), policy)).collect(),
        }
    }

    pub(crate) fn role(&self, name: &ObjectYrn) -> Option<&RoleRecord> {
        self.roles.get(name)
    }

    /// Of all tenants.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &RoleRecord> {
        self.roles.values()
    }

    pub(crate) fn roles_of<'a>(&'a self, tenant: &'a str) -> impl Iterator<Item = &'a RoleRecord> {
        self.roles.values().filter(move |role| role.name.tenant == tenant)
    }

    /// A role's policies: its parents', then its aliases', then its own; each role counts once, policies may repeat.
    pub(crate) fn expanded(&self, role: &ObjectYrn) -> Vec<ObjectYrn> {
        let mut found = Vec::new();
        self.expand(role, &mut BTreeSet::new(), &mut found);
        found
    }

    fn expand(&self, name: &ObjectYrn, seen: &mut BTreeSet<ObjectYrn>, found: &mut Vec<ObjectYrn>) {
        let Some(role) = self.roles.get(name).filter(|_| seen.insert(name.clone())) else { return };
        for parent in name.parents() {
            self.expand(&parent, seen, found);
        }
        for alias in &role.aliases {
            self.expand(alias, seen, found);
        }
        found.extend(role.policies.iter().cloned());
    }

    /// What one policy says: its aliases first, then itself over them. `None`: nothing.
    pub(crate) fn verdict(&self, policy: &ObjectYrn, resource: &ObjectYrn, action: Action) -> Option<Effect> {
        self.decide(policy, resource, action, &mut BTreeSet::new())
    }

    fn decide(
        &self,
        name: &ObjectYrn,
        resource: &ObjectYrn,
        action: Action,
        seen: &mut BTreeSet<ObjectYrn>,
    ) -> Option<Effect> {
        let policy = self.policies.get(name).filter(|_| seen.insert(name.clone()))?;
        let own = policy.resources.contains(resource) && policy.actions.contains(&action);
        let mut verdict = None;
        for alias in &policy.aliases {
            verdict = self.decide(alias, resource, action, seen).or(verdict);
        }
        if own { Some(policy.effect) } else { verdict }
    }

    /// What policies say of a resource and of all that it lies under: a denial wins, then a permission.
    pub(crate) fn judge<'a>(
        &self,
        policies: impl Iterator<Item = &'a ObjectYrn>,
        resource: &ObjectYrn,
        action: Action,
    ) -> Option<Effect> {
        let paths: Vec<ObjectYrn> = resource.parents().chain([resource.clone()]).collect();
        let mut verdict = None;
        for policy in policies {
            for path in &paths {
                match self.verdict(policy, path, action) {
                    Some(Effect::Deny) => return Some(Effect::Deny),
                    said => verdict = said.or(verdict),
                }
            }
        }
        verdict
    }

    /// Whether this role lets its hosts do that.
    pub(crate) fn role_allows(&self, role: &ObjectYrn, resource: &ObjectYrn, action: Action) -> bool {
        self.judge(self.expanded(role).iter(), resource, action) == Some(Effect::Allow)
    }

    /// Whether a host is a member of a role or of one below it.
    pub(crate) fn is_member(&self, role: &ObjectYrn, host: &Member) -> bool {
        self.member(role, host).is_some()
    }

    /// The entry that makes it one.
    pub(crate) fn member(&self, role: &ObjectYrn, host: &Member) -> Option<&Member> {
        let below = format!("{}/", role.path);
        let is_below =
            |name: &ObjectYrn| name == role || (name.tenant == role.tenant && name.path.starts_with(&below));
        let roles = self.roles.values().filter(|candidate| is_below(&candidate.name));
        roles.flat_map(|role| &role.hosts).find(|member| member.matches(host))
    }

    /// Whether anything refers to the policy.
    pub(crate) fn is_used(&self, policy: &ObjectYrn) -> bool {
        self.references(policy) > 0
    }

    /// How many roles and policies refer to the policy.
    pub(crate) fn references(&self, policy: &ObjectYrn) -> usize {
        debug_assert_eq!(policy.kind, Kind::Policy);
        let roles = self.roles.values().filter(|role| role.policies.contains(policy)).count();
        roles + self.policies.values().filter(|other| other.aliases.contains(policy)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: Kind, path: &str) -> ObjectYrn {
        ObjectYrn::new(kind, "t", path).unwrap()
    }

    fn role(path: &str, policies: &[&str], aliases: &[&str]) -> RoleRecord {
        RoleRecord {
            policies: policies.iter().map(|p| name(Kind::Policy, p)).collect(),
            aliases: aliases.iter().map(|r| name(Kind::Role, r)).collect(),
            ..RoleRecord::new(name(Kind::Role, path))
        }
    }

    fn policy(path: &str, effect: Effect, resources: &[&str], aliases: &[&str]) -> PolicyRecord {
        PolicyRecord {
            effect,
            actions: vec![Action::Read],
            resources: resources.iter().map(|r| name(Kind::Resource, r)).collect(),
            aliases: aliases.iter().map(|p| name(Kind::Policy, p)).collect(),
            ..PolicyRecord::new(name(Kind::Policy, path))
        }
    }

    #[test]
    fn policies_of_parents_then_of_aliases_then_own() {
        let roles = [
            role("a", &["pa"], &["b"]),
            role("a/x", &["px", "pa"], &["c", "none"]),
            role("b", &["pb"], &["a/x"]),
            role("c", &["pc"], &["a"]),
        ];
        let rules = Rules::new(roles.into_iter(), std::iter::empty());
        let expanded = rules.expanded(&name(Kind::Role, "a/x"));
        let paths: Vec<&str> = expanded.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["pb", "pa", "pc", "px", "pa"]);
        assert!(rules.expanded(&name(Kind::Role, "none")).is_empty());
    }

    #[test]
    fn a_denial_wins_and_what_lies_above_counts() {
        let policies = [
            policy("all", Effect::Allow, &["volume"], &[]),
            policy("one", Effect::Allow, &["volume/1"], &[]),
            policy("not", Effect::Deny, &["volume/1"], &[]),
            policy("over", Effect::Allow, &["volume/1"], &["not", "over"]),
            policy("by-alias", Effect::Allow, &[], &["not"]),
        ];
        let roles = [
            role("all", &["all"], &[]),
            role("one", &["one"], &[]),
            role("not", &["all", "not"], &[]),
            role("over", &["over"], &[]),
            role("by-alias", &["by-alias", "one"], &[]),
            role("nothing", &[], &[]),
        ];
        let rules = Rules::new(roles.into_iter(), policies.into_iter());
        let allows = |role: &str, resource: &str, action| {
            rules.role_allows(&name(Kind::Role, role), &name(Kind::Resource, resource), action)
        };
        for (role, one, two) in [
            ("all", true, true),
            ("one", true, false),
            ("not", false, true),
            ("over", true, false),
            ("by-alias", false, false),
            ("nothing", false, false),
        ] {
            assert_eq!(allows(role, "volume/1", Action::Read), one, "{role}");
            assert_eq!(allows(role, "volume/2", Action::Read), two, "{role}");
            assert!(!allows(role, "volume/1", Action::Write), "{role}");
        }
        assert_eq!(rules.references(&name(Kind::Policy, "not")), 3);
        assert!(rules.is_used(&name(Kind::Policy, "over")), "by itself");
    }

    #[test]
    fn members_of_roles_below_are_members() {
        let mut below = role("a/x", &[], &[]);
        below.add(Member::pattern("10.0.0.1", 0, None));
        let rules =
            Rules::new([role("a", &[], &[]), below, role("ab", &[], &[])].into_iter(), std::iter::empty());
        let host = Member::pattern("10.0.0.1", 80, None);
        let is_member = |path| rules.is_member(&name(Kind::Role, path), &host);
        assert!(is_member("a") && is_member("a/x") && !is_member("ab"));
    }
}
