//! The releases that were installed by updates: a directory each, and a link to the active one.

use std::{
    cmp::Ordering,
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{ControlError, admin::Release, files};

const CURRENT: &str = "current";

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
    is_ours.then(|| release.file_name()?.to_str().map(str::to_owned)).flatten()
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
    pub(crate) fn program(&self) -> Option<PathBuf> {
        let newer = is_newer(&self.release()?.version, &self.running_version);
        Some(self.active()?.join(super::package::PROGRAM)).filter(|_| newer)
    }

    /// Moves a release here and makes it the active one. The one before stays, for the way back; older ones go. A
    /// crash leaves the old one active, or the new one.
    pub(super) fn activate(&self, unpacked: &Path, version: &str) -> Result<(), ControlError> {
        files::private_dir(&self.dir)?;
        let before = self.active();
        let target = self.dir.join(version);
        let activate = || {
            if target.exists() {
                // Left behind by an update that was not applied: the active one has another version.
                fs::remove_dir_all(&target)?;
            }
            fs::rename(unpacked, &target)?;
            File::open(&self.dir)?.sync_all()?;
            self.point_to(version)?;
            self.forget_all_but(&[Some(target.clone()), before.clone()])
        };
        activate().map_err(ControlError::file(&self.dir))
    }

    fn point_to(&self, version: &str) -> io::Result<()> {
        let new = self.dir.join("current.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(version, &new)?;
        fs::rename(&new, self.dir.join(CURRENT))?;
        File::open(&self.dir)?.sync_all()
    }

    fn forget_all_but(&self, kept: &[Option<PathBuf>]) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() && !kept.contains(&Some(path.clone())) {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
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

    #[test]
    fn the_one_before_stays_and_older_ones_go() {
        let data = tempfile::tempdir().unwrap();
        let releases = Releases::of(data.path());
        assert!(releases.release().is_none());
        for version in ["1.0", "1.1", "1.2"] {
            let new = data.path().join("new");
            fs::create_dir(&new).unwrap();
            for (name, text) in [("version.txt", version), ("changelog.txt", "x"), ("build.json", "{}")] {
                fs::write(new.join(name), text).unwrap();
            }
            releases.activate(&new, version).unwrap();
            assert_eq!(releases.release().unwrap().version, version);
        }
        let there = |version: &str| data.path().join("releases").join(version).exists();
        assert!(!there("1.0") && there("1.1") && there("1.2"));
        assert!(releases.program().unwrap().ends_with("releases/1.2/basalt"));
        let newest = Releases { running_version: "1.2".to_owned(), ..releases };
        assert_eq!(newest.program(), None);
    }
}
