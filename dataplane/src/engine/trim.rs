//! Deallocate and Write Zeroes: blocks become absent (or zero, where an older layer would show through), and an
//! extent that no block needs is freed.

use std::sync::Arc;

use super::{
    drive::DriveShared,
    error::EngineError,
    format::{BLOCK_BYTES, ENTRIES_PER_PAGE, EXTENT_BYTES},
    frames::EntryCell,
    journal::Admission,
    layer::Layer,
    map::{BlockState, Entry, LogicalExtent, Piece},
    paging::Purpose,
    read::{Missing, Source},
    volume::Volume,
};
use crate::rt::Buf;

/// Trims and deletes go on until the journal is this full; the rest is for checkpoints (E12).
const STOP_SIXTEENTHS: u64 = 14;

impl Volume {
    /// Makes a range read as zeros: whole blocks lose their data, partly covered ones are overwritten. Recorded when
    /// it answers.
    pub(super) async fn zero_range(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        let end = offset_bytes + len_bytes;
        let whole_start = offset_bytes.next_multiple_of(BLOCK_BYTES).min(end);
        let whole_end = (end / BLOCK_BYTES * BLOCK_BYTES).max(whole_start);
        self.zero_part(offset_bytes, whole_start).await?;
        self.clear_range(whole_start, whole_end).await?;
        self.zero_part(whole_end, end).await?;
        self.drive.journal.barrier().await
    }

    /// Clears the whole blocks of a range. Recorded when it answers.
    pub(super) async fn deallocate_range(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
    ) -> Result<(), EngineError> {
        let start = offset_bytes.next_multiple_of(BLOCK_BYTES);
        let end = (offset_bytes + len_bytes) / BLOCK_BYTES * BLOCK_BYTES;
        self.clear_range(start, end.max(start)).await?;
        self.drive.journal.barrier().await
    }

    /// Zeros in less than a block.
    async fn zero_part(&self, start: u64, end: u64) -> Result<(), EngineError> {
        if start == end || self.reads_as_zeros(start).await? {
            return Ok(());
        }
        let zeros = Buf::zeroed((end - start) as usize).await;
        self.write_range(start, zeros, false).await.1
    }

    async fn reads_as_zeros(&self, offset_bytes: u64) -> Result<bool, EngineError> {
        let piece = Piece::first_of(offset_bytes, 1);
        loop {
            let operation = self.drive.grace.enter();
            let source = self.drive.source(self.volume.chain().layers(), piece.logical, piece.first_block());
            match source {
                Ok(source) => return Ok(source == Source::Zeros),
                Err(missing) => {
                    drop(operation);
                    self.bring_in(missing, Purpose::Read).await?;
                }
            }
        }
    }

    /// Clears whole blocks. The caller waits for the journal, even where nothing was to do: another trim may have
    /// cleared the blocks a moment ago and its record be still under way.
    async fn clear_range(&self, start_bytes: u64, end_bytes: u64) -> Result<(), EngineError> {
        let mut offset = start_bytes;
        while offset < end_bytes {
            let leaf_bytes = ENTRIES_PER_PAGE as u64 * EXTENT_BYTES;
            let leaf_end = ((offset / leaf_bytes + 1) * leaf_bytes).min(end_bytes);
            let nothing_there = self.is_leaf_absent(offset).await?;
            while !nothing_there && offset < leaf_end {
                let piece = Piece::first_of(offset, leaf_end - offset);
                self.clear_piece(piece).await?;
                offset += u64::from(piece.len_bytes);
            }
            offset = leaf_end;
        }
        Ok(())
    }

    /// Whether a whole leaf has nothing to clear.
    pub(super) async fn is_leaf_absent(&self, offset_bytes: u64) -> Result<bool, EngineError> {
        let leaf = Piece::first_of(offset_bytes, 1).logical.leaf();
        for layer in self.volume.chain().layers().to_vec() {
            let loaded = self.drive.load_nodes(&layer.tree, leaf).await;
            // One that has left the chain meanwhile may be gone, and its pages others' by now.
            if self.volume.chain().contains(layer.id) {
                self.volume.check_here()?;
                loaded?;
            }
        }
        let _operation = self.drive.grace.enter();
        Ok(self.volume.chain().layers().iter().all(|layer| self.drive.is_absent(layer, leaf)))
    }

