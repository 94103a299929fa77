//! Work that goes on after its request was answered: one of each kind at a time, with a log and a status that outlive
//! the process (admin.md §4).

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LogFile;
use crate::{ControlError, app::now_ms, crash_point::crash_point, files, limits};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobStatus {
    Running,
    Success,
    Failed,
}

/// What is told of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobState {
    /// `None`: it never ran, or what it made is gone.
    pub(crate) status: Option<JobStatus>,
    /// How far the last one came, where its kind tells.
    #[serde(default)]
    pub(crate) percentage: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<JobError>,
    /// What a success made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Value>,
    /// While it runs: a mark of the state that it is to change, as it was when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

/// Why a job failed, or could not begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobError {
    /// For programs.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
}

impl JobError {
    pub(crate) fn new(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message }
    }
}

/// Says how far a job is, from another thread.
pub(crate) struct Reporter {
    job: Arc<Job>,
    round: u64,
}

impl Reporter {
    pub(crate) fn reach(&self, percentage: u8, text: &str) {
        self.job.note(text);
        crash_point();
        let mut state = self.job.lock();
        if self.job.round.load(Ordering::Relaxed) == self.round {
            // Not written down: after a crash the job has failed, wherever it was.
            state.percentage = percentage;
        }
    }
}

impl JobState {
    fn of(status: JobStatus) -> Self {
        Self { status: Some(status), ..Self::default() }
    }
}

/// Lines that a status shows (admin.md §4).
const LAST_LINES: usize = 10;

/// One of this kind is under way.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotBegun {
    #[error("one is running already")]
    Busy,
    #[error("its status cannot be written down: {0}")]
    Unwritable(String),
}

/// The one job of a kind.
pub(crate) struct Job {
    /// Begins its log lines.
    component: &'static str,
    file: PathBuf,
    log: LogFile,
    state: Mutex<JobState>,
    /// Of the job that is under way; changed under the lock of the state.
    round: AtomicU64,
}

/// A job under way; dropped before it has ended it failed.
pub(crate) struct Running {
    job: Arc<Job>,
    round: u64,
    has_ended: bool,
}

impl Job {
    /// `name` names its files: the status in `dir`, the log in `logs`. Settled before anything begins.
    pub(super) fn open(
        dir: &Path,
        logs: &Path,
        name: &str,
        component: &'static str,
    ) -> Result<Arc<Self>, ControlError> {
        let file = dir.join(name).with_extension("json");
        let state = match files::read_if_there(&file)? {
            Some(text) => serde_json::from_str(&text).map_err(|e| ControlError::bad_file(&file, e))?,
            None => JobState::default(),
        };
        let path = logs.join(name).with_extension("log");
        let log = LogFile::open(&path, limits::LOG_FILE_BYTES).map_err(ControlError::file(path))?;
        Ok(Arc::new(Self { component, file, log, state: Mutex::new(state), round: AtomicU64::new(0) }))
    }

    /// What ran when the process ended has failed; the log, the error and the text that is returned say what it left
    /// behind. `now`: the mark of the state that it was to change, as it is.
    pub(crate) fn settle(&self, now: &str) -> Result<Option<String>, ControlError> {
        let state = self.state();
        if state.status != Some(JobStatus::Running) {
            return Ok(None);
        }
        let left = match state.before.as_deref() {
            None => "",
            Some(before) if before == now => "; the old state holds",
            Some(_) => "; the new state holds",
        };
        let message = format!("the server ended before this did{left}");
        self.note(&format!("failed: {message}"));
        let error = Some(JobError::new("E1000", message.clone()));
        self.write(&mut self.lock(), JobState { error, ..JobState::of(JobStatus::Failed) })?;
        Ok(Some(message))
    }

    /// What it made turned out to be no good after all.
    pub(crate) fn revoke(&self, error: JobError) -> Result<(), ControlError> {
        self.note(&format!("{}: {}", error.code, error.message));
        self.write(&mut self.lock(), JobState { error: Some(error), ..JobState::of(JobStatus::Failed) })
    }

    pub(crate) fn state(&self) -> JobState {
        self.lock().clone()
    }

    /// The end of its log, as one text.
    pub(crate) fn last_lines(&self) -> String {
        let text = self.log.text().unwrap_or_else(|error| format!("the log cannot be read: {error}"));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().status == Some(JobStatus::Running)
    }

    /// One that could not begin is told of until the next one begins.
    pub(crate) fn note_error(&self, error: JobError) {
        self.note(&format!("{}: {}", error.code, error.message));
        self.lock().error = Some(error);
    }

    /// Its log, if it can be read.
    pub(crate) fn text(&self) -> Option<String> {
        self.log.text().ok()
    }

    /// A line in its log.
    pub(crate) fn note(&self, text: &str) {
        let line = format!("[{}][{}] {}\n", now_ms() / 1000, self.component, text.replace('\n', " "));
        if let Err(error) = self.log.append(line.as_bytes()) {
            tracing::error!(%error, text, "a job's log could not be written");
        }
    }

    /// Only a job that is not running can begin.
    pub(crate) fn begin(self: &Arc<Self>, text: &str) -> Result<Running, NotBegun> {
        self.begin_over(text, None)
    }

