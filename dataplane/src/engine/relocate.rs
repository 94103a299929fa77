//! Writes that overwrite nothing: they build their extent anew in another place and switch the entry; the old one is
//! reused only when that record is under a mark. One write moves 64 KiB, but waits for no flush, which a copy of the
//! data in the journal would need before every overwrite.
//!
//! So does every write into an extent that exists on drives whose power cuts tear 4 KiB blocks (torn-safe, E8), and
//! on all drives what turns the place of a block into one of a side record, or back (`side_record`).

use std::sync::Arc;

use super::{
    error::EngineError,
    format::EXTENT_BYTES,
    frames::EntryCell,
    layer::Layer,
    map::{BlockMask, Entry},
    read::Missing,
    volume::Volume,
    write::{Blocks, Held, Need, PieceWrite, Step, WriteKind, written},
};
use crate::rt::{Buf, Durability};

/// Extents that no volume may count on, so that writes can move on a drive that is full: many at once where all of
/// them do, else one after another.
pub(super) fn in_motion_extents(torn_safe: bool) -> u64 {
    if torn_safe { 32 } else { 1 }
}

impl Volume {
    /// The blocks that a write claims as long as nothing shows that it must claim all.
    pub(super) fn claimed(&self, write: PieceWrite) -> BlockMask {
        let all = self.drive.torn_safe || write.kind == WriteKind::Uncorrectable;
        if all { BlockMask::ALL } else { write.piece.mask() }
    }

    /// Whether a write must move the extent that `entry` has. Who claims the blocks of the piece alone gets the same
    /// answer until he lets go: blocks get side records only from who claims them.
    pub(super) fn must_move(&self, write: PieceWrite, entry: Entry) -> bool {
        let has_side_records = || !entry.side_records().and(write.piece.mask()).is_empty();
        let moves = self.drive.torn_safe || write.kind == WriteKind::Uncorrectable || has_side_records();
        moves && entry.extent().is_some()
    }

    /// One attempt to write a piece by moving its extent. It has leave to make a change; the whole extent is claimed,
    /// so the entry stands still.
    pub(super) async fn relocate<'a>(
        &'a self,
        write: PieceWrite,
        buf: Buf,
        head: &Arc<Layer>,
        cell: EntryCell<'_>,
        held: &mut Held<'a>,
    ) -> (Buf, Result<Step, EngineError>) {
        let drive = &*self.drive;
        let Some(target) = held.replacement.as_ref().map(|spare| spare.extent) else {
            return (buf, Ok(Step::Blocked(Need::Replacement)));
        };
        let entry = cell.load();
        let old = entry.extent().expect("only extents that exist are moved");
        // As it lies there, side records too; what no state speaks of is copied along and means nothing there either.
        let whole = Buf::alloc(EXTENT_BYTES as usize).await;
        let (mut whole, result) = drive.disk.read(whole, old.offset_bytes()).await;
        if let Err(error) = result {
            return (buf, Err(error.into()));
        }
        let side_records = match self.put(write, &buf, &mut whole).await {
            Ok(Ok(side_records)) => side_records,
            Ok(Err(missing)) => return (buf, Ok(Step::Blocked(Need::OlderPage(missing)))),
            Err(error) => return (buf, Err(error)),
        };
        let (_, result) = drive.disk.write(whole, target.offset_bytes(), Durability::Cached).await;
        if let Err(error) = result {
            return (buf, Err(error.into()));
        }
        // Held over the change, see `Journal::book`.
        let mut book = drive.journal.book();
        if cell.change(entry, written(entry, write.piece, side_records, target)).is_err() {
            return (buf, Ok(Step::LostRace));
        }
        book.changed(head, write.piece.logical, held.admission.take().expect("got above"));
        book.freed(head, write.piece.logical, old);
        held.replacement.take().expect("got above").keep();
        (buf, Ok(Step::Noted(book.close())))
    }

    /// Puts what is written into the bytes of its extent. Answers which of the touched blocks are side records.
    async fn put(
        &self,
        write: PieceWrite,
        buf: &Buf,
        whole: &mut [u8],
    ) -> Result<Result<BlockMask, Missing>, EngineError> {
        if write.is_plain() {
            let start = write.piece.start_bytes as usize;
            whole[start..start + buf.len()].copy_from_slice(buf);
            return Ok(Ok(BlockMask::NONE));
        }
        let Blocks { whole: piece, bytes, side_records } = match self.compose(write, buf).await? {
            Ok(blocks) => blocks,
            Err(missing) => return Ok(Err(missing)),
        };
        let start = piece.start_bytes as usize;
        whole[start..start + bytes.len()].copy_from_slice(&bytes);
        Ok(Ok(side_records))
    }
}
