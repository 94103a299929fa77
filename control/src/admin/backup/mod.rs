//! Backups of the metadata (admin.md §5.11): one consistent view of the store, as a tar with its digests. No volumes'
//! data, no keys: sealed secrets open only where they were sealed.

mod archive;
mod make;
mod restore;
mod schedule;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{admin::entitlement::Entitlement, state::Record};

pub(crate) use archive::{BadBackup, Saved};
pub(crate) use make::{BackupError, api_backup, make};
pub(crate) use restore::{RestoreError, restore, restore_mark};
pub(crate) use schedule::{Schedule, run};

/// Begin the keys that are about this process or about what happened, and stay as they are: leases, the events, tasks,
/// what was seen of the drives, logins, the token whose file lies in the data directory, which backup was restored, and
/// what the operator is entitled to.
const NOT_SAVED: [&str; 8] = [
    "live/",
    "events/",
    "tasks/",
    "inventory/",
    "sessions/",
    "credentials/",
    RestoredRecord::PREFIX,
    Entitlement::PREFIX,
];

/// The latest restore, written in its transaction: after a crash it tells whether it was done.
#[derive(Debug, Serialize, Deserialize)]
struct RestoredRecord {
    id: Uuid,
}

impl Record for RestoredRecord {
    const PREFIX: &'static str = "restored/";
    fn id(&self) -> String {
        Self::KEY.to_owned()
    }
}

impl RestoredRecord {
    /// There is one.
    const KEY: &'static str = "last";
}

/// Whether a backup holds that key, and a restore replaces it.
fn is_saved(key: &str) -> bool {
    !NOT_SAVED.iter().any(|prefix| key.starts_with(prefix))
}
