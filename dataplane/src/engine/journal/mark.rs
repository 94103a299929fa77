//! The flush mark (E4): the last group that a finished drive flush covers. It stands outside the ring, so that
//! groups written while the flush ran, which a power cut may take, cannot hide it.
//!
//! Two slots take turns. A slot is one 4 KiB block of eight equal sectors, each with its own checksum: one that a
//! power cut tore counts all the same, since its flush had ended before; and one bad sector loses nothing.

use uuid::Uuid;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::{
    engine::format::{BLOCK_BYTES, EXTENT_BYTES, SECTOR_BYTES, crc32c},
    rt::{Buf, Disk, DiskError, Durability},
};

#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct MarkRecord {
    magic: [u8; 8],
    /// CRC-32C of the record with this field zero.
    crc: U32,
    reserved_1: U32,
    drive: [u8; 16],
    sequence: U64,
    reserved: [u8; 472],
}

const MAGIC: [u8; 8] = *b"bsltMARK";

/// Behind the superblock slots in extents 0 and 1.
pub(crate) fn slot_offset_bytes(slot: u64) -> u64 {
    slot * EXTENT_BYTES + BLOCK_BYTES
}

/// Makes a mark durable in one of the two slots; the caller lets them take turns, with growing sequences.
pub(in crate::engine) async fn write(
    disk: &Disk,
    drive: Uuid,
    slot: u64,
    sequence: u64,
) -> Result<(), DiskError> {
    let record = record(drive, sequence);
    let mut buf = Buf::alloc(BLOCK_BYTES as usize).await;
    for sector in buf.chunks_exact_mut(SECTOR_BYTES as usize) {
        sector.copy_from_slice(record.as_bytes());
    }
    disk.write(buf, slot_offset_bytes(slot), Durability::Durable).await.1
}

fn record(drive: Uuid, sequence: u64) -> MarkRecord {
    let mut record = MarkRecord {
        magic: MAGIC,
        crc: U32::ZERO,
        reserved_1: U32::ZERO,
        drive: *drive.as_bytes(),
        sequence: U64::new(sequence),
        reserved: [0; 472],
    };
    record.crc = U32::new(crc32c(record.as_bytes()));
    record
}

/// The newest mark and its slot; sequence 0 if there is none.
pub(in crate::engine) async fn read(disk: &Disk, drive: Uuid) -> Result<(u64, u64), DiskError> {
    let [first, second] = slots(disk, drive).await?;
    Ok((first.unwrap_or(0), 0).max((second.unwrap_or(0), 1)))
}

/// What the two slots say; `None`: no mark of this drive is there.
pub(in crate::engine) async fn slots(disk: &Disk, drive: Uuid) -> Result<[Option<u64>; 2], DiskError> {
    let mut found = [None, None];
    for (slot, found) in (0..).zip(&mut found) {
        let buf = Buf::alloc(BLOCK_BYTES as usize).await;
        let (buf, result) = disk.read(buf, slot_offset_bytes(slot)).await;
        result?;
        *found = parse(&buf, drive);
    }
    Ok(found)
}

/// The newest sequence in a slot's sectors.
fn parse(slot: &[u8], drive: Uuid) -> Option<u64> {
    slot.chunks_exact(SECTOR_BYTES as usize)
        .filter_map(|sector| {
            let record = MarkRecord::read_from_bytes(sector).ok()?;
            let unsealed = MarkRecord { crc: U32::ZERO, ..record };
            let intact = record.magic == MAGIC
                && record.drive == *drive.as_bytes()
                && record.crc.get() == crc32c(unsealed.as_bytes());
            intact.then(|| record.sequence.get())
        })
        .max()
}

const _: () = assert!(size_of::<MarkRecord>() == SECTOR_BYTES as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(sequence: u64) -> Vec<u8> {
        let drive = Uuid::from_u128(7);
        record(drive, sequence).as_bytes().repeat(8)
    }

    #[test]
    fn a_torn_slot_counts() {
        let (old, new) = (slot(4), slot(9));
        for sector in 0..8 {
            let mut torn = old.clone();
            torn[sector * 512..(sector + 1) * 512].copy_from_slice(&new[sector * 512..(sector + 1) * 512]);
            assert_eq!(parse(&torn, Uuid::from_u128(7)), Some(9));
            assert_eq!(parse(&torn, Uuid::from_u128(8)), None, "another drive's");
        }
        assert_eq!(parse(&vec![0; 4096], Uuid::from_u128(7)), None);
    }

    #[test]
    fn the_document_is_right() {
        crate::engine::format::layout!("Flush mark", MarkRecord: magic, crc, reserved_1, drive, sequence, reserved);
    }
}
