//! What a node did over its whole life: the counters that hosts read as SMART data outlive its restarts, if whoever
//! starts it keeps them.

use std::{collections::BTreeMap, ops::AddAssign};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Node, VolumeIo};
use crate::{engine::DriveActivity, rt::CoreId};

/// What the hosts of one subsystem did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubsystemUsage {
    pub reads: u64,
    pub writes: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Time in which queues had commands under way; queues that were busy together count each.
    pub busy_nanos: u64,
    /// Commands that failed because a drive did, or stored bytes were wrong.
    pub media_errors: u64,
    /// Commands that failed, however.
    pub errors: u64,
}

impl AddAssign for SubsystemUsage {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.busy_nanos += other.busy_nanos;
        self.media_errors += other.media_errors;
        self.errors += other.errors;
    }
}

/// Of a node, since it was first started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUsage {
    pub starts: u64,
    /// Starts that followed an end which was not a clean stop.
    pub unclean_starts: u64,
    pub powered_seconds: u64,
    /// By NQN.
    pub subsystems: BTreeMap<String, SubsystemUsage>,
    /// Since this start, and of those only that hosts did something with.
    pub volumes: BTreeMap<Uuid, VolumeIo>,
    /// Of the drives that are open.
    #[serde(default)]
    pub drives: BTreeMap<Uuid, DriveActivity>,
}

impl Node {
    /// What it did before this start, which counts as one of `starts`. To be said before hosts are let in.
    pub fn restore_usage(&self, past: NodeUsage) {
        self.inner.target.restore_usage(past);
    }

    /// What it did until now, or until its shutdown.
    pub async fn usage(&self) -> NodeUsage {
        let target = self.inner.target.clone();
        let now = self.inner.handle.call_on(CoreId(0), move || async move { target.usage() }).await;
        let usage = now.or_else(|| self.inner.last_usage.get().cloned()).unwrap_or_default();
        let open = self.inner.drives.all();
        let drives = open.iter().map(|open| (open.drive.uuid(), open.drive.activity())).collect();
        NodeUsage { drives, ..usage }
    }
}