    /// One that changes a state of which `before` is the mark now.
    pub(crate) fn begin_over(
        self: &Arc<Self>,
        text: &str,
        before: Option<String>,
    ) -> Result<Running, NotBegun> {
        let mut state = self.lock();
        if state.status == Some(JobStatus::Running) {
            return Err(NotBegun::Busy);
        }
        self.write(&mut state, JobState { percentage: 10, before, ..JobState::of(JobStatus::Running) })
            .map_err(|e| NotBegun::Unwritable(e.to_string()))?;
        let round = self.round.fetch_add(1, Ordering::Relaxed) + 1;
        drop(state);
        self.note(text);
        Ok(Running { job: Arc::clone(self), round, has_ended: false })
    }

    /// Forgets what it made. One that is under way ends for nobody then.
    pub(crate) fn clear(&self, text: &str) -> Result<(), ControlError> {
        let mut state = self.lock();
        self.write(&mut state, JobState::default())?;
        self.round.fetch_add(1, Ordering::Relaxed);
        drop(state);
        self.note(text);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, JobState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &mut JobState, new: JobState) -> Result<(), ControlError> {
        let text = serde_json::to_string(&new).expect("it has string keys and no failing parts");
        files::write_private(&self.file, &text)?;
        *state = new;
        Ok(())
    }
}

impl Running {
    pub(crate) fn note(&self, text: &str) {
        self.job.note(text);
    }

    pub(crate) fn succeed(self, text: &str) {
        self.succeed_with(text, None);
    }

    pub(crate) fn reporter(&self) -> Reporter {
        Reporter { job: Arc::clone(&self.job), round: self.round }
    }

    pub(crate) fn fail_with(mut self, error: JobError) {
        let text = format!("failed: {}: {}", error.code, error.message);
        let percentage = self.job.state().percentage;
        self.end(JobState { error: Some(error), percentage, ..JobState::of(JobStatus::Failed) }, &text);
    }

    /// `result`: what was made.
    pub(crate) fn succeed_with(mut self, text: &str, result: Option<Value>) {
        let error = self.job.state().error;
        self.end(JobState { result, percentage: 100, error, ..JobState::of(JobStatus::Success) }, text);
    }

    pub(crate) fn fail(mut self, why: &str) {
        self.end(JobState::of(JobStatus::Failed), &format!("failed: {why}"));
    }

    fn end(&mut self, new: JobState, text: &str) {
        self.has_ended = true;
        self.job.note(text);
        let mut state = self.job.lock();
        if self.job.round.load(Ordering::Relaxed) != self.round {
            return;
        }
        if let Err(error) = self.job.write(&mut state, new.clone()) {
            // It has ended all the same; the next start will take it for failed.
            tracing::error!(%error, "a job's status could not be written down");
            *state = new;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(JobState::of(JobStatus::Failed), "failed: it was given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Arc<Job> {
        Job::open(dir, dir, "x", "SYSTEM").unwrap()
    }

    #[test]
    fn every_state_and_what_may_happen_in_it() {
        type Event = fn(Running);
        let events: [(Event, JobStatus); 3] = [
            (|running| running.succeed("done"), JobStatus::Success),
            (|running| running.fail("no"), JobStatus::Failed),
            (drop, JobStatus::Failed),
        ];
        for (before, _) in events {
            for (event, after) in events {
                let dir = tempfile::tempdir().unwrap();
                let job = open(dir.path());
                assert_eq!(job.state().status, None);
                before(job.begin("first").unwrap());
                let running = job.begin("second").unwrap();
                assert_eq!(job.state().status, Some(JobStatus::Running));
                assert_eq!(job.begin("third").err(), Some(NotBegun::Busy));
                event(running);
                assert_eq!(job.state().status, Some(after));
                assert_eq!(open(dir.path()).state().status, Some(after), "it outlives the process");
            }
        }
    }

    #[test]
    fn what_was_cleared_meanwhile_ends_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let job = open(dir.path());
        let old = job.begin("first").unwrap();
        job.clear("gone").unwrap();
        let new = job.begin("second").unwrap();
        old.succeed("too late");
        assert_eq!(job.state().status, Some(JobStatus::Running));
        new.succeed_with("done", Some(5.into()));
        assert_eq!(open(dir.path()).state().result, Some(5.into()));
        job.clear("gone").unwrap();
        assert_eq!(job.state(), JobState::default());
    }

    #[test]
    fn what_ran_when_the_process_ended_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        for (before, now, left) in [
            (None, "a", "the server ended before this did"),
            (Some("a"), "a", "the server ended before this did; the old state holds"),
            (Some("a"), "b", "the server ended before this did; the new state holds"),
        ] {
            std::mem::forget(open(dir.path()).begin_over("it runs", before.map(str::to_owned)).unwrap());
            let job = open(dir.path());
            job.settle(now).unwrap();
            let state = job.state();
            assert_eq!(
                (state.status, state.error.unwrap().message.as_str()),
                (Some(JobStatus::Failed), left)
            );
            let log = job.log.text().unwrap();
            assert!(log.contains("[SYSTEM] it runs\n") && log.ends_with(&format!("{left}\n")), "{log}");
            job.settle("c").unwrap();
            assert_eq!(job.log.text().unwrap(), log, "it is settled once");
        }
    }
}
