//! What this server knows of its drives over a restart: which were added while it ran, and which drive was where,
//! how far on, when it was last seen. A file of the data directory, because the node asks before the store is open.

use std::path::{Path, PathBuf};

use dataplane::node::{DriveConfig, DriveIdentity, DriveInfo, DriveMedium, DriveState, TornPolicy};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ControlError, files};

const FILE: &str = "drives.json";

/// The file's content, and where it is. Drives in memory are not in it: they go with the process.
#[derive(Debug)]
pub struct KnownDrives {
    file: PathBuf,
    drives: Vec<KnownDrive>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KnownDrive {
    /// Absolute.
    path: PathBuf,
    uuid: Uuid,
    /// Of its superblock, see [`DriveIdentity`].
    sequence: u64,
    /// How it is opened at the next start. `None`: as the command line says, if it names it.
    added: Option<Options>,
}

/// What `basalt drive add` was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    write_through: bool,
    torn: Option<Torn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Torn {
    #[serde(rename = "assume-4k-atomic")]
    Assume4kAtomic,
    TornSafe,
}

impl KnownDrives {
    /// Reads the file; nothing is known where there is none.
    ///
    /// # Errors
    /// A file that cannot be read or understood is left as it is.
    pub fn load(data_dir: &Path) -> Result<Self, ControlError> {
        let file = data_dir.join(FILE);
        let drives = match files::read_if_there(&file)? {
            Some(text) => serde_json::from_str(&text).map_err(|e| ControlError::bad_file(&file, e))?,
            None => Vec::new(),
        };
        Ok(Self { file, drives })
    }

    /// The drive that was last seen there.
    pub fn identity(&self, medium: &DriveMedium) -> Option<DriveIdentity> {
        let path = path_of(medium)?;
        let known = self.drives.iter().find(|known| known.path == path)?;
        Some(DriveIdentity { uuid: known.uuid, sequence: known.sequence })
    }

    /// Drives that were added while the server ran; one that cannot be opened stops nobody.
    pub fn added(&self) -> Vec<DriveConfig> {
        let config = |known: &KnownDrive| {
            let options = known.added?;
            Some(DriveConfig {
                write_through: options.write_through.then_some(true),
                torn: options.torn.map(TornPolicy::from),
                identity: Some(DriveIdentity { uuid: known.uuid, sequence: known.sequence }),
                optional: true,
                ..DriveConfig::new(DriveMedium::Path(known.path.clone()))
            })
        };
        self.drives.iter().filter_map(config).collect()
    }

    /// Takes note of what the drives are now, and writes the file if that is news.
    ///
    /// # Errors
    /// The file cannot be written; the old one stays.
    pub fn see(&mut self, drives: &[DriveInfo]) -> Result<(), ControlError> {
        let before = self.drives.clone();
        let is_open = |drive: &&DriveInfo| !matches!(drive.state, DriveState::Failed(_));
        for drive in drives.iter().filter(is_open).filter(|drive| !drive.name.starts_with("mem:")) {
            let Some(path) = absolute(Path::new(&drive.name)) else { continue };
            match self.drives.iter_mut().find(|known| known.path == path) {
                Some(known) => {
                    known.uuid = drive.uuid;
                    known.sequence = drive.sequence;
                }
                None => self.drives.push(KnownDrive {
                    path,
                    uuid: drive.uuid,
                    sequence: drive.sequence,
                    added: None,
                }),
            }
        }
        if self.drives == before { Ok(()) } else { self.save() }
    }

    /// From now on this drive is opened at every start.
    pub(crate) fn add(&mut self, config: &DriveConfig, drive: &DriveInfo) -> Result<(), ControlError> {
        let Some(path) = path_of(&config.medium) else { return Ok(()) };
        self.drives.retain(|known| known.path != path);
        self.drives.push(KnownDrive {
            path,
            uuid: drive.uuid,
            sequence: drive.sequence,
            added: Some(Options {
                write_through: config.write_through == Some(true),
                torn: config.torn.map(Torn::from),
            }),
        });
        self.save()
    }

    /// Nothing is expected there any more.
    pub(crate) fn forget(&mut self, drive: Uuid) -> Result<(), ControlError> {
        self.drives.retain(|known| known.uuid != drive);
        self.save()
    }

    fn save(&self) -> Result<(), ControlError> {
        let text = serde_json::to_string_pretty(&self.drives).expect("plain fields");
        files::write_private(&self.file, &format!("{text}\n"))
    }
}

impl From<Torn> for TornPolicy {
    fn from(torn: Torn) -> Self {
        match torn {
            Torn::Assume4kAtomic => Self::Assume4kAtomic,
            Torn::TornSafe => Self::TornSafe,
        }
    }
}

impl From<TornPolicy> for Torn {
    fn from(torn: TornPolicy) -> Self {
        match torn {
            TornPolicy::Assume4kAtomic => Self::Assume4kAtomic,
            TornPolicy::TornSafe => Self::TornSafe,
        }
    }
}

fn path_of(medium: &DriveMedium) -> Option<PathBuf> {
    match medium {
        DriveMedium::Path(path) => absolute(path),
        DriveMedium::Memory(_) => None,
    }
}

/// Servers may be started from anywhere. Links are not followed: the name is what people know the place by.
fn absolute(path: &Path) -> Option<PathBuf> {
    std::path::absolute(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, uuid: u128, sequence: u64, state: DriveState) -> DriveInfo {
        DriveInfo {
            uuid: Uuid::from_u128(uuid),
            name: name.to_owned(),
            state,
            sequence,
            size_bytes: 1,
            capacity_bytes: 1,
            unreserved_bytes: 1,
            used_bytes: 0,
            write_through: false,
            evacuation: None,
        }
    }

    fn place(path: &str) -> DriveMedium {
        DriveMedium::Path(path.into())
    }

    #[test]
    fn what_was_seen_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = KnownDrives::load(dir.path()).unwrap();
        known
            .see(&[
                info("/a", 1, 5, DriveState::Online),
                info("mem:m", 2, 9, DriveState::Online),
                info("/gone", 3, 0, DriveState::Failed("gone".into())),
            ])
            .unwrap();
        let added = DriveConfig {
            torn: Some(TornPolicy::TornSafe),
            write_through: Some(true),
            ..DriveConfig::new(place("/b"))
        };
        known.add(&added, &info("/b", 4, 2, DriveState::Online)).unwrap();
        known.see(&[info("/b", 4, 7, DriveState::ReadOnly("worn".into()))]).unwrap();

        let mut known = KnownDrives::load(dir.path()).unwrap();
        let identity = |uuid, sequence| Some(DriveIdentity { uuid: Uuid::from_u128(uuid), sequence });
        assert_eq!(known.identity(&place("/a")), identity(1, 5));
        assert_eq!(known.identity(&DriveMedium::Memory("m".into())), None);
        assert_eq!(known.identity(&place("/gone")), None);
        let [again] = known.added().try_into().unwrap();
        assert_eq!((again.medium, again.identity, again.optional), (place("/b"), identity(4, 7), true));
        assert_eq!((again.torn, again.write_through), (added.torn, added.write_through));

        known.forget(Uuid::from_u128(4)).unwrap();
        let known = KnownDrives::load(dir.path()).unwrap();
        assert!(known.added().is_empty() && known.identity(&place("/b")).is_none());
    }

    #[test]
    fn a_damaged_file_is_refused_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "junk").unwrap();
        assert!(matches!(KnownDrives::load(dir.path()), Err(ControlError::BadFile { .. })));
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), "junk");
    }
}
