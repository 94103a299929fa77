//! Backups of the metadata (admin.md §5.11): one consistent view of the store, as a tar with its digests. No volumes'
//! data, no keys: sealed secrets open only where they were sealed.

mod archive;
mod make;
mod restore;
mod schedule;

pub(crate) use archive::{BadBackup, Saved};
pub(crate) use make::{BackupError, api_backup, make};
pub(crate) use restore::{RestoreError, restore};
pub(crate) use schedule::{Schedule, run};

/// Begin the keys that are about this process or about what happened, and stay as they are: leases, the events, tasks,
/// what was seen of the drives, logins, and the token whose file lies in the data directory.
const NOT_SAVED: [&str; 6] = ["live/", "events/", "tasks/", "inventory/", "sessions/", "credentials/"];

/// Whether a backup holds that key, and a restore replaces it.
fn is_saved(key: &str) -> bool {
    !NOT_SAVED.iter().any(|prefix| key.starts_with(prefix))
}
