//! Compare and write: one step for every other writer of the block, on whatever core.

use super::{
    error::EngineError,
    format::BLOCK_BYTES,
    map::{BlockMask, Piece},
    volume::Volume,
    write::{PieceWrite, WriteKind},
};
use crate::rt::Buf;

impl Volume {
    /// Writes `buf` if the range holds `expected` now; says whether it did. No write, trim or background copy of the
    /// block comes between the two: the claim is held from before the look until the write is done. With `fua` the
    /// write is durable when it answers. The buffer comes back.
    ///
    /// # Errors
    /// `Invalid` unless both have one length and lie within one aligned 4 KiB.
    pub async fn compare_and_write(
        &self,
        offset_bytes: u64,
        expected: &[u8],
        buf: Buf,
        fua: bool,
    ) -> (Buf, Result<bool, EngineError>) {
        let len_bytes = buf.len() as u64;
        let is_in_one_block = offset_bytes % BLOCK_BYTES + len_bytes <= BLOCK_BYTES;
        if expected.len() != buf.len() || buf.is_empty() || !is_in_one_block {
            let reason = "a compare and write stays within one aligned 4 KiB";
            return (buf, Err(EngineError::Invalid(reason.into())));
        }
        if let Err(error) = self.check_write(offset_bytes, len_bytes) {
            return (buf, Err(error));
        }
        let piece = Piece::first_of(offset_bytes, len_bytes);
        let (buf, result) = self.compare_and_write_piece(piece, expected, buf, fua).await;
        (buf, result.map_err(|error| self.drive.judge(error)))
    }

    async fn compare_and_write_piece(
        &self,
        piece: Piece,
        expected: &[u8],
        buf: Buf,
        fua: bool,
    ) -> (Buf, Result<bool, EngineError>) {
        // All of the extent, so that the write never has to let go to claim more.
        let claim = self.volume.claims().take(piece.logical, BlockMask::ALL).await;
        let (found, read) = self.read_range(piece.offset_bytes(), Buf::alloc(expected.len()).await).await;
        match read {
            Ok(()) if *found == *expected => {}
            read => return (buf, read.map(|()| false)),
        }
        let durable = fua || self.drive.write_through;
        let write = PieceWrite { piece, kind: WriteKind::Bytes, durable };
        let (buf, written) = self.write_claimed(write, buf, claim).await;
        (buf, written.map(|()| true))
    }
}
