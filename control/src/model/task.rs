//! Tasks: work that the provisioner, or a host's agent, reports on (provisioner §4.8).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::volume::VolumeRecord;

/// Half an hour after its end an internal task is gone (D47).
const INTERNAL_KEPT_MS: u64 = 30 * 60 * 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TaskState {
    Idle,
    Running,
    Finished,
    Failed,
    Aborted,
}

impl TaskState {
    pub(crate) const ALL: [Self; 5] =
        [Self::Idle, Self::Running, Self::Finished, Self::Failed, Self::Aborted];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
        }
    }

    pub(crate) fn has_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Aborted)
    }

    /// Nothing goes back to IDLE, and nothing leaves an end.
    pub(crate) fn may_become(self, next: Self) -> bool {
        !self.has_ended() && next != Self::Idle
    }
}

/// The contract's types (D45); `RemoteMigration` is a host's, the others are internal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TaskType {
    RemoteMigration,
    InstallLicense,
    UpdateInventory,
    FetchInventory,
    ResetInventory,
}

impl TaskType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RemoteMigration => "RemoteMigration",
            Self::InstallLicense => "InstallLicense",
            Self::UpdateInventory => "UpdateInventory",
            Self::FetchInventory => "FetchInventory",
            Self::ResetInventory => "ResetInventory",
        }
    }
}

/// One entry of a task's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The stored form of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskRecord {
    pub(crate) id: Uuid,
    pub(crate) state: TaskState,
    pub(crate) task_type: TaskType,
    /// Whose agent works on it. `None`: an internal task, the server's own.
    pub(crate) host_id: Option<String>,
    /// That a migration is about; what the agent makes of the configuration does not matter.
    #[serde(default)]
    pub(crate) volume: Option<Uuid>,
    /// Percent.
    pub(crate) progress: f64,
    pub(crate) status: Option<String>,
    pub(crate) description: Option<String>,
    /// Its creation, in milliseconds since the epoch, as `end_ms`.
    pub(crate) start_ms: u64,
    pub(crate) end_ms: Option<u64>,
    pub(crate) configuration: Vec<Setting>,
}

/// What an agent reports; absent is unchanged.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TaskReport {
    pub(crate) state: Option<TaskState>,
    /// Percent.
    pub(crate) progress: Option<f64>,
    pub(crate) status: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) configuration: Option<Vec<Setting>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportRefused {
    Ended(TaskState),
    OtherHost,
    Backwards(TaskState, TaskState),
}

impl TaskRecord {
    /// An internal task that was done within the call that made it.
    pub(crate) fn done(task_type: TaskType, description: &str, now_ms: u64) -> Self {
        Self {
            id: Uuid::new_v4(),
            state: TaskState::Finished,
            task_type,
            host_id: None,
            volume: None,
            progress: 100.0,
            status: None,
            description: Some(description.to_owned()),
            start_ms: now_ms,
            end_ms: Some(now_ms),
            configuration: Vec::new(),
        }
    }

    /// For the agent of that host, under the names that agents read.
    pub(crate) fn migration(volume: &VolumeRecord, replica: Uuid, host: &str, now_ms: u64) -> Self {
        let setting = |name: &str, value: String| Setting { name: name.to_owned(), value };
        Self {
            id: Uuid::new_v4(),
            state: TaskState::Idle,
            task_type: TaskType::RemoteMigration,
            host_id: Some(host.to_owned()),
            volume: Some(volume.uuid),
            progress: 0.0,
            status: None,
            description: None,
            start_ms: now_ms,
            end_ms: None,
            configuration: vec![
                setting("volId", volume.uuid.to_string()),
                setting("replicaId", replica.to_string()),
                setting("volumeAlias", volume.alias.clone()),
            ],
        }
    }

    /// Ends it because what it is about is no longer so. One that has ended stays as it is.
    pub(crate) fn abort(&mut self, why: &str, now_ms: u64) {
        if self.state.may_become(TaskState::Aborted) {
            self.state = TaskState::Aborted;
            self.end_ms = Some(now_ms);
            self.description = Some(why.to_owned());
        }
    }

