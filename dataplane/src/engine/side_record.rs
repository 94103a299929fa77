//! Side records: what the fourth block state means (E15).
//!
//! Some sectors of such a block were marked uncorrectable by a host, and reading them fails until they are written
//! again. The block's own place on the drive says which, and keeps the bytes of the others: the record lies in sector
//! 0, and the bytes of sector 0, if it has any, in the place of the first uncorrectable one. So whatever copies, moves,
//! counts or frees the places of blocks treats side records right without knowing of them.
//!
//! A place that holds bytes must never become one that holds a side record, or the other way round, while a power cut
//! may bring back an entry that believes otherwise. Therefore such a change builds the extent anew elsewhere
//! ([`Volume::relocate`]), and a trim of side records is durable before anybody may write to their places.

use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::{
    drive::DriveShared,
    error::{Corruption, EngineError},
    format::{BLOCK_BYTES, SECTOR_BYTES, crc32c},
    map::Piece,
    volume::Volume,
    write::{PieceWrite, WriteKind},
};
use crate::rt::Buf;

const SECTOR: usize = SECTOR_BYTES as usize;
const MAGIC: u64 = u64::from_le_bytes(*b"BSLTSIDE");

/// Some of the eight sectors of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sectors(u8);

impl Sectors {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u8::MAX);

    /// Those of a range of bytes within the block, which is not empty and lies on sectors.
    pub(super) fn of(start_bytes: usize, end_bytes: usize) -> Self {
        debug_assert!(start_bytes < end_bytes && end_bytes <= BLOCK_BYTES as usize);
        let (first, end) = (start_bytes / SECTOR, end_bytes / SECTOR);
        Self((u8::MAX >> (8 - (end - first))) << first)
    }

    /// Those of `block` that a piece covers, which touches it.
    pub(super) fn covered_by(piece: Piece, block: u32) -> Self {
        let start = block * BLOCK_BYTES as u32;
        let first = piece.start_bytes.max(start) - start;
        let end = (piece.start_bytes + piece.len_bytes).min(start + BLOCK_BYTES as u32) - start;
        Self::of(first as usize, end as usize)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, sector: u32) -> bool {
        self.0 >> sector & 1 != 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn first(self) -> usize {
        self.0.trailing_zeros() as usize
    }

    fn clear(self, block: &mut [u8]) {
        let chosen = block.chunks_exact_mut(SECTOR).zip(0..).filter(|(_, sector)| self.has(*sector));
        chosen.for_each(|(bytes, _)| bytes.fill(0));
    }
}

/// Sector 0 of a block with uncorrectable sectors.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct SideRecord {
    magic: U64,
    /// CRC-32C of this record with 0 here.
    crc: U32,
    /// Bit *s*: sector *s* is uncorrectable.
    uncorrectable: u8,
    reserved: [u8; 499],
}

impl SideRecord {
    fn new(uncorrectable: Sectors) -> Self {
        let mut record = Self::new_zeroed();
        record.magic = MAGIC.into();
        record.uncorrectable = uncorrectable.0;
        record.crc = record.checksum().into();
        record
    }

    fn checksum(&self) -> u32 {
        crc32c(Self { crc: U32::ZERO, ..*self }.as_bytes())
    }

    fn is_sound(&self) -> bool {
        self.magic.get() == MAGIC && self.uncorrectable != 0 && self.crc.get() == self.checksum()
    }
}

/// Makes a side record of a block's bytes, in place. At least one sector is uncorrectable; its bytes are lost.
pub(super) fn encode(block: &mut [u8], uncorrectable: Sectors) {
    assert!(!uncorrectable.is_empty(), "a block that can be read has no side record");
    uncorrectable.clear(block);
    if !uncorrectable.has(0) {
        block.copy_within(..SECTOR, uncorrectable.first() * SECTOR);
    }
    block[..SECTOR].copy_from_slice(SideRecord::new(uncorrectable).as_bytes());
}

/// Makes bytes of a block's side record, in place; uncorrectable sectors become zeros. `None`: it is no side record.
pub(super) fn decode(block: &mut [u8]) -> Option<Sectors> {
    let record = SideRecord::read_from_bytes(&block[..SECTOR]).expect("it has the size of a sector");
    if !record.is_sound() {
        return None;
    }
    let uncorrectable = Sectors(record.uncorrectable);
    if !uncorrectable.has(0) {
        let first = uncorrectable.first() * SECTOR;
        block.copy_within(first..first + SECTOR, 0);
    }
    uncorrectable.clear(block);
    Some(uncorrectable)
}

