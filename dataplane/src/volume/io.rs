//! Operations on volumes: as a rule one part holds the whole range. A range that goes over a border is done piece by
//! piece, in ascending order.

use std::{ops::Range, sync::Arc, time::Duration};

use nvmeof::wire::replica::Zeroing;

use super::{Form, Volume};
use crate::{
    engine::{self, EngineError, Sought, Survey},
    mirror::META_BYTES,
    rt::{self, Buf},
};

/// The part of a range that lies in one part.
struct Piece<'a> {
    part: &'a engine::Volume,
    /// Where the part begins in the whole.
    base_bytes: u64,
    offset_bytes: u64,
    len_bytes: u64,
}

/// A volume whose part has moved is told so at once; who still finds the old part after so many looks gives up, and the
/// host tries again.
const LOOKS: u32 = 1000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

impl Volume {
    /// Fills `buf` from the volume. Offset and length are multiples of the block size.
    pub async fn read(&self, offset_bytes: u64, buf: Buf) -> (Buf, Result<(), EngineError>) {
        if let Some(mirror) = &self.mirror {
            return Box::pin(mirror.read(offset_bytes, buf)).await;
        }
        self.follow(buf, async |form, buf| form.read(offset_bytes, buf).await).await
    }

    /// Writes `buf`. Done: the process may die without losing it; with `fua`, the machine may lose power, too (E2).
    pub async fn write(&self, offset_bytes: u64, buf: Buf, fua: bool) -> (Buf, Result<(), EngineError>) {
        if let Some(mirror) = &self.mirror {
            return Box::pin(mirror.write(offset_bytes, buf, fua)).await;
        }
        self.follow(buf, async |form, buf| form.write(offset_bytes, buf, fua).await).await
    }

    /// Makes a range read as zeros. Space is given back whether or not `deallocate` asks for it: what is promised
    /// to the volume stays promised.
    pub async fn write_zeroes(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        deallocate: bool,
        fua: bool,
    ) -> Result<(), EngineError> {
        if let Some(mirror) = &self.mirror {
            let zeroing = if deallocate { Zeroing::ZEROES_DEALLOCATE } else { Zeroing::ZEROES };
            return Box::pin(mirror.zero(offset_bytes, len_bytes, zeroing, fua)).await;
        }
        let zero =
            async |form: &Form, ()| ((), form.write_zeroes(offset_bytes, len_bytes, deallocate, fua).await);
        self.follow((), zero).await.1
    }

    /// As the engine's `write_uncorrectable`.
    pub async fn write_uncorrectable(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        fua: bool,
    ) -> Result<(), EngineError> {
        self.own("marks on blocks")?;
        let mark = async |form: &Form, ()| ((), form.write_uncorrectable(offset_bytes, len_bytes, fua).await);
        self.follow((), mark).await.1
    }

    /// As the engine's `survey`, of a range of the whole.
    pub async fn survey(
        &self,
        range: Range<u64>,
        sought: Sought,
        ranges_max: usize,
    ) -> Result<Survey, EngineError> {
        let hidden_bytes = if self.is_mirrored() { META_BYTES } else { 0 };
        let range = range.start + hidden_bytes..range.end + hidden_bytes;
        let look = async |form: &Form, _: Survey| {
            // From the beginning again, if a part has moved.
            let mut survey = Survey::new(sought, ranges_max);
            let result = form.survey(range.clone(), &mut survey).await;
            (survey, result)
        };
        let (survey, result) = self.follow(Survey::new(sought, ranges_max), look).await;
        result.map(|()| survey.counted_from(hidden_bytes))
    }

    /// Gives up the content of a range; it reads as zeros where whole 4 KiB blocks lie in it and is unchanged
    /// elsewhere.
    pub async fn deallocate(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        if let Some(mirror) = &self.mirror {
            return Box::pin(mirror.zero(offset_bytes, len_bytes, Zeroing::DEALLOCATE, false)).await;
        }
        self.follow((), async |form, ()| ((), form.deallocate(offset_bytes, len_bytes).await)).await.1
    }

    /// Makes every write that was answered before durable, on every drive that holds a part (E14).
    pub async fn flush(&self) -> Result<(), EngineError> {
        if let Some(mirror) = &self.mirror {
            return Box::pin(mirror.flush()).await;
        }
        self.follow((), async |form, ()| ((), form.flush().await)).await.1
    }

