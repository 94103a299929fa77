//! Which hosts may be published a tenant's volumes (role.md §5, §7).

use super::{Action, Effect, Kind, Member, ObjectYrn, Rules};
use crate::model::{host::HostRecord, volume::VolumeRecord};

/// Whether an entry of a role means that host. We know hosts by what they announced, and let them in by their NQN; an
/// entry with nothing but an address names none of that.
pub(crate) fn means(member: &Member, host: &HostRecord) -> bool {
    let named = [&host.id, &host.name].iter().any(|name| name.to_lowercase() == member.host);
    let by_machine = member.cuk.as_deref().is_some_and(|cuk| cuk.eq_ignore_ascii_case(&host.id));
    match member.initiator() {
        Some(nqn) => nqn == host.nqn && (named || by_machine || member.address().is_some()),
        None => named || by_machine,
    }
}

impl Rules {
    /// Whether the tenant's volumes go to hosts of its roles only; without any role they go to all.
    pub(crate) fn restrict(&self, tenant: &str) -> bool {
        self.roles_of(tenant).next().is_some()
    }

    /// Whether the volume may be published to the host: a writable one needs the permission to write.
    pub(crate) fn grant(&self, tenant: &str, volume: &VolumeRecord, host: &HostRecord) -> bool {
        if !self.restrict(tenant) {
            return true;
        }
        let Ok(resource) = ObjectYrn::new(Kind::Resource, tenant, &format!("volume/{}", volume.uuid)) else {
            return false;
        };
        let action = if volume.read_only { Action::Read } else { Action::Write };
        let theirs = self.roles_of(tenant).filter(|role| role.hosts.iter().any(|member| means(member, host)));
        let policies: Vec<ObjectYrn> = theirs.flat_map(|role| self.expanded(&role.name)).collect();
        self.judge(policies.iter(), &resource, action) == Some(Effect::Allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host::tests::host;

    #[test]
    fn who_an_entry_means() {
        let host = HostRecord { nqn: "nqn.x".to_owned(), name: "Node-1".to_owned(), ..host("id-1") };
        let member = |host: &str, cuk: &str, extra: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Member { extra: some(extra), ..Member::pattern(host, 0, some(cuk)) }
        };
        for (entry, meant) in [
            (member("node-1", "", ""), true),
            (member("ID-1", "", ""), true),
            (member("other", "", ""), false),
            (member("10.0.0.1", "", ""), false),
            (member("10.0.0.1", "id-1", ""), true),
            (member("10.0.0.1", "", "nqn.x"), true),
            (member("10.0.0.1", "id-1", "nqn.y"), false),
            (member("node-1", "", "nqn.y"), false),
            (member("other", "", "nqn.x"), false),
        ] {
            assert_eq!(means(&entry, &host), meant, "{entry:?}");
        }
    }
}
