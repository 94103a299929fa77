//! Counting what the hosts of each subsystem did, over restarts and however often they come and go.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use nvmeof::Nqn;

use super::{Shared, subsystem::TargetSubsystem};
use crate::{
    limits,
    node::{NodeUsage, SubsystemUsage},
    rt::{self, Nanos},
};

/// What was before: of the node, and of subsystems that are not there now.
#[derive(Debug, Default)]
pub(super) struct PastUsage {
    started: OnceLock<Nanos>,
    past: Mutex<NodeUsage>,
}

impl PastUsage {
    /// The node serves from now on.
    pub(super) fn start(&self) {
        self.started.get_or_init(rt::now);
    }

    pub(super) fn restore(&self, past: NodeUsage) {
        *self.lock() = past;
    }

    /// A subsystem is there (again): what its hosts did before.
    pub(super) fn take(&self, nqn: &Nqn) -> SubsystemUsage {
        self.lock().subsystems.remove(nqn.as_str()).unwrap_or_default()
    }

    /// A subsystem is gone, perhaps to come back. Of very many the newest are forgotten.
    pub(super) fn keep(&self, nqn: &Nqn, usage: SubsystemUsage) {
        let subsystems = &mut self.lock().subsystems;
        if subsystems.len() < limits::PAST_SUBSYSTEMS {
            subsystems.insert(nqn.to_string(), usage);
        }
    }

    /// Starts, unclean ones among them, and seconds of power until now.
    pub(super) fn power(&self) -> (u64, u64, u64) {
        let served = rt::now().since(*self.started.get_or_init(rt::now));
        let past = self.lock();
        (past.starts, past.unclean_starts, past.powered_seconds + served.as_secs())
    }

    fn lock(&self) -> MutexGuard<'_, NodeUsage> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// What the hosts of a subsystem did, those that are connected included.
    pub(super) fn usage_of(&self, subsystem: &TargetSubsystem) -> SubsystemUsage {
        let controllers = self.controllers();
        let mut usage = subsystem.past_usage();
        for association in controllers.by_id.values() {
            if std::ptr::eq(&raw const *association.subsystem, subsystem) {
                usage += association.totals().usage;
            }
        }
        usage
    }

    /// All of the node. Runs on a core.
    pub(super) fn usage(&self) -> NodeUsage {
        let (starts, unclean_starts, powered_seconds) = self.usage.power();
        let mut subsystems: BTreeMap<String, SubsystemUsage> = self.usage.lock().subsystems.clone();
        for (nqn, subsystem) in &*self.subsystems() {
            subsystems.insert(nqn.to_string(), self.usage_of(subsystem));
        }
        let volumes = self.paths.io();
        // Its drives are not the target's to know.
        NodeUsage { starts, unclean_starts, powered_seconds, subsystems, volumes, drives: BTreeMap::new() }
    }
}