    /// Clears blocks of one extent. But for side records the claim need not outlive the change: whoever writes next
    /// finds the blocks gone and waits for a record of its own.
    async fn clear_piece(&self, piece: Piece) -> Result<(), EngineError> {
        let drive = &*self.drive;
        let _claim = self.volume.claims().take(piece.logical, piece.mask()).await;
        let mut admission = None;
        let mut gives_up_side_records = false;
        loop {
            let operation = drive.grace.enter();
            self.volume.check_here()?;
            let chain = self.volume.chain();
            if chain.is_held() {
                drop((operation, chain));
                self.volume.released().await;
                continue;
            }
            let leaf = piece.logical.leaf();
            let bare = chain.frozen().iter().all(|layer| drive.is_absent(layer, leaf));
            let is_bottom = chain.frozen().is_empty();
            let change = |entry: Entry| match (is_bottom, bare) {
                (true, _) => entry.with(piece.mask(), BlockState::Absent),
                // Nothing shows through what is absent and stays so. What was known is hidden for good: others may
                // have counted on that (E6).
                (false, true) => entry.with(piece.mask().and(entry.known()), BlockState::Zero),
                (false, false) => entry.with(piece.mask(), BlockState::Zero),
            };
            let entry = drive.entry(chain.head(), piece.logical);
            gives_up_side_records |=
                entry.is_some_and(|entry| !entry.side_records().and(piece.mask()).is_empty());
            if drive.try_clear(chain.head(), piece.logical, &mut admission, change) {
                chain.head().note_written(piece.logical);
                drop((operation, chain));
                if gives_up_side_records {
                    // Durable before the claim goes: see `side_record`.
                    drive.journal.barrier().await?;
                    drive.flush().await?;
                }
                return Ok(());
            }
            let missing = Missing { layer: chain.head().clone(), logical: piece.logical };
            drop((operation, chain));
            self.bring_in(missing, Purpose::Change).await?;
            admission = Some(drive.admit_clear().await?);
        }
    }
}

impl DriveShared {
    /// Changes an entry so that blocks vanish; frees its extent if nothing needs it any more. Noted, not yet recorded.
    pub(super) async fn clear_entry(
        &self,
        layer: &Arc<Layer>,
        logical: LogicalExtent,
        change: impl Fn(Entry) -> Entry,
    ) -> Result<(), EngineError> {
        let mut admission = None;
        loop {
            let operation = self.grace.enter();
            if self.try_clear(layer, logical, &mut admission, &change) {
                return Ok(());
            }
            drop(operation);
            self.page_in(layer, logical.leaf(), Purpose::Change).await?;
            admission = Some(self.admit_clear().await?);
        }
    }

    /// One attempt, as one operation; false if its page or its leave is missing.
    fn try_clear(
        &self,
        layer: &Arc<Layer>,
        logical: LogicalExtent,
        admission: &mut Option<Admission<'_>>,
        change: impl Fn(Entry) -> Entry,
    ) -> bool {
        if self.entry(layer, logical).is_some_and(|entry| change(entry) == entry) {
            return true;
        }
        let Some(cell) = self.cell(layer, logical) else { return false };
        let Some(admission) = admission.take() else { return false };
        self.clear_cell(cell, layer, logical, admission, change);
        true
    }

    fn clear_cell(
        &self,
        cell: EntryCell<'_>,
        layer: &Arc<Layer>,
        logical: LogicalExtent,
        admission: Admission<'_>,
        change: impl Fn(Entry) -> Entry,
    ) {
        // Held over the change, see `Journal::book`.
        let mut book = self.journal.book();
        let mut entry = cell.load();
        loop {
            let mut changed = change(entry);
            if !changed.needs_extent() {
                changed = changed.with_extent(None);
            }
            if changed == entry {
                return;
            }
            match cell.change(entry, changed) {
                Ok(()) => {
                    book.changed(layer, logical, admission);
                    let freed = entry.extent().filter(|_| changed.extent().is_none());
                    if let Some(extent) = freed {
                        book.freed(layer, logical, extent);
                    }
                    book.close();
                    if freed.is_some() {
                        self.ledger.refund(&layer.account);
                    }
                    return;
                }
                Err(now) => entry = now,
            }
        }
    }

    /// Leave for a change that gives up blocks.
    pub(super) async fn admit_clear(&self) -> Result<Admission<'_>, EngineError> {
        self.journal
            .admit(STOP_SIXTEENTHS, || {
                self.checkpoints.ask();
            })
            .await
    }
}