impl DriveShared {
    /// The bytes of a block whose place holds a side record, and which of its sectors have none. Within an operation.
    pub(super) async fn read_side_record(&self, address: u64) -> Result<(Buf, Sectors), EngineError> {
        let (mut block, result) = self.disk.read(Buf::alloc(BLOCK_BYTES as usize).await, address).await;
        result?;
        let uncorrectable = decode(&mut block).ok_or(Corruption::SideRecord)?;
        Ok((block, uncorrectable))
    }

    /// Fills `part` from within a block whose place holds a side record. Within an operation.
    ///
    /// # Errors
    /// `Uncorrectable` if one of the part's sectors is.
    pub(super) async fn read_beside(&self, mut part: Buf, address: u64) -> (Buf, Result<(), EngineError>) {
        let start = address / BLOCK_BYTES * BLOCK_BYTES;
        let (block, uncorrectable) = match self.read_side_record(start).await {
            Ok(found) => found,
            Err(error) => return (part, Err(error)),
        };
        let first = (address - start) as usize;
        let end = first + part.len();
        if !uncorrectable.and(Sectors::of(first, end)).is_empty() {
            return (part, Err(EngineError::Uncorrectable));
        }
        part.copy_from_slice(&block[first..end]);
        (part, Ok(()))
    }
}

impl Volume {
    /// Marks a range uncorrectable: reads of it fail until it is written again, or given up. Recorded when it answers;
    /// with `fua` it outlives a power cut, too.
    pub async fn write_uncorrectable(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        fua: bool,
    ) -> Result<(), EngineError> {
        self.check_write(offset_bytes, len_bytes)?;
        let durable = fua || self.drive.write_through;
        self.mark_uncorrectable(offset_bytes, len_bytes, durable)
            .await
            .map_err(|error| self.drive.judge(error))
    }

    /// Both ends lie within the volume and on its blocks.
    pub(super) async fn mark_uncorrectable(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        durable: bool,
    ) -> Result<(), EngineError> {
        let end_bytes = offset_bytes + len_bytes;
        let mut next_bytes = offset_bytes;
        while next_bytes < end_bytes {
            let piece = Piece::first_of(next_bytes, end_bytes - next_bytes);
            next_bytes += u64::from(piece.len_bytes);
            // What the range held before goes nowhere: it is overwritten with zeros and a mark on them.
            let zeros = Buf::zeroed(piece.len_bytes as usize).await;
            // One flush at the end makes all of them durable.
            let durable = durable && next_bytes == end_bytes;
            self.write_piece(PieceWrite { piece, kind: WriteKind::Uncorrectable, durable }, zeros).await.1?;
        }
        Ok(())
    }
}

const _: () = assert!(size_of::<SideRecord>() == SECTOR);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_right() {
        use crate::engine::format::layout;
        layout!("Side record", SideRecord: magic, crc, uncorrectable, reserved);
    }

    #[test]
    fn every_set_of_sectors_keeps_the_bytes_of_the_others() {
        let bytes: Vec<u8> = (0..BLOCK_BYTES as usize).map(|at| (at / SECTOR + at % 250 + 1) as u8).collect();
        for set in 1..=u8::MAX {
            let mut block = bytes.clone();
            encode(&mut block, Sectors(set));
            let stored = block.clone();
            assert_eq!(decode(&mut block), Some(Sectors(set)));
            for (sector, (found, written)) in
                (0..).zip(block.chunks_exact(SECTOR).zip(bytes.chunks_exact(SECTOR)))
            {
                let is_lost = Sectors(set).has(sector);
                assert!(if is_lost { found.iter().all(|&byte| byte == 0) } else { found == written });
            }
            for damaged in [0, 8, 12, 13, SECTOR - 1] {
                let mut block = stored.clone();
                block[damaged] ^= 1;
                assert_eq!(decode(&mut block), None);
            }
        }
        assert_eq!(decode(&mut bytes.clone()), None);
    }

    #[test]
    fn pieces_cover_sectors() {
        // Start and length in sectors, block, covered.
        let table =
            [(0, 8, 0, 0xFF), (3, 1, 0, 0b1000), (6, 4, 0, 0b1100_0000), (6, 4, 1, 0b11), (0, 24, 1, 0xFF)];
        for (start, len, block, covered) in table {
            let piece = Piece::first_of(start * SECTOR_BYTES, len * SECTOR_BYTES);
            assert_eq!(Sectors::covered_by(piece, block), Sectors(covered), "{piece:?}");
        }
    }
}
