//! Administration of this server (admin.md): its own credential, its long jobs, its logs. What it shows and changes is
//! the one state that everybody else sees.

mod audit;
pub(crate) mod backup;
pub(crate) mod bundle;
pub(crate) mod certs;
pub(crate) mod clock;
mod config;
pub(crate) mod entitlement;
mod field_rule;
pub(crate) mod form;
pub(crate) mod health;
mod heartbeats;
mod job;
mod log_file;
mod passphrase;
mod program;
mod release;
mod restart;
mod sealed_file;
mod self_check;
pub(crate) mod settings;
pub(crate) mod storage;
mod token;
pub(crate) mod update;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use audit::AuditLog;
use bundle::SupportKey;
use clock::ClockSeen;
pub use config::{AdminConfig, AdminGroup, NoAdminGroup};
pub(crate) use heartbeats::{Heartbeats, beat_for_cores};
pub(crate) use job::{Job, JobError, JobStatus, NotBegun, Running};
pub use log_file::LogFile;
pub(crate) use release::Release;
use restart::Restart;
pub use self_check::{next_program, release_is_ready, self_check};
pub use storage::{NoStorageType, StorageHelpers};
pub(crate) use token::{AdminToken, Credential, SetupError};
pub use update::{NextProgram, ReleaseTrial};
use update::{Releases, UpdateKeys};

use crate::{ControlError, files, state::State};

/// What the administration API has of its own.
pub(crate) struct Admin {
    pub(crate) config: AdminConfig,
    pub(crate) token: AdminToken,
    pub(crate) audit: AuditLog,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) clock: ClockSeen,
    pub(crate) settings: Arc<Job>,
    pub(crate) certs: Arc<Job>,
    pub(crate) storage: Arc<Job>,
    pub(crate) backup: Arc<Job>,
    pub(crate) update: Arc<Job>,
    /// `None`: nothing can be installed.
    pub(crate) update_keys: Option<UpdateKeys>,
    pub(crate) releases: Releases,
    pub(crate) restart: Restart,
    /// `None`: no debug bundle can be made.
    pub(crate) support_key: Option<Arc<SupportKey>>,
    pub(crate) restore: Arc<Job>,
    /// Its own files: what jobs left, uploads in progress.
    pub(crate) dir: PathBuf,
}

impl Admin {
    /// Makes what is missing in `data_dir`; `credentials`: the directory of that name in it.
    pub(crate) fn open(
        data_dir: &Path,
        credentials: &Path,
        config: AdminConfig,
    ) -> Result<Self, ControlError> {
        let (dir, logs) = (data_dir.join("admin"), data_dir.join("logs"));
        files::private_dir(&dir)?;
        clear(&dir.join("incoming"))?;
        update::clear(&dir)?;
        files::private_dir(&logs)?;
        Ok(Self {
            token: AdminToken::open(credentials, config.first_run_words)?,
            audit: AuditLog::open(&logs)?,
            heartbeats: Heartbeats::default(),
            clock: ClockSeen::default(),
            settings: Job::open(&dir, &logs, "settings", "SYSTEM")?,
            certs: Job::open(&dir, &logs, "certs", "SYSTEM")?,
            storage: Job::open(&dir, &logs, "storage", "SYSTEM")?,
            backup: Job::open(&dir, &logs, "backup", "BACKUP")?,
            restore: Job::open(&dir, &logs, "restore", "BACKUP")?,
            update: Job::open(&dir, &logs, "update", "SYSTEM")?,
            update_keys: UpdateKeys::load(&config)?,
            releases: Releases::of(data_dir),
            restart: Restart::default(),
            support_key: config.support_key.as_deref().map(SupportKey::load).transpose()?.map(Arc::new),
            config,
            dir,
        })
    }

    /// Says of every job that was under way when the process ended what it left behind, and of a release that was
    /// installed that it was rolled back. Returns the latter, for people. Before anything else is done.
    pub(crate) async fn settle(
        &self,
        state: &State,
        credentials: &Path,
        backups: &Path,
    ) -> Result<Option<String>, ControlError> {
        let in_store = |error| ControlError::bad_file(&self.dir, error);
        self.settings.settle(&settings::mark(state).await.map_err(in_store)?)?;
        self.certs.settle(&certs::mark(credentials)?)?;
        self.storage.settle(&storage::mark(state).await.map_err(in_store)?)?;
        self.backup.settle("")?;
        let was_made = self.backup.state().status == Some(JobStatus::Success);
        if was_made && !backup::api_backup(backups).exists() {
            self.backup.clear("the backup is not where backups live now")?;
        }
        self.update.settle(&self.releases.mark())?;
        if let Some(text) = self.restore.settle(&backup::restore_mark(state).await.map_err(in_store)?)? {
            self.backup.note(&format!("a restore: {text}"));
        }
        let rejected = update::rejected(&self.releases)?;
        if let Some(text) = &rejected {
            self.update.revoke(JobError::new("E1002", text.clone()))?;
            update::forget_rejected(&self.releases)?;
        }
        Ok(rejected)
    }
}

/// An empty directory: what a crash left there goes.
fn clear(dir: &Path) -> Result<(), ControlError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ControlError::file(dir)(error)),
        _ => {}
    }
    files::private_dir(dir)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