    /// As the engine's `compare_and_write`. Borders of parts lie between blocks of 4 KiB.
    pub async fn compare_and_write(
        &self,
        offset_bytes: u64,
        expected: &[u8],
        buf: Buf,
        fua: bool,
    ) -> Result<bool, EngineError> {
        self.own("a compare and write")?;
        let act = async |form: &Form, (buf, _): (Buf, bool)| {
            let (buf, result) = form.compare_and_write(offset_bytes, expected, buf, fua).await;
            match result {
                Ok(is_equal) => ((buf, is_equal), Ok(())),
                Err(error) => ((buf, false), Err(error)),
            }
        };
        let ((_, is_equal), result) = self.follow((buf, false), act).await;
        result.map(|()| is_equal)
    }

    /// The document attached last, which the first part keeps; empty if there is none.
    pub fn attachment(&self) -> Arc<[u8]> {
        self.first().attachment()
    }

    /// As the engine's `set_attachment`.
    pub async fn set_attachment(&self, bytes: &[u8]) -> Result<(), EngineError> {
        self.follow((), async |form, ()| ((), form.parts[0].part.set_attachment(bytes).await)).await.1
    }

    /// What replicas do not agree on yet.
    fn own(&self, what: &str) -> Result<(), EngineError> {
        if self.is_mirrored() {
            return Err(EngineError::Invalid(format!("a replicated volume takes no {what}")));
        }
        Ok(())
    }

    /// Acts on the newest form, and again where a part has moved to another drive meanwhile.
    async fn follow<T>(
        &self,
        mut subject: T,
        act: impl AsyncFn(&Form, T) -> (T, Result<(), EngineError>),
    ) -> (T, Result<(), EngineError>) {
        for _ in 0..LOOKS {
            let form = self.form();
            let result;
            (subject, result) = act(form, subject).await;
            if result != Err(EngineError::Moved) {
                return (subject, result);
            }
            if std::ptr::eq(form, self.form()) {
                rt::sleep(BETWEEN_LOOKS).await;
            }
        }
        (subject, Err(EngineError::Moved))
    }
}

impl Form {
    async fn read(&self, offset_bytes: u64, buf: Buf) -> (Buf, Result<(), EngineError>) {
        let read = async |piece: &Piece<'_>, buf| piece.part.read(piece.offset_bytes, buf).await;
        self.transfer(offset_bytes, buf, read).await
    }

    async fn write(&self, offset_bytes: u64, buf: Buf, fua: bool) -> (Buf, Result<(), EngineError>) {
        let write = async |piece: &Piece<'_>, buf| piece.part.write(piece.offset_bytes, buf, fua).await;
        self.transfer(offset_bytes, buf, write).await
    }

