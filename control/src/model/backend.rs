//! Backends: storage nodes as the provisioner API calls them.

use dataplane::node::{DriveInfo, DriveState};
use serde::{Deserialize, Serialize};

use crate::{app::Observed, state::Stored};

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

/// Of all backends that take new volumes.
pub(crate) fn pool(backends: &[Stored<BackendRecord>], observed: &Observed) -> Space {
    let in_use = backends.iter().filter(|b| b.value.in_use);
    space(in_use.flat_map(|b| observed.drives_of(&b.value.persistent_id)))
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
