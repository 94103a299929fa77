//! Torn-safe writes (E8), for drives whose power cuts tear 4 KiB blocks: no block that a power cut might bring back
//! is ever overwritten. A write into an extent that exists builds the extent anew in another place and switches the
//! entry; the old one is reused only when that record is under a mark. One write moves 64 KiB, but waits for no
//! flush, which a copy of the data in the journal would need before every overwrite.

use std::sync::Arc;

use super::{
    error::EngineError,
    format::EXTENT_BYTES,
    frames::EntryCell,
    layer::Layer,
    map::{BlockMask, BlockState, LogicalExtent, Piece},
    read::Missing,
    volume::Volume,
    write::{Held, Need, Step},
};
use crate::rt::{Buf, Durability};

/// Extents that no volume may count on, so that writes can move on a drive that is full.
pub(super) const IN_MOTION_EXTENTS: u64 = 32;

impl Volume {
    /// The blocks that a write of this piece must claim.
    pub(super) fn claimed(&self, piece: Piece) -> BlockMask {
        if self.drive.torn_safe { BlockMask::ALL } else { piece.mask() }
    }

    /// One attempt to write a piece by moving its extent. It has leave to make a change; the whole extent is claimed,
    /// so the entry stands still.
    pub(super) async fn relocate<'a>(
        &'a self,
        piece: Piece,
        buf: Buf,
        head: &Arc<Layer>,
        cell: EntryCell<'_>,
        held: &mut Held<'a>,
    ) -> (Buf, Result<Step, EngineError>) {
        let drive = &*self.drive;
        let Some(target) = held.replacement.as_ref().map(|spare| spare.extent) else {
            return (buf, Ok(Step::Blocked(Need::Replacement)));
        };
        let mut whole = match self.read_extent(piece.logical).await {
            Ok(Ok(whole)) => whole,
            Ok(Err(missing)) => return (buf, Ok(Step::Blocked(Need::OlderPage(missing)))),
            Err(error) => return (buf, Err(error)),
        };
        let start = piece.start_bytes as usize;
        whole[start..start + buf.len()].copy_from_slice(&buf);
        let (_, result) = drive.disk.write(whole, target.offset_bytes(), Durability::Cached).await;
        if let Err(error) = result {
            return (buf, Err(error.into()));
        }
        let entry = cell.load();
        let changed = entry.with_extent(Some(target)).with(piece.mask(), BlockState::Data);
        // Held over the change, see `Journal::book`.
        let mut book = drive.journal.book();
        if cell.change(entry, changed).is_err() {
            return (buf, Ok(Step::LostRace));
        }
        let old = entry.extent().expect("only extents that exist are moved");
        book.changed(head, piece.logical, held.admission.take().expect("got above"));
        book.freed(head, piece.logical, old);
        held.replacement.take().expect("got above").keep();
        (buf, Ok(Step::Noted(book.close())))
    }

    /// All that an extent of the volume holds.
    async fn read_extent(&self, logical: LogicalExtent) -> Result<Result<Buf, Missing>, EngineError> {
        let start = u64::from(logical.0) * EXTENT_BYTES;
        let mut done = 0;
        let mut whole = Buf::alloc(EXTENT_BYTES as usize).await;
        while done < EXTENT_BYTES {
            let (source, len) = match self.find_run(start + done, EXTENT_BYTES - done) {
                Ok(run) => run,
                Err(missing) => return Ok(Err(missing)),
            };
            let front = whole.split_to(done as usize);
            let part = whole.split_to(len as usize);
            let (part, result) = self.read_source(source, part).await;
            result?;
            whole = Buf::unsplit(Buf::unsplit(front, part), whole);
            done += len;
        }
        Ok(Ok(whole))
    }
}
