//! Tenants: who shares the pool, and how much of it each may take (provisioner §3).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{GIB, volume::Reserved};

/// Of the default tenant (provisioner §1.2).
pub(crate) const DEFAULT_TENANT_NAME: &str = "default";

/// The stored form. The default tenant has none: it is limited by the pool only (D18).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TenantRecord {
    /// Stands in paths; see [`is_tenant_id`].
    pub(crate) id: String,
    /// Unique over all tenants, in any case: the role API compares names in lower case.
    pub(crate) name: String,
    pub(crate) budget: Budget,
}

/// What a tenant may take in all (D20). Budgets may exceed the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Budget {
    /// 0: no capacity.
    pub(crate) capacity_gib: u64,
    /// 0: no limit.
    pub(crate) iops: u64,
    /// 0: no limit.
    pub(crate) bytes_per_second: u64,
}

/// A part of a budget that is too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The contract's name of that part.
    pub(crate) field: &'static str,
    unit: &'static str,
    budget: u64,
    pub(crate) needed: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, unit, budget, needed } = self;
        write!(f, "{field} is {budget} {unit}, {needed} {unit} are needed")
    }
}

impl Budget {
    /// Whether it is enough for all that the tenant takes. The first part that is not, in the contract's order.
    pub(crate) fn check(self, taken: Reserved) -> Result<(), Shortage> {
        let limit = |most: u64| if most == 0 { u64::MAX } else { most };
        let parts = [
            ("capacity", "GiB", self.capacity_gib, self.capacity_gib, taken.gib()),
            ("totalIOPS", "IOPS", self.iops, limit(self.iops), taken.iops),
            (
                "totalBW",
                "bytes/s",
                self.bytes_per_second,
                limit(self.bytes_per_second),
                taken.bytes_per_second,
            ),
        ];
        match parts.into_iter().find(|(.., most, needed)| needed > most) {
            Some((field, unit, budget, _, needed)) => Err(Shortage { field, unit, budget, needed }),
            None => Ok(()),
        }
    }
}

impl Reserved {
    /// Capacity as tenants count it, rounded up (D19).
    pub(crate) fn gib(self) -> u64 {
        self.bytes.div_ceil(GIB)
    }
}

/// First words of paths (D2, D56), in lower case: no tenant's id, or its paths would mean something else. The
/// router's own are tested to be here; the others are the contracts'.
pub(crate) const RESERVED_IDS: [&str; 42] = [
    "api",
    "auth_server",
    "backends",
    "basalt",
    "clone_volume",
    "connect",
    "disconnect",
    "docs",
    "forward_log",
    "healthz",
    "host_probe",
    "hosts",
    "info",
    "inventory",
    "license",
    "metrics",
    "migrate_volume",
    "openapi.json",
    "probe",
    "publish",
    "readyz",
    "replica",
    "reset_inventory",
    "snapshot_volume",
    "snapshot_volumes",
    "snapshots",
    "snapshots_by_alias",
    "snapshots_by_vol",
    "syslog",
    "targets",
    "tasks",
    "tenants",
    "unpublish",
    "v1",
    "v2",
    "v3",
    "volume_extended",
    "volumes",
    "volumes_by_alias",
    // What clients and proxies take out of a path.
    ".",
    "..",
    // Asked for by browsers.
    "favicon.ico",
];

/// Whether a label may be a tenant's id.
pub(crate) fn is_tenant_id(label: &str) -> bool {
    !RESERVED_IDS.contains(&label.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_and_their_edges() {
        let taken = |bytes, iops, bytes_per_second| Reserved { bytes, iops, bytes_per_second };
        let budget = |capacity_gib, iops, bytes_per_second| Budget { capacity_gib, iops, bytes_per_second };
        let cases = [
            (budget(2, 0, 0), taken(2 * GIB, u64::MAX, u64::MAX), None),
            (budget(2, 5, 7), taken(2 * GIB, 5, 7), None),
            (budget(2, 0, 0), taken(2 * GIB + 1, 0, 0), Some(("capacity", 3))),
            (budget(0, 0, 0), taken(0, 0, 0), None),
            (budget(0, 0, 0), taken(1, 0, 0), Some(("capacity", 1))),
            (budget(2, 5, 7), taken(0, 6, 8), Some(("totalIOPS", 6))),
            (budget(2, 5, 7), taken(0, 5, 8), Some(("totalBW", 8))),
            (budget(1 << 53, 0, 0), taken(u64::MAX, 0, 0), None),
        ];
        for (budget, taken, short) in cases {
            let found = budget.check(taken).err().map(|s| (s.field, s.needed));
            assert_eq!(found, short, "{budget:?} {taken:?}");
        }
    }

    #[test]
    fn first_words_of_paths_are_no_ids_in_any_case() {
        for word in ["volumes", "LICENSE", "v1", "openapi.json", "Basalt", ".."] {
            assert!(!is_tenant_id(word), "{word}");
        }
        assert!(is_tenant_id("acme") && is_tenant_id("6ba7b810-9dad-41d1-80b4-00c04fd430c8"));
    }
}
