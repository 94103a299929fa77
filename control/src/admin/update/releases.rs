//! The releases that were installed by updates: a directory each, and a link to the active one.

use std::{
    cmp::Ordering,
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::trial::{self, NextProgram, ReleaseTrial};
use crate::{ControlError, admin::Release, crash_point::crash_point, files};

const CURRENT: &str = "current";

#[derive(Debug, Clone)]
pub(crate) struct Releases {
    dir: PathBuf,
    /// Of the program that runs.
    pub(crate) running_version: String,
}

/// It names a directory, so it is short and harmless.
pub(super) fn is_version(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c))
}

/// As people count: 1.10 comes after 1.9.
pub(super) fn is_newer(version: &str, than: &str) -> bool {
    compare(version, than) == Ordering::Greater
}

fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.split(['.', '-', '+']), other.split(['.', '-', '+']));
    loop {
        let order = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (one, None) => one.map_or(Ordering::Equal, |_| Ordering::Greater),
            (None, Some(_)) => Ordering::Less,
            (Some(one), Some(other)) => match (one.parse::<u64>(), other.parse::<u64>()) {
                (Ok(one), Ok(other)) => one.cmp(&other),
                _ => one.cmp(other),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The version of the release below `dir` whose program this is, if it is one.
fn running_from(dir: &Path) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let release = program.parent()?;
    let is_ours = release.parent()? == dir.canonicalize().ok()?;
    is_ours.then(|| name(release)).flatten()
}

/// Directories of releases are called by their versions.
fn name(release: &Path) -> Option<String> {
    release.file_name()?.to_str().map(str::to_owned)
}

impl Releases {
    pub(crate) fn of(data_dir: &Path) -> Self {
        let dir = data_dir.join("releases");
        let running_version = running_from(&dir).unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
        Self { dir, running_version }
    }

    /// The newer of the active release and `compiled`, what this program came with.
    pub(crate) fn newest(&self, compiled: Release) -> Release {
        self.release().filter(|active| is_newer(&active.version, &compiled.version)).unwrap_or(compiled)
    }

    /// The mark of what an update changes.
    pub(crate) fn mark(&self) -> String {
        self.active_version().unwrap_or_default()
    }

    /// The version of the active one, if there is one.
    fn active_version(&self) -> Option<String> {
        name(&self.active()?)
    }

    /// The active one's directory; `None` where no update was ever applied.
    fn active(&self) -> Option<PathBuf> {
        let name = fs::read_link(self.dir.join(CURRENT)).ok()?;
        Some(self.dir.join(name.file_name()?)).filter(|dir| dir.is_dir())
    }

    /// What the active one says of itself.
    pub(crate) fn release(&self) -> Option<Release> {
        let dir = self.active()?;
        let text = |name: &str| fs::read_to_string(dir.join(name)).ok();
        Some(Release {
            version: text("version.txt")?.trim().to_owned(),
            changelog: text("changelog.txt")?,
            build: serde_json::from_str(&text("build.json")?).ok()?,
        })
    }

    /// The active one's program, if it is newer than the one that runs.
    fn program(&self) -> Option<PathBuf> {
        let newer = is_newer(&self.release()?.version, &self.running_version);
        Some(self.active()?.join(super::package::PROGRAM)).filter(|program| newer && program.is_file())
    }

    /// What is to serve instead of this program, if anything is. A release that was being tried when the process ended
    /// is not tried again: it makes way for the one before.
    pub(crate) fn next(&self) -> Result<Option<NextProgram>, ControlError> {
        loop {
            let (Some(program), Some(version)) = (self.program(), self.active_version()) else {
                return Ok(None);
            };
            let Some(state) = trial::read(&self.dir.join(&version))? else {
                return Ok(Some(NextProgram::Proven(program)));
            };
            let trial = ReleaseTrial::new(self.clone(), version, state);
            match trial.was_cut_short() {
                true => trial.reject("the server ended before it was ready")?,
                false => return Ok(Some(NextProgram::OnTrial(trial))),
            }
        }
    }

    /// The program that asks is ready to serve. If it is a release on trial, it has passed.
    pub(crate) fn is_ready(&self) -> Result<(), ControlError> {
        match running_from(&self.dir) {
            Some(version) => trial::pass(&self.dir.join(version)),
            None => Ok(()),
        }
    }

    pub(super) fn dir(&self, version: &str) -> PathBuf {
        self.dir.join(version)
    }

    /// Moves a release here and makes it the active one, on trial. The last one that served stays, for the way back;
    /// others go. A crash leaves the old one active, or the new one.
    pub(super) fn activate(&self, unpacked: &Path, version: &str) -> Result<(), ControlError> {
        files::private_dir(&self.dir)?;
        let before = match self.active_version() {
            Some(active) => match trial::read(&self.dir.join(&active))? {
                Some(unproven) => unproven.before,
                None => Some(active),
            },
            None => None,
        };
        // Before it gets its name: there is no moment at which it would pass for proven.
        trial::begin(unpacked, before.clone())?;
        let target = self.dir.join(version);
        let activate = || {
            if target.exists() {
                // Left behind by an update that was not applied: the active one has another version.
                fs::remove_dir_all(&target)?;
                crash_point();
            }
            fs::rename(unpacked, &target)?;
            crash_point();
            File::open(&self.dir)?.sync_all()?;
            self.point_to(Some(version))?;
            let kept = [Some(version.to_owned()), before.clone(), running_from(&self.dir)];
            self.forget_all_but(&kept)
        };
        activate().map_err(ControlError::file(&self.dir))
    }

    /// `None`: the program serves that this one was started as.
    pub(super) fn point_to(&self, version: Option<&str>) -> io::Result<()> {
        let (new, current) = (self.dir.join("current.new"), self.dir.join(CURRENT));
        match version {
            Some(version) => {
                remove_if_there(&new)?;
                symlink(version, &new)?;
                crash_point();
                fs::rename(&new, current)?;
            }
            None => remove_if_there(&current)?,
        }
        crash_point();
        File::open(&self.dir)?.sync_all()
    }

    fn forget_all_but(&self, kept: &[Option<String>]) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() && !kept.contains(&name(&path)) {
                crash_point();
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// Where it is written down which release was rejected.
    pub(super) fn rejected_file(&self) -> PathBuf {
        self.dir.join("rejected.json")
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_counted_as_people_do() {
        for (newer, older) in
            [("1.10", "1.9"), ("2", "1.99.99"), ("1.0.1", "1.0"), ("0.2.0", "0.1.9"), ("1.0-b", "1.0-a")]
        {
            assert!(is_newer(newer, older) && !is_newer(older, newer), "{newer} {older}");
        }
        assert!(!is_newer("1.0", "1.0") && is_version("1.0-rc1+b"));
        for no in ["", "v1", "1/2", "..", "1 2", &"1".repeat(65)] {
            assert!(!is_version(no), "{no}");
        }
    }

    /// Installs a release with these texts.
    fn install(data: &Path, releases: &Releases, version: &str) {
        let new = data.join("new");
        fs::create_dir(&new).unwrap();
        for (name, text) in
            [("version.txt", version), ("changelog.txt", "x"), ("build.json", "{}"), ("basalt", "")]
        {
            fs::write(new.join(name), text).unwrap();
        }
        releases.activate(&new, version).unwrap();
        assert_eq!(releases.release().unwrap().version, version);
    }

    #[test]
    fn the_last_one_that_served_stays_and_others_go() {
        let data = tempfile::tempdir().unwrap();
        let releases = Releases::of(data.path());
        assert!(releases.release().is_none());
        let there = |version: &str| data.path().join("releases").join(version).exists();
        install(data.path(), &releases, "1.0");
        install(data.path(), &releases, "1.1");
        assert!(!there("1.0") && there("1.1"), "1.0 never served");
        trial::pass(&releases.dir("1.1")).unwrap();
        install(data.path(), &releases, "1.2");
        install(data.path(), &releases, "1.3");
        assert!(there("1.1") && !there("1.2") && there("1.3"));
        assert!(releases.program().unwrap().ends_with("releases/1.3/basalt"));
        let newest = Releases { running_version: "1.3".to_owned(), ..releases };
        assert_eq!(newest.program(), None);
    }

    /// Every state of a release by every event.
    #[test]
    fn a_release_serves_for_good_once_it_was_ready() {
        let data = tempfile::tempdir().unwrap();
        let releases = Releases::of(data.path());
        let on_trial = || match releases.next().unwrap() {
            Some(NextProgram::OnTrial(trial)) => trial,
            other => panic!("{other:?}"),
        };
        let is_proven = || matches!(releases.next().unwrap(), Some(NextProgram::Proven(_)));
        install(data.path(), &releases, "1.0");
        // Installed: stopped before it was started, or while it was.
        let trial = on_trial();
        assert!(trial.program().ends_with("releases/1.0/basalt"));
        trial.start().unwrap();
        trial.put_off().unwrap();
        on_trial().start().unwrap();
        assert!(!on_trial_is_ready(&releases));
        trial::pass(&releases.dir("1.0")).unwrap();
        assert!(is_proven() && on_trial_is_ready(&releases));

        // Started, and found so at the next start.
        install(data.path(), &releases, "1.1");
        on_trial().start().unwrap();
        assert!(is_proven(), "1.0 serves again");
        assert_eq!(releases.active_version().as_deref(), Some("1.0"));
        let rejected = trial::rejected(&releases).unwrap().unwrap();
        assert!(
            rejected.contains("1.1") && rejected.contains("1.0") && rejected.contains("ended"),
            "{rejected}"
        );
        trial::forget_rejected(&releases).unwrap();
        assert_eq!(trial::rejected(&releases).unwrap(), None);

        // Started, and given up by whoever watched it; another one in between never served.
        install(data.path(), &releases, "1.2");
        install(data.path(), &releases, "1.3");
        let trial = on_trial();
        trial.start().unwrap();
        trial.reject("it ended").unwrap();
        assert_eq!(releases.active_version().as_deref(), Some("1.0"));
        assert!(is_proven());
    }

    #[test]
    fn the_first_release_makes_way_for_the_program_that_was_there() {
        let data = tempfile::tempdir().unwrap();
        let releases = Releases::of(data.path());
        install(data.path(), &releases, "1.0");
        let Some(NextProgram::OnTrial(trial)) = releases.next().unwrap() else { panic!("it waits") };
        trial.start().unwrap();
        trial.reject("it ended").unwrap();
        assert!(releases.next().unwrap().is_none() && releases.active_version().is_none());
        assert!(trial::rejected(&releases).unwrap().unwrap().contains(env!("CARGO_PKG_VERSION")));
        // The same version again, mended.
        install(data.path(), &releases, "1.0");
        assert!(matches!(releases.next().unwrap(), Some(NextProgram::OnTrial(_))));
    }

    fn on_trial_is_ready(releases: &Releases) -> bool {
        trial::read(&releases.dir("1.0")).unwrap().is_none()
    }
}