    /// Does something with the whole buffer in the part that holds its range, or piece by piece in several.
    async fn transfer(
        &self,
        offset_bytes: u64,
        buf: Buf,
        act: impl AsyncFn(&Piece<'_>, Buf) -> (Buf, Result<(), EngineError>),
    ) -> (Buf, Result<(), EngineError>) {
        let len_bytes = buf.len() as u64;
        match self.one_part(offset_bytes, len_bytes) {
            Ok(Some((part, within_bytes))) => {
                let base_bytes = offset_bytes - within_bytes;
                act(&Piece { part, base_bytes, offset_bytes: within_bytes, len_bytes }, buf).await
            }
            Ok(None) => in_pieces(self.pieces(offset_bytes, len_bytes), buf, act).await,
            Err(error) => (buf, Err(error)),
        }
    }

    async fn write_zeroes(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        deallocate: bool,
        fua: bool,
    ) -> Result<(), EngineError> {
        self.one_part(offset_bytes, len_bytes)?;
        for piece in self.pieces(offset_bytes, len_bytes) {
            piece.part.write_zeroes(piece.offset_bytes, piece.len_bytes, deallocate, fua).await?;
        }
        Ok(())
    }

    async fn write_uncorrectable(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        fua: bool,
    ) -> Result<(), EngineError> {
        self.one_part(offset_bytes, len_bytes)?;
        for piece in self.pieces(offset_bytes, len_bytes) {
            piece.part.write_uncorrectable(piece.offset_bytes, piece.len_bytes, fua).await?;
        }
        Ok(())
    }

    async fn survey(&self, range: Range<u64>, survey: &mut Survey) -> Result<(), EngineError> {
        self.one_part(range.start, range.end - range.start)?;
        for piece in self.pieces(range.start, range.end - range.start) {
            let part_range = piece.offset_bytes..piece.offset_bytes + piece.len_bytes;
            piece.part.survey(part_range, piece.base_bytes, survey).await?;
        }
        Ok(())
    }

    async fn deallocate(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), EngineError> {
        self.one_part(offset_bytes, len_bytes)?;
        for piece in self.pieces(offset_bytes, len_bytes) {
            piece.part.deallocate(piece.offset_bytes, piece.len_bytes).await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), EngineError> {
        match &*self.parts {
            [whole] => whole.part.flush().await,
            parts => {
                let flushes = parts.iter().map(|placed| Box::pin(placed.part.flush())).collect();
                rt::join_all(flushes).await.into_iter().collect()
            }
        }
    }

    async fn compare_and_write(
        &self,
        offset_bytes: u64,
        expected: &[u8],
        buf: Buf,
        fua: bool,
    ) -> (Buf, Result<bool, EngineError>) {
        match self.one_part(offset_bytes, buf.len() as u64) {
            Ok(Some((part, offset_bytes))) => part.compare_and_write(offset_bytes, expected, buf, fua).await,
            Ok(None) => (buf, Err(EngineError::Invalid("a compare and write stays within one part".into()))),
            Err(error) => (buf, Err(error)),
        }
    }

    /// The part that holds a whole range, and the offset in it; `None`: several do. A volume of one part leaves
    /// every check of the range to it.
    fn one_part(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
    ) -> Result<Option<(&engine::Volume, u64)>, EngineError> {
        if let [whole] = &*self.parts {
            return Ok(Some((&whole.part, offset_bytes)));
        }
        let end_bytes = offset_bytes.checked_add(len_bytes).ok_or(EngineError::OutOfRange)?;
        if end_bytes > self.size_bytes() {
            return Err(EngineError::OutOfRange);
        }
        let index = self.part_at(offset_bytes);
        let fits = self.parts.get(index + 1).is_none_or(|next| end_bytes <= next.start_bytes);
        let placed = &self.parts[index];
        Ok(fits.then(|| (&placed.part, offset_bytes - placed.start_bytes)))
    }

    /// The pieces of a range within the volume, ascending.
    fn pieces(&self, offset_bytes: u64, len_bytes: u64) -> impl Iterator<Item = Piece<'_>> {
        let mut index = self.part_at(offset_bytes);
        let (mut next_bytes, mut left_bytes) = (offset_bytes, len_bytes);
        std::iter::from_fn(move || {
            let placed = self.parts.get(index).filter(|_| left_bytes > 0)?;
            let part_end = self.parts.get(index + 1).map_or(u64::MAX, |next| next.start_bytes);
            let len_bytes = left_bytes.min(part_end - next_bytes);
            let base_bytes = placed.start_bytes;
            let offset_bytes = next_bytes - base_bytes;
            let piece = Piece { part: &placed.part, base_bytes, offset_bytes, len_bytes };
            (index, next_bytes, left_bytes) = (index + 1, next_bytes + len_bytes, left_bytes - len_bytes);
            Some(piece)
        })
    }

    /// The last part that begins at or before an offset.
    fn part_at(&self, offset_bytes: u64) -> usize {
        self.parts.partition_point(|placed| placed.start_bytes <= offset_bytes) - 1
    }
}

/// Does something with the piece of `buf` that belongs to each of `pieces`. After a failure the rest is not done.
async fn in_pieces<'a>(
    pieces: impl Iterator<Item = Piece<'a>>,
    mut buf: Buf,
    act: impl AsyncFn(&Piece<'_>, Buf) -> (Buf, Result<(), EngineError>),
) -> (Buf, Result<(), EngineError>) {
    let mut done = buf.split_to(0);
    let mut result = Ok(());
    for piece in pieces {
        let (front, acted) = act(&piece, buf.split_to(piece.len_bytes as usize)).await;
        done = Buf::unsplit(done, front);
        result = acted;
        if result.is_err() {
            break;
        }
    }
    (Buf::unsplit(done, buf), result)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command under way has room for it, and a core's stack for several: what is rare and large is boxed.
    #[test]
    fn a_write_under_way_is_small() {
        fn size_bytes<'a, F>(_: impl Fn(&'a Volume, u64, Buf, bool) -> F) -> usize {
            size_of::<F>()
        }
        let size_bytes = size_bytes(Volume::write);
        assert!(size_bytes < 20 << 10, "{size_bytes}");
    }
}
