//! Who did what over the administration API: one line each, appended (admin.md §4).

use std::path::Path;

use super::{LogFile, hex};
use crate::{ControlError, app::now_ms, limits, random};

pub(crate) struct AuditLog(LogFile);

impl AuditLog {
    pub(super) fn open(logs: &Path) -> Result<Self, ControlError> {
        let path = logs.join("audit.log");
        LogFile::open(&path, limits::LOG_FILE_BYTES).map(Self).map_err(ControlError::file(path))
    }

    /// `event`: of the contract's list; `target`: what it was about, never a secret.
    pub(crate) fn note(&self, event: &str, target: &str) {
        let (time, id) = (now_ms() / 1000, hex(&random::bytes::<8>()));
        let target: String =
            target.chars().map(|c| if c == '"' || c.is_control() { '?' } else { c }).take(255).collect();
        let line = format!("{time},{id},\"web\",\"admin\",{event},\"{target}\"\n");
        if let Err(error) = self.0.append(line.as_bytes()) {
            tracing::error!(%error, event, "the audit log could not be written");
        }
    }
}
