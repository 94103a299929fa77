//! Programs that mount storage for the metadata's backups: a flag, and the table `[storage.helpers]` of the configuration
//! file.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use control::{NoStorageType, StorageHelpers};
use serde::{Deserialize, Deserializer, de::Error};

#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageFlags {
    /// A program that mounts storage of a type (nfs, aoe, iscsi, nbd) for the backups of the metadata: it reads the
    /// document of the administration API and prints the directory
    #[arg(long = "storage-helper", value_name = "TYPE=PROGRAM")]
    #[serde(deserialize_with = "table")]
    helpers: Vec<Helper>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Helper {
    storage_type: String,
    program: PathBuf,
}

/// Why such a program cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelperError {
    #[error("write TYPE=PROGRAM")]
    Form,
    #[error(transparent)]
    Type(#[from] NoStorageType),
    #[error("{}: the program must be an absolute path", .0.display())]
    Relative(PathBuf),
}

impl Helper {
    fn new(storage_type: &str, program: PathBuf) -> Result<Self, HelperError> {
        StorageHelpers::default().add(storage_type, program.clone())?;
        match program.is_absolute() {
            true => Ok(Self { storage_type: storage_type.to_owned(), program }),
            false => Err(HelperError::Relative(program)),
        }
    }
}

impl FromStr for Helper {
    type Err = HelperError;

    fn from_str(text: &str) -> Result<Self, HelperError> {
        let (storage_type, program) = text.split_once('=').ok_or(HelperError::Form)?;
        Self::new(storage_type, program.into())
    }
}

fn table<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Helper>, D::Error> {
    let table = BTreeMap::<String, PathBuf>::deserialize(from)?;
    let helpers = table.into_iter().map(|(name, program)| Helper::new(&name, program));
    helpers.collect::<Result<_, _>>().map_err(D::Error::custom)
}

impl StorageFlags {
    /// These flags, or what `file` says.
    pub(crate) fn or(self, file: Self) -> Self {
        if self.helpers.is_empty() { file } else { self }
    }

    pub(crate) fn helpers(&self) -> StorageHelpers {
        let mut helpers = StorageHelpers::default();
        for Helper { storage_type, program } in &self.helpers {
            helpers.add(storage_type, program.clone()).expect("checked when it was read");
        }
        helpers
    }
}
