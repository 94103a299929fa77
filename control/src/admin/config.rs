//! What of the administration API is switched on, and whose keys count there (admin.md §3, §7).

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;

use super::storage::StorageHelpers;
use crate::ControlError;

/// Endpoints that exist only where they are switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminGroup {
    Settings,
    Certs,
    License,
    Storage,
    Backup,
}

impl AdminGroup {
    /// In the order of the contract.
    pub const ALL: [Self; 5] = [Self::Settings, Self::Certs, Self::License, Self::Storage, Self::Backup];
    /// Switched on unless the operator says otherwise.
    const DEFAULT: [Self; 3] = [Self::Settings, Self::Certs, Self::Backup];

    fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Certs => "certs",
            Self::License => "license",
            Self::Storage => "storage",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for AdminGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no optional group of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no optional group of the administration API")]
pub struct NoAdminGroup(String);

impl FromStr for AdminGroup {
    type Err = NoAdminGroup;

    fn from_str(name: &str) -> Result<Self, NoAdminGroup> {
        Self::ALL.into_iter().find(|group| group.name() == name).ok_or_else(|| NoAdminGroup(name.to_owned()))
    }
}

/// The administration API's part of the configuration.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Words of the passphrase that a first start makes. `None`: it makes none, and the first `POST /setup` is taken
    /// from this machine without a credential.
    pub first_run_words: Option<usize>,
    pub groups: BTreeSet<AdminGroup>,
    /// Form fields of optional groups that are read; `None`: all.
    pub parameters: Option<BTreeSet<String>>,
    /// File with the pass phrase that release packages are encrypted with, and file with the public key (PEM) that they
    /// are signed with. Without both of them none can be installed.
    pub update_key: Option<PathBuf>,
    pub release_key: Option<PathBuf>,
    /// File with the public RSA key (PEM) of those who may read debug bundles. `None`: none can be made.
    pub support_key: Option<PathBuf>,
    pub storage_helpers: StorageHelpers,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            first_run_words: Some(FIRST_RUN_WORDS),
            groups: AdminGroup::DEFAULT.into(),
            parameters: None,
            update_key: None,
            release_key: None,
            support_key: None,
            storage_helpers: StorageHelpers::default(),
        }
    }
}

/// About 51 bits.
const FIRST_RUN_WORDS: usize = 4;
/// More would only be harder to type.
const MAX_FIRST_RUN_WORDS: usize = 64;

/// The reference's own configuration file.
#[derive(Debug, Deserialize)]
struct JsonFile {
    #[serde(default)]
    endpoints: BTreeSet<AdminGroup>,
    parameters: Option<BTreeSet<String>>,
    #[serde(rename = "first-run")]
    first_run: Option<FirstRun>,
}

#[derive(Debug, Deserialize)]
struct FirstRun {
    #[serde(rename = "word-length")]
    word_length: usize,
    enabled: bool,
}

impl AdminConfig {
    /// What a JSON file says.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn from_json_file(path: &Path) -> Result<Self, ControlError> {
        let text = fs::read_to_string(path).map_err(ControlError::file(path))?;
        let file: JsonFile = serde_json::from_str(&text).map_err(|e| ControlError::bad_file(path, e))?;
        let first_run_words = match file.first_run {
            Some(FirstRun { enabled: true, word_length }) => Some(word_length),
            _ => None,
        };
        if first_run_words.is_some_and(|words| !(1..=MAX_FIRST_RUN_WORDS).contains(&words)) {
            let reason = format!("first-run: word-length must be from 1 to {MAX_FIRST_RUN_WORDS}");
            return Err(ControlError::bad_file(path, reason));
        }
        Ok(Self { first_run_words, groups: file.endpoints, parameters: file.parameters, ..Self::default() })
    }

    pub(crate) fn is_enabled(&self, group: Option<AdminGroup>) -> bool {
        group.is_none_or(|group| self.groups.contains(&group))
    }

    /// Whether the optional groups read that form field. Names that the reference's configuration cannot list are
    /// always read.
    pub(crate) fn reads(&self, field: &str) -> bool {
        let may_be_listed = ["public", "private", "ca", "license", "action", "archive"].contains(&field);
        !may_be_listed || self.parameters.as_ref().is_none_or(|listed| listed.contains(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.json");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            AdminConfig::from_json_file(&path)
        };
        let full = read(
            r#"{"endpoints":["settings"],"parameters":["public"],"first-run":{"word-length":6,"enabled":true}}"#,
        )
        .unwrap();
        assert_eq!(full.first_run_words, Some(6));
        assert!(full.is_enabled(Some(AdminGroup::Settings)) && full.is_enabled(None));
        assert!(full.reads("public") && !full.reads("private") && full.reads("settings"));
        let empty = read("{}").unwrap();
        assert!(empty.first_run_words.is_none() && !empty.is_enabled(Some(AdminGroup::Settings)));
        assert!(empty.reads("private"));
        let off = read(r#"{"first-run":{"word-length":6,"enabled":false}}"#).unwrap();
        assert_eq!(off.first_run_words, None);
        for wrong in
            ["", "[]x", r#"{"endpoints":["none"]}"#, r#"{"first-run":{"word-length":0,"enabled":true}}"#]
        {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("admin.json"), "{wrong}: {error}");
        }
    }
}
