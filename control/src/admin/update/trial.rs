//! A release that was installed serves for good only once it was seen ready (admin.md §5.1). One that does not get there
//! makes way for the one before: Installed, Started, and then either proven, which needs no record, or rejected.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{package::PROGRAM, releases::Releases};
use crate::{ControlError, files};

/// In the release's directory, until it is proven.
const FILE: &str = "trial.json";

/// What serves instead of the program that asks.
#[derive(Debug)]
pub enum NextProgram {
    /// It was ready once.
    Proven(PathBuf),
    /// Whoever starts it watches it.
    OnTrial(ReleaseTrial),
}

/// Of a release that is not proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TrialState {
    /// The last release that was proven; `None`: the program that was there without releases.
    pub(super) before: Option<String>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Installed,
    Started,
}

/// Written where a release was rejected, until somebody was told.
#[derive(Debug, Serialize, Deserialize)]
struct Rejected {
    version: String,
    before: String,
    why: String,
}

/// A release that is active and not proven yet.
#[derive(Debug)]
pub struct ReleaseTrial {
    releases: Releases,
    version: String,
    state: TrialState,
    program: PathBuf,
}

impl ReleaseTrial {
    pub(super) fn new(releases: Releases, version: String, state: TrialState) -> Self {
        let program = releases.dir(&version).join(PROGRAM);
        Self { releases, version, state, program }
    }

    /// What is to be started.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn was_cut_short(&self) -> bool {
        self.state.phase == Phase::Started
    }

    /// Before its program is started: if this process ends before [`put_off`](Self::put_off), it has failed.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn start(&self) -> Result<(), ControlError> {
        self.write(Phase::Started)
    }

    /// It was stopped before anything could be said about it.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn put_off(&self) -> Result<(), ControlError> {
        self.write(Phase::Installed)
    }

    /// Its program said that it is ready.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn has_passed(&self) -> Result<bool, ControlError> {
        Ok(read(&self.releases.dir(&self.version))?.is_none())
    }

    /// The one before is the active one again. `why`: for people. After a crash it is rejected, or found as it is now.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn reject(&self, why: &str) -> Result<(), ControlError> {
        let before = self.state.before.as_deref();
        let rejected = Rejected {
            version: self.version.clone(),
            before: before.unwrap_or(env!("CARGO_PKG_VERSION")).to_owned(),
            why: why.to_owned(),
        };
        let file = self.releases.rejected_file();
        write(&file, &rejected)?;
        self.releases.point_to(before).map_err(ControlError::file(file))
    }

    fn write(&self, phase: Phase) -> Result<(), ControlError> {
        let state = TrialState { phase, ..self.state.clone() };
        write(&self.releases.dir(&self.version).join(FILE), &state)
    }
}

/// `None`: the release is proven.
pub(super) fn read(release: &Path) -> Result<Option<TrialState>, ControlError> {
    parse(&release.join(FILE))
}

/// From now on the release is on trial.
pub(super) fn begin(release: &Path, before: Option<String>) -> Result<(), ControlError> {
    write(&release.join(FILE), &TrialState { before, phase: Phase::Installed })
}

/// From now on it is proven.
pub(super) fn pass(release: &Path) -> Result<(), ControlError> {
    files::remove(&release.join(FILE))
}

/// Which release was rejected, and why, for people.
pub(crate) fn rejected(releases: &Releases) -> Result<Option<String>, ControlError> {
    let rejected: Option<Rejected> = parse(&releases.rejected_file())?;
    Ok(rejected.map(|Rejected { version, before, why }| {
        format!("release {version} was rolled back: {why}; {before} serves again")
    }))
}

/// Whoever had to be told was.
pub(crate) fn forget_rejected(releases: &Releases) -> Result<(), ControlError> {
    files::remove(&releases.rejected_file())
}

fn parse<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, ControlError> {
    let Some(text) = files::read_if_there(file)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|e| ControlError::bad_file(file, e))
}

fn write(file: &Path, content: &impl Serialize) -> Result<(), ControlError> {
    let text = serde_json::to_string(content).expect("it has string keys and no failing parts");
    files::write_private(file, &text)
}
