//! Hosts as they announced themselves.

use serde::{Deserialize, Serialize};

/// The stored form of a host: what its last probe said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) nqn: String,
    pub(crate) client_type: String,
    pub(crate) version: String,
    /// Seconds between probes, as the host promises.
    pub(crate) duration_seconds: u64,
    pub(crate) multipath: bool,
    pub(crate) used_namespace_ids: Vec<u64>,
    /// Milliseconds since the epoch.
    pub(crate) last_probe_ms: u64,
}

impl HostRecord {
    /// Three missed probes make a host Unavailable; nothing but its deletion depends on that (D42).
    pub(crate) fn is_available(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_probe_ms) < self.duration_seconds.saturating_mul(3000)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn host(id: &str) -> HostRecord {
        HostRecord {
            id: id.to_owned(),
            name: format!("host-{id}"),
            nqn: format!("nqn.2014-08.org.nvmexpress:uuid:{id}"),
            client_type: "Agent".to_owned(),
            version: "1".to_owned(),
            duration_seconds: 30,
            multipath: false,
            used_namespace_ids: Vec::new(),
            last_probe_ms: 1_000_000,
        }
    }

    #[test]
    fn unavailable_after_three_durations() {
        let host = host("a");
        assert!(host.is_available(1_000_000) && host.is_available(1_089_999));
        assert!(!host.is_available(1_090_000));
        // A clock that was set back does not make hosts vanish.
        assert!(host.is_available(0));
        assert!(!HostRecord { duration_seconds: 0, ..host }.is_available(1_000_000));
    }
}
