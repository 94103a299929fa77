//! Backends: storage nodes as the provisioner API calls them.

use dataplane::node::{DriveInfo, DriveState};
use serde::{Deserialize, Serialize};

use super::{
    probe::Probe,
    volume::{Reserved, VolumeRecord},
};
use crate::{ControlConfig, app::Observed, state::Stored};

/// The stored form: what people decided about a backend. What it has is observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackendRecord {
    pub(crate) persistent_id: String,
    pub(crate) rack: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) region: Option<String>,
    /// The initiator that this node is too.
    pub(crate) host_id: Option<String>,
    /// New volumes may be placed here.
    pub(crate) in_use: bool,
    /// `None`: the port that the API listens on.
    pub(crate) mgmt_port: Option<u16>,
    /// What it told last, if it is of another make. A node of ours is asked instead.
    #[serde(default)]
    pub(crate) probe: Option<Probe>,
}

impl BackendRecord {
    pub(crate) fn new(persistent_id: &str) -> Self {
        Self {
            persistent_id: persistent_id.to_owned(),
            rack: None,
            zone: None,
            region: None,
            host_id: None,
            in_use: true,
            mgmt_port: None,
            probe: None,
        }
    }

    /// Whether this provisioner directs it, so that volumes can be made there.
    pub(crate) fn is_ours(&self) -> bool {
        self.probe.is_none()
    }

    /// A node of ours answers (D65), one of another make has told of itself in time (D15).
    pub(crate) fn is_available(&self, observed: &Observed, now_ms: u64) -> bool {
        match &self.probe {
            Some(probe) => probe.is_available(now_ms),
            None => observed.is_available(&self.persistent_id),
        }
    }
}

/// What a backend gives in all, and what of that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Share {
    pub(crate) total: u64,
    pub(crate) used: u64,
}

impl Share {
    pub(crate) fn free(self) -> u64 {
        self.total.saturating_sub(self.used)
    }
}

/// What a backend has: of a node of ours what it says now, and what its volumes have reserved of what it promises; of
/// one of another make what it told last. Nothing is placed there, so nothing has to be taken off that (D16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) space: Space,
    pub(crate) iops: Share,
    pub(crate) bytes_per_second: Share,
    pub(crate) drives: usize,
}

impl Figures {
    pub(crate) fn of<'a>(
        backend: &BackendRecord,
        observed: &Observed,
        volumes: impl Iterator<Item = &'a VolumeRecord>,
        config: &ControlConfig,
    ) -> Self {
        if let Some(probe) = &backend.probe {
            let rate = |total, used| Share { total, used };
            return Self {
                space: Space { total_bytes: probe.total_bytes, available_bytes: probe.available_bytes },
                iops: rate(probe.total_iops, probe.used_iops),
                bytes_per_second: rate(probe.total_bytes_per_second, probe.used_bytes_per_second),
                drives: probe.drives,
            };
        }
        let drives = observed.drives_of(&backend.persistent_id);
        let reserved = Reserved::on(&backend.persistent_id, volumes);
        Self {
            space: space(drives),
            iops: Share { total: config.declared_iops, used: reserved.iops },
            bytes_per_second: Share {
                total: config.declared_bytes_per_second,
                used: reserved.bytes_per_second,
            },
            drives: drives.len(),
        }
    }
}

/// Sums over a node's drives, in bytes. A failed drive has no capacity, one that takes no writes no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Space {
    pub(crate) total_bytes: u64,
    pub(crate) available_bytes: u64,
}

pub(crate) fn space<'a>(drives: impl IntoIterator<Item = &'a DriveInfo>) -> Space {
    let mut space = Space::default();
    for drive in drives {
        match drive.state {
            DriveState::Online => {
                space.total_bytes += drive.capacity_bytes;
                space.available_bytes += drive.unreserved_bytes;
            }
            DriveState::Evacuating | DriveState::ReadOnly(_) => space.total_bytes += drive.capacity_bytes,
            DriveState::Failed(_) => {}
        }
    }
    space
}

/// The backends that take new volumes: the pool. Those of other makes take none, whatever is free there.
pub(crate) fn members_of_pool(
    backends: &[Stored<BackendRecord>],
) -> impl Iterator<Item = &BackendRecord> + Clone {
    backends.iter().map(|b| &b.value).filter(|b| b.in_use && b.is_ours())
}

/// Of the pool.
pub(crate) fn pool(backends: &[Stored<BackendRecord>], observed: &Observed) -> Space {
    space(members_of_pool(backends).flat_map(|b| observed.drives_of(&b.persistent_id)))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_what_can_be_used_counts() {
        let drive = |state| DriveInfo {
            uuid: Uuid::nil(),
            name: String::new(),
            state,
            sequence: 1,
            size_bytes: 120,
            capacity_bytes: 100,
            unreserved_bytes: 40,
            used_bytes: 10,
            write_through: false,
            evacuation: None,
        };
        let drives = [
            drive(DriveState::Online),
            drive(DriveState::ReadOnly("worn".into())),
            drive(DriveState::Evacuating),
            drive(DriveState::Failed("gone".into())),
        ];
        assert_eq!(space(&drives), Space { total_bytes: 300, available_bytes: 40 });
    }
}
