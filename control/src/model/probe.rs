//! What storage nodes of other makes tell of themselves (provisioner §2, op 7). This provisioner knows them by their probes
//! only: it does not speak their API, so nothing is placed on them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What such a node told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// At least one.
    pub(crate) mgmt_ips: Vec<IpAddr>,
    pub(crate) mgmt_port: u16,
    pub(crate) total_bytes: u64,
    /// At most `total_bytes`, and likewise of the rates: what is used of them.
    pub(crate) available_bytes: u64,
    pub(crate) total_iops: u64,
    pub(crate) used_iops: u64,
    pub(crate) total_bytes_per_second: u64,
    pub(crate) used_bytes_per_second: u64,
    pub(crate) version: String,
    /// Empty if it does not know.
    pub(crate) target_driver_version: String,
    pub(crate) drives: usize,
    pub(crate) certified: bool,
    pub(crate) authentication_mode: AuthenticationMode,
    /// Seconds between probes, as the node promises: `INTERVALS`.
    pub(crate) interval_seconds: u64,
    /// Of its storage class: kept and told back, and nothing depends on it (D14).
    pub(crate) storage_class_name: Option<String>,
    /// When it came, in milliseconds since the epoch.
    pub(crate) time_ms: u64,
}

/// Seconds (D13).
pub(crate) const INTERVALS: std::ops::RangeInclusive<u64> = 60..=86_400;

/// How people log in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AuthenticationMode {
    Local,
    Ldap,
    Oidc,
}

impl AuthenticationMode {
    /// As the API tells it (D49).
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Local => "LOCAL",
            Self::Ldap => "LDAP",
            Self::Oidc => "OPEN_IDC",
        }
    }
}

impl Probe {
    /// Three intervals without a probe make it Unavailable (D15).
    pub(crate) fn is_available(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.time_ms) < self.interval_seconds.saturating_mul(3000)
    }

    /// Where its API listens, though nobody here speaks that.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.mgmt_ips.iter().map(|ip| SocketAddr::new(*ip, self.mgmt_port))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn probe(ip: [u8; 4]) -> Probe {
        Probe {
            mgmt_ips: vec![ip.into()],
            mgmt_port: 443,
            total_bytes: 100,
            available_bytes: 40,
            total_iops: 1000,
            used_iops: 300,
            total_bytes_per_second: 5000,
            used_bytes_per_second: 1000,
            version: "3.1".to_owned(),
            target_driver_version: String::new(),
            drives: 4,
            certified: true,
            authentication_mode: AuthenticationMode::Local,
            interval_seconds: 60,
            storage_class_name: None,
            time_ms: 1_000_000,
        }
    }

    #[test]
    fn unavailable_after_three_intervals() {
        let probe = probe([192, 0, 2, 1]);
        assert!(probe.is_available(1_000_000) && probe.is_available(1_179_999));
        assert!(!probe.is_available(1_180_000));
        // A clock that was set back makes nobody vanish.
        assert!(probe.is_available(0));
    }
}
