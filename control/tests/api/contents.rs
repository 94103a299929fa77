//! All that a server keeps, so that a test can tell whether anything was changed.

use std::{collections::BTreeMap, fs, path::Path};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const STORE: &str = "control.redb";
const ENTRIES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("entries");

/// Entries of the store by their keys, and all other files of the data directory by their paths.
#[derive(Debug)]
pub(crate) struct Contents(BTreeMap<String, Vec<u8>>);

impl Contents {
    /// Of a server that is stopped.
    pub(crate) fn of(data_dir: &Path) -> Self {
        let mut found = BTreeMap::new();
        read_files(data_dir, data_dir, &mut found);
        let database = Database::open(data_dir.join(STORE)).unwrap();
        let store = database.begin_read().unwrap();
        for entry in store.open_table(ENTRIES).unwrap().iter().unwrap() {
            let (key, value) = entry.unwrap();
            found.insert(key.value().to_owned(), value.value().1.to_vec());
        }
        // Each start is an event and an epoch, and each refusal a line of the audit log.
        let is_start = |key: &str, value: &[u8]| {
            key.starts_with("events/") && String::from_utf8_lossy(value).contains("the server started")
        };
        let is_meant = |key: &str| ["provisioner/epoch", "logs/audit.log"].contains(&key);
        found.retain(|key, value| !is_start(key, value) && !is_meant(key));
        Self(found)
    }

    /// What was made, changed or removed: its keys and paths.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<String> {
        let keys = self.0.keys().chain(before.0.keys().filter(|key| !self.0.contains_key(*key)));
        keys.filter(|key| self.0.get(*key) != before.0.get(*key)).cloned().collect()
    }
}

fn read_files(dir: &Path, root: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_files(&path, root, found);
        } else if path != root.join(STORE) {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.insert(name, fs::read(&path).unwrap());
        }
    }
}
