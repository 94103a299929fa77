//! What a drive's machinery does, for metrics: its journal, its map pages in memory, its merges.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::{
    drive::{Drive, DriveShared},
    format::PAGE_BYTES,
    sync::lock,
};

/// Of one drive. What counts up counts since the drive was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveActivity {
    /// Of the journal's ring, and what of it a start would replay now.
    pub journal_bytes: u64,
    pub journal_used_bytes: u64,
    /// Groups that were ever written to the journal.
    pub journal_groups: u64,
    /// Checkpoints that were ever written.
    pub checkpoints: u64,
    /// Memory for map pages, and what of it holds some.
    pub map_memory_bytes: u64,
    pub map_resident_bytes: u64,
    /// Metadata pages that were read because they were not in memory.
    pub map_page_reads: u64,
    /// Extents that went into the layer above since its snapshot was deleted.
    pub merged_extents: u64,
}

/// What nothing else counts.
#[derive(Debug, Default)]
pub(super) struct Activity {
    map_page_reads: AtomicU64,
    merged_extents: AtomicU64,
}

impl Activity {
    pub(super) fn page_read(&self) {
        self.map_page_reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn merged(&self, extents: usize) {
        self.merged_extents.fetch_add(extents as u64, Ordering::Relaxed);
    }
}

impl Drive {
    pub fn activity(&self) -> DriveActivity {
        self.shared.activity()
    }
}

impl DriveShared {
    fn activity(&self) -> DriveActivity {
        let (journal_used_bytes, journal_bytes) = self.journal.fill_bytes();
        let page = PAGE_BYTES as u64;
        DriveActivity {
            journal_bytes,
            journal_used_bytes,
            journal_groups: self.journal.written_sequence(),
            checkpoints: lock(&self.superblock).sequence,
            map_memory_bytes: self.frames.total() as u64 * page,
            map_resident_bytes: self.frames.in_use() as u64 * page,
            map_page_reads: self.activity.map_page_reads.load(Ordering::Relaxed),
            merged_extents: self.activity.merged_extents.load(Ordering::Relaxed),
        }
    }
}