    /// An internal task that ended long enough ago counts as gone.
    pub(crate) fn has_expired(&self, now_ms: u64) -> bool {
        let over = |end: u64| now_ms.saturating_sub(end) >= INTERNAL_KEPT_MS;
        self.host_id.is_none() && self.end_ms.is_some_and(over)
    }

    /// Takes over what the agent of `host` says; refused, nothing is changed.
    pub(crate) fn report(
        &mut self,
        host: &str,
        report: TaskReport,
        now_ms: u64,
    ) -> Result<(), ReportRefused> {
        if self.state.has_ended() {
            return Err(ReportRefused::Ended(self.state));
        }
        if self.host_id.as_deref() != Some(host) {
            return Err(ReportRefused::OtherHost);
        }
        if let Some(next) = report.state {
            if !self.state.may_become(next) {
                return Err(ReportRefused::Backwards(self.state, next));
            }
            self.state = next;
            self.end_ms = next.has_ended().then_some(now_ms);
        }
        self.progress = report.progress.unwrap_or(self.progress);
        self.status = report.status.or(self.status.take());
        self.description = report.description.or(self.description.take());
        self.configuration = report.configuration.unwrap_or_else(|| std::mem::take(&mut self.configuration));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(state: TaskState) -> TaskRecord {
        TaskRecord {
            state,
            task_type: TaskType::RemoteMigration,
            host_id: Some("h".to_owned()),
            progress: 0.0,
            description: None,
            end_ms: None,
            ..TaskRecord::done(TaskType::RemoteMigration, "", 5)
        }
    }

    #[test]
    fn every_state_by_every_report() {
        use TaskState::{Aborted, Failed, Finished, Idle, Running};
        let allowed = [
            (Idle, vec![Running, Finished, Failed, Aborted]),
            (Running, vec![Running, Finished, Failed, Aborted]),
            (Finished, vec![]),
            (Failed, vec![]),
            (Aborted, vec![]),
        ];
        for (from, allowed) in allowed {
            for to in TaskState::ALL {
                let mut changed = task(from);
                let done = changed.report("h", TaskReport { state: Some(to), ..TaskReport::default() }, 9);
                assert_eq!(done.is_ok(), allowed.contains(&to), "{from:?} to {to:?}");
                let expected = if done.is_ok() {
                    TaskRecord { state: to, end_ms: to.has_ended().then_some(9), ..changed.clone() }
                } else {
                    TaskRecord { id: changed.id, ..task(from) }
                };
                assert_eq!(changed, expected);
            }
        }
    }

    #[test]
    fn a_report_changes_what_it_names_and_only_for_its_host() {
        let mut running = task(TaskState::Idle);
        let report = TaskReport {
            state: Some(TaskState::Running),
            progress: Some(12.5),
            status: Some("syncing".to_owned()),
            ..TaskReport::default()
        };
        assert_eq!(running.report("other", report.clone(), 7), Err(ReportRefused::OtherHost));
        assert_eq!(running.report("h", report, 7), Ok(()));
        assert_eq!((running.progress, running.status.as_deref()), (12.5, Some("syncing")));
        running.report("h", TaskReport::default(), 8).unwrap();
        assert_eq!((running.progress, running.status.as_deref()), (12.5, Some("syncing")));
        let mut internal = TaskRecord { host_id: None, ..task(TaskState::Running) };
        assert_eq!(internal.report("h", TaskReport::default(), 8), Err(ReportRefused::OtherHost));
    }

    #[test]
    fn internal_tasks_expire_half_an_hour_after_their_end() {
        let internal = TaskRecord::done(TaskType::FetchInventory, "", 1000);
        assert!(!internal.has_expired(1000 + 1_799_999) && internal.has_expired(1000 + 1_800_000));
        assert!(!internal.has_expired(0), "a clock that was set back");
        assert!(!TaskRecord { host_id: Some("h".to_owned()), ..internal }.has_expired(u64::MAX));
    }
}
