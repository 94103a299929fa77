//! Updates (admin.md §5.1): a package is opened, checked, unpacked, tried and made the active release, each only if the
//! step before succeeded. What runs goes on running; the next restart starts the new one.

mod package;
mod releases;
mod trial;
mod try_out;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub(crate) use package::{ReleaseKey, check, take_apart, unpack_tar};
pub(crate) use releases::Releases;
pub use trial::{NextProgram, ReleaseTrial};
pub(crate) use trial::{forget_rejected, rejected};

use zeroize::Zeroizing;

use super::{AdminConfig, Running};
use crate::{ControlError, app::SharedApp, files};

/// What updates are opened and checked with.
pub(crate) struct UpdateKeys {
    /// The pass phrase that packages are encrypted with.
    pub(crate) pass_phrase: Zeroizing<String>,
    /// Whose signature counts.
    pub(crate) release: ReleaseKey,
}

impl UpdateKeys {
    /// `None` unless both are configured.
    pub(crate) fn load(config: &AdminConfig) -> Result<Option<Self>, ControlError> {
        let (Some(key), Some(release)) = (&config.update_key, &config.release_key) else { return Ok(None) };
        let text = Zeroizing::new(fs::read_to_string(key).map_err(ControlError::file(key))?);
        // As openssl reads it.
        let pass_phrase = text.lines().next().unwrap_or_default();
        if pass_phrase.is_empty() {
            return Err(ControlError::bad_file(key, "holds no pass phrase in its first line"));
        }
        let release = ReleaseKey::load(release)?;
        Ok(Some(Self { pass_phrase: Zeroizing::new(pass_phrase.to_owned()), release }))
    }
}

/// Why an update failed; the codes are the contract's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error("the update procedure failed: {0}")]
    Internal(#[from] io::Error),
    #[error("the package has the version {0}, and {1} is installed")]
    NotNewer(String, String),
    #[error("the uploaded package is not there any more")]
    Missing,
    #[error("the update failed: {0}")]
    Step(String),
    #[error("an update is running already")]
    Running,
    #[error("the package cannot be used: {0}")]
    BadPackage(String),
}

impl UpdateError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Internal(_) => "E1000",
            Self::NotNewer(..) => "E1001",
            Self::Step(_) => "E1002",
            Self::Missing => "E1003",
            Self::Running => "E1004",
            Self::BadPackage(_) => "E1005",
        }
    }
}

impl From<ControlError> for UpdateError {
    fn from(error: ControlError) -> Self {
        Self::Internal(io::Error::other(error.to_string()))
    }
}

/// In the directory of the administration API's own files.
const WORK: &str = "update.work";

/// What an update that a crash cut short left behind.
pub(super) fn clear(dir: &Path) -> Result<(), ControlError> {
    let path = dir.join(WORK);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ControlError::file(path)(error)),
        _ => Ok(()),
    }
}

/// Where a package is worked on; gone in the end, whatever happened.
struct Workshop(PathBuf);

impl Workshop {
    fn make(dir: &Path) -> Result<Self, UpdateError> {
        clear(dir)?;
        let path = dir.join(WORK);
        files::private_dir(&path)?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "what an update left behind could not be removed");
        }
    }
}

/// Carries the update through; its outcome is the job's.
pub(crate) async fn apply(app: &SharedApp, package: &Path, running: &Running) -> Result<String, UpdateError> {
    let running = running.reporter();
    if !package.is_file() {
        return Err(UpdateError::Missing);
    }
    running.reach(20, "the package was found");
    let copy = app.admin.dir.join(WORK).join("metadata.redb");
    let entries = app.state.export().await.map_err(|e| UpdateError::Step(e.to_string()))?;
    let (app, package) = (SharedApp::clone(app), package.to_owned());
    let work = tokio::task::spawn_blocking(move || {
        let keys = app
            .admin
            .update_keys
            .as_ref()
            .ok_or_else(|| UpdateError::Step("no update key configured".to_owned()))?;
        let workshop = Workshop::make(&app.admin.dir)?;
        running.reach(30, "decrypting");
        package::open(&package, &keys.pass_phrase, &workshop.0)?;
        running.reach(40, "decrypted");
        package::verify(&workshop.0, &keys.release)?;
        running.reach(50, "the signature is good");
        let unpacked = workshop.path("release");
        package::unpack(&workshop.0, &unpacked)?;
        let version = check(&unpacked)?;
        let installed = app.release().version;
        running.reach(60, &format!("the package has version {version}, installed is {installed}"));
        if !releases::is_newer(&version, &installed) {
            return Err(UpdateError::NotNewer(version, installed));
        }
        running.reach(70, "applying");
        try_out::copy_metadata(&copy, entries)?;
        try_out::check_itself(&unpacked, &copy)?;
        try_out::ask_hook(&unpacked, &version, &installed)?;
        app.admin.releases.activate(&unpacked, &version)?;
        running.reach(80, "applied");
        Ok(version)
    });
    work.await.unwrap_or_else(|_| Err(UpdateError::Internal(io::Error::other("the server failed in this"))))
}
