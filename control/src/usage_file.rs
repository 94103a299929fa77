//! What the node did over its whole life, for the SMART data that hosts read. A file of the data directory, because
//! it is written often, means nothing to anybody else, and may lose its last minute.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dataplane::node::{NodeUsage, SubsystemUsage};
use serde::{Deserialize, Serialize};

use crate::{ControlError, files};

const FILE: &str = "usage.json";

/// When the counters were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// They go on: who finds them so knows of an end that was no clean stop.
    Running,
    /// At a clean stop.
    AtTheEnd,
}

/// Where the counters are kept.
#[derive(Debug)]
pub struct UsageFile(PathBuf);

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PastUsage {
    /// It was written while the server ran.
    running: bool,
    starts: u64,
    unclean_starts: u64,
    powered_seconds: u64,
    /// By NQN.
    subsystems: BTreeMap<String, Counters>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Counters {
    reads: u64,
    writes: u64,
    bytes_read: u64,
    bytes_written: u64,
    busy_nanos: u64,
    media_errors: u64,
    errors: u64,
}

impl UsageFile {
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join(FILE))
    }

    /// What was written last; nothing where there is no file.
    ///
    /// # Errors
    /// A file that cannot be read or understood is left as it is.
    pub fn read(&self) -> Result<PastUsage, ControlError> {
        let Some(text) = files::read_if_there(&self.0)? else { return Ok(PastUsage::default()) };
        serde_json::from_str(&text).map_err(|error| ControlError::bad_file(&self.0, error))
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// The file cannot be written; the old one stays.
    pub fn write(&self, usage: &NodeUsage, written: Written) -> Result<(), ControlError> {
        let past = PastUsage {
            running: written == Written::Running,
            starts: usage.starts,
            unclean_starts: usage.unclean_starts,
            powered_seconds: usage.powered_seconds,
            subsystems: usage.subsystems.iter().map(|(nqn, usage)| (nqn.clone(), usage.into())).collect(),
        };
        let text = serde_json::to_string_pretty(&past).expect("plain fields");
        files::write_private(&self.0, &format!("{text}\n"))
    }
}

impl PastUsage {
    /// The node's counters with the start that is under way counted in.
    pub fn begin(self) -> NodeUsage {
        NodeUsage {
            starts: self.starts + 1,
            unclean_starts: self.unclean_starts + u64::from(self.running),
            powered_seconds: self.powered_seconds,
            subsystems: self.subsystems.into_iter().map(|(nqn, usage)| (nqn, usage.into())).collect(),
            ..NodeUsage::default()
        }
    }
}

impl From<&SubsystemUsage> for Counters {
    fn from(usage: &SubsystemUsage) -> Self {
        let &SubsystemUsage { reads, writes, bytes_read, bytes_written, busy_nanos, media_errors, errors } =
            usage;
        Self { reads, writes, bytes_read, bytes_written, busy_nanos, media_errors, errors }
    }
}

impl From<Counters> for SubsystemUsage {
    fn from(counters: Counters) -> Self {
        let Counters { reads, writes, bytes_read, bytes_written, busy_nanos, media_errors, errors } =
            counters;
        Self { reads, writes, bytes_read, bytes_written, busy_nanos, media_errors, errors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_counted_and_those_after_a_kill_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = UsageFile::of(dir.path());
        let counters = SubsystemUsage {
            reads: 1,
            writes: 2,
            bytes_read: 3,
            bytes_written: 4,
            busy_nanos: 5,
            media_errors: 6,
            errors: 7,
        };
        let first = file.read().unwrap().begin();
        assert_eq!(first, NodeUsage { starts: 1, ..NodeUsage::default() });
        let usage = NodeUsage {
            powered_seconds: 90,
            subsystems: BTreeMap::from([("nqn.x".to_owned(), counters)]),
            ..first
        };
        file.write(&usage, Written::AtTheEnd).unwrap();
        let second = file.read().unwrap().begin();
        assert_eq!(second, NodeUsage { starts: 2, ..usage });
        file.write(&second, Written::Running).unwrap();
        let third = file.read().unwrap().begin();
        assert_eq!(third, NodeUsage { starts: 3, unclean_starts: 1, ..second });
    }

    #[test]
    fn a_damaged_file_is_refused_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "junk").unwrap();
        assert!(matches!(UsageFile::of(dir.path()).read(), Err(ControlError::BadFile { .. })));
    }
}
