//! Hosts of a role: who they are, which registrations mean the same one, and how they are written (role.md §3.2).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Entries of clusters that manage themselves: they match exactly or not at all.
pub(crate) const K8S_EXTRA: &str = "k8s-auto-v1";
const OPENSTACK_EXTRA: &str = "openstack-auto-v1";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Member {
    /// An IP address in its canonical text, or a name in lower case.
    pub(crate) host: String,
    /// 0: any.
    pub(crate) port: u16,
    /// The instance id of the machine. `None`: any.
    pub(crate) cuk: Option<String>,
    /// `k8s-auto-v1`, `openstack-auto-v1`, or the initiator's name, which must match then.
    pub(crate) extra: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) inbound_ip: Option<IpAddr>,
    pub(crate) outbound_ip: Option<IpAddr>,
}

impl Member {
    /// What a request says of a host that is no registration: enough to find entries by.
    pub(crate) fn pattern(host: &str, port: u16, cuk: Option<String>) -> Self {
        Self { host: host_text(host), port, cuk, ..Self::default() }
    }

    /// The entry's address, if it is not a name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether both mean the same host; the same either way round.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let is_k8s = |member: &Self| member.extra.as_deref() == Some(K8S_EXTRA);
        if self.host != other.host {
            return false;
        }
        if is_k8s(self) || is_k8s(other) {
            let extra = |member: &Self| member.extra.is_none() || is_k8s(member);
            return self.port == other.port && self.cuk == other.cuk && extra(self) && extra(other);
        }
        let port = self.port == other.port || self.port == 0 || other.port == 0;
        port && (self.cuk == other.cuk || self.cuk.is_none() || other.cuk.is_none())
    }

    /// The NVMe Qualified Name (or other initiator name) that the host must have as well.
    pub(crate) fn initiator(&self) -> Option<&str> {
        let extra = self.extra.as_deref()?;
        ["nqn.", "iqn.", "eui."].iter().any(|begin| extra.starts_with(begin)).then_some(extra)
    }

    /// `<host> <port|*> <cuk>[ <extra> <tag> <inboundip> <outboundip>]` (role.md §3.3).
    pub(crate) fn text(&self) -> String {
        let port = if self.port == 0 { "*".to_owned() } else { self.port.to_string() };
        let known = |extra: &&str| [K8S_EXTRA, OPENSTACK_EXTRA].contains(extra);
        let ip = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
        let more = [
            self.extra.as_deref().filter(known).unwrap_or_default().to_owned(),
            self.tag.clone().unwrap_or_default(),
            ip(self.inbound_ip),
            ip(self.outbound_ip),
        ];
        let filled = more.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
        let mut text = format!("{} {port} {}", self.host, self.cuk.as_deref().unwrap_or_default());
        for field in &more[..filled] {
            text.push(' ');
            text.push_str(field);
        }
        text
    }
}

/// An address in its one form, a name in lower case.
pub(crate) fn host_text(text: &str) -> String {
    address_of(text).map_or_else(|| text.to_lowercase(), |address| address.to_string())
}

/// `::ffff:` in front of an IPv4 address says nothing.
pub(crate) fn address_of(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(port: u16, cuk: &str, extra: &str) -> Member {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Member { extra: some(extra), ..Member::pattern("H", port, some(cuk)) }
    }

    #[test]
    fn which_entries_mean_the_same_host() {
        let table = [
            (entry(0, "", ""), entry(80, "c", ""), true),
            (entry(80, "", ""), entry(81, "", ""), false),
            (entry(80, "c", ""), entry(80, "d", ""), false),
            (entry(80, "c", "x"), entry(80, "c", "y"), true),
            (entry(80, "c", K8S_EXTRA), entry(80, "c", K8S_EXTRA), true),
            (entry(80, "c", K8S_EXTRA), entry(80, "c", ""), true),
            (entry(80, "c", K8S_EXTRA), entry(80, "c", OPENSTACK_EXTRA), false),
            (entry(80, "c", K8S_EXTRA), entry(0, "c", ""), false),
            (entry(80, "c", K8S_EXTRA), entry(80, "", ""), false),
            (entry(0, "", ""), Member::pattern("other", 0, None), false),
        ];
        for (a, b, same) in table {
            assert_eq!((a.matches(&b), b.matches(&a)), (same, same), "{a:?} {b:?}");
        }
    }

    #[test]
    fn entries_are_written_as_the_contract_says() {
        let ip = |host| Member::pattern(host, 0, None);
        assert_eq!(ip("::ffff:10.0.0.1").text(), "10.0.0.1 * ");
        let extra = Some(OPENSTACK_EXTRA.to_owned());
        assert_eq!(Member { extra: extra.clone(), ..ip("10.0.0.1") }.text(), "10.0.0.1 *  openstack-auto-v1");
        let all = Member {
            tag: Some("t".to_owned()),
            outbound_ip: Some(IpAddr::from([10, 0, 0, 2])),
            extra,
            ..entry(80, "c", "")
        };
        assert_eq!(all.text(), "h 80 c openstack-auto-v1 t  10.0.0.2");
        assert_eq!(entry(0, "c", "nqn.x").text(), "h * c");
        assert_eq!(entry(0, "c", "nqn.x").initiator(), Some("nqn.x"));
    }
}
