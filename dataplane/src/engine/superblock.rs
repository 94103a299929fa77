//! Superblocks: two slots that take turns. The newest valid one says how the drive is divided, where the catalogue
//! is and from where the journal counts.

use uuid::Uuid;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::{
    error::{OpenError, Probe},
    format::{BLOCK_BYTES, Child, ChildPointer, EXTENT_BYTES, Geometry, PAGE_BYTES, crc32c},
    journal::Point,
};
use crate::rt::{Buf, Disk, DiskError, Durability};

/// Index pages of the catalogue that a superblock can point at: 64 MiB of catalogue.
pub(crate) const CATALOGUE_ROOTS: usize = 64;
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Kept for sixteen CRC-32C per extent (E15). No drive has it yet.
#[cfg(test)]
pub(crate) const FEATURE_BLOCK_CRC: u64 = 1;
const KNOWN_FEATURES: u64 = 0;
const MAGIC: [u8; 8] = *b"bsltDRIV";

#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct Slot {
    magic: [u8; 8],
    version: U32,
    /// CRC-32C of the slot with this field zero.
    crc: U32,
    features: U64,
    drive: [u8; 16],
    /// Of the checkpoint that wrote it; the larger one counts.
    sequence: U64,
    size_bytes: U64,
    extent_bytes: U32,
    /// The drive's unit and atomic unit when it was formatted (E8).
    block_bytes: U32,
    atomic_bytes: U32,
    journal_first: U32,
    journal_extents: U32,
    data_first: U32,
    end: U32,
    metadata_extents: U32,
    cut_position_bytes: U64,
    cut_sequence: U64,
    cut_previous_crc: U32,
    reserved_1: U32,
    catalogue_bytes: U64,
    catalogue: [ChildPointer; CATALOGUE_ROOTS],
    reserved: [u8; 2952],
}

/// A superblock, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) uuid: Uuid,
    pub(crate) sequence: u64,
    pub(crate) geometry: Geometry,
    pub(crate) block_bytes: u32,
    pub(crate) atomic_bytes: u32,
    /// The first group that counts.
    pub(crate) cut: Point,
    /// 0: there is none yet.
    pub(crate) catalogue_bytes: u64,
    /// At most [`CATALOGUE_ROOTS`].
    pub(crate) catalogue: Vec<Child>,
}

fn slot_offset_bytes(slot: u64) -> u64 {
    slot * EXTENT_BYTES
}

impl Superblock {
    /// Writes it to its slot. Durable when it answers.
    pub(crate) async fn write(&self, disk: &Disk) -> Result<(), DiskError> {
        let mut buf = Buf::alloc(PAGE_BYTES).await;
        buf.copy_from_slice(self.encode().as_bytes());
        disk.write(buf, slot_offset_bytes(self.sequence % 2), Durability::Durable).await.1
    }

    /// Whether the newest one on the medium is this one: no other server, and no copy, came in between.
    pub(crate) async fn is_newest(&self, disk: &Disk) -> Result<bool, DiskError> {
        let newest = newest(disk).await?;
        Ok(newest
            .is_some_and(|slot| slot.drive == *self.uuid.as_bytes() && slot.sequence.get() == self.sequence))
    }

    fn encode(&self) -> Slot {
        let mut catalogue = [ChildPointer::from(Child::None); CATALOGUE_ROOTS];
        for (pointer, child) in catalogue.iter_mut().zip(&self.catalogue) {
            *pointer = (*child).into();
        }
        let geometry = &self.geometry;
        let mut slot = Slot {
            magic: MAGIC,
            version: U32::new(FORMAT_VERSION),
            crc: U32::ZERO,
            features: U64::ZERO,
            drive: *self.uuid.as_bytes(),
            sequence: U64::new(self.sequence),
            size_bytes: U64::new(geometry.size_bytes),
            extent_bytes: U32::new(EXTENT_BYTES as u32),
            block_bytes: U32::new(self.block_bytes),
            atomic_bytes: U32::new(self.atomic_bytes),
            journal_first: U32::new(geometry.journal_first),
            journal_extents: U32::new(geometry.journal_extents),
            data_first: U32::new(geometry.data_first),
            end: U32::new(geometry.end),
            metadata_extents: U32::new(geometry.metadata_extents),
            cut_position_bytes: U64::new(self.cut.position_bytes),
            cut_sequence: U64::new(self.cut.sequence),
            cut_previous_crc: U32::new(self.cut.previous_crc),
            reserved_1: U32::ZERO,
            catalogue_bytes: U64::new(self.catalogue_bytes),
            catalogue,
            reserved: [0; 2952],
        };
        slot.crc = U32::new(crc32c(slot.as_bytes()));
        slot
    }

    /// The newest valid superblock of a drive that this version can serve.
    pub(crate) async fn load(disk: &Disk) -> Result<Self, OpenError> {
        match newest(disk).await? {
            Some(slot) => slot.check(disk.size_bytes()),
            None => match probe(disk).await? {
                Probe::Blank => Err(OpenError::Blank),
                Probe::Ours { .. } => Err(OpenError::Damaged("both superblocks are damaged".into())),
                Probe::Foreign(what) => Err(OpenError::Foreign(what)),
            },
        }
    }
}

impl Slot {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let slot = Self::read_from_bytes(bytes).ok()?;
        let unsealed = Self { crc: U32::ZERO, ..slot };
        (slot.magic == MAGIC && slot.crc.get() == crc32c(unsealed.as_bytes())).then_some(slot)
    }

    fn check(&self, found_bytes: u64) -> Result<Superblock, OpenError> {
        let (found, known) = (self.version.get(), FORMAT_VERSION);
        if found != known {
            return Err(OpenError::Version { found, known });
        }
        let unknown = self.features.get() & !KNOWN_FEATURES;
        if unknown != 0 {
            return Err(OpenError::Features(unknown));
        }
        let formatted_bytes = self.size_bytes.get();
        if found_bytes < formatted_bytes {
            return Err(OpenError::Truncated { formatted_bytes, found_bytes });
        }
        let catalogue: Option<Vec<Child>> = self.catalogue.iter().map(|pointer| pointer.read()).collect();
        let catalogue = catalogue.filter(|_| self.extent_bytes.get() == EXTENT_BYTES as u32);
        Ok(Superblock {
            uuid: Uuid::from_bytes(self.drive),
            sequence: self.sequence.get(),
            geometry: Geometry {
                size_bytes: formatted_bytes,
                journal_first: self.journal_first.get(),
                journal_extents: self.journal_extents.get(),
                data_first: self.data_first.get(),
                end: self.end.get(),
                metadata_extents: self.metadata_extents.get(),
            },
            block_bytes: self.block_bytes.get(),
            atomic_bytes: self.atomic_bytes.get(),
            cut: Point {
                position_bytes: self.cut_position_bytes.get(),
                sequence: self.cut_sequence.get(),
                previous_crc: self.cut_previous_crc.get(),
            },
            catalogue_bytes: self.catalogue_bytes.get(),
            catalogue: catalogue.ok_or_else(|| OpenError::Damaged("the superblock makes no sense".into()))?,
        })
    }
}

/// The valid superblocks, by slot.
pub(crate) async fn slots(disk: &Disk) -> Result<[Option<Superblock>; 2], DiskError> {
    let mut found = [None, None];
    for (slot, found) in (0..).zip(&mut found) {
        let (buf, result) = disk.read(Buf::alloc(PAGE_BYTES).await, slot_offset_bytes(slot)).await;
        result?;
        *found = Slot::parse(&buf).and_then(|slot| slot.check(disk.size_bytes()).ok());
    }
    Ok(found)
}

async fn newest(disk: &Disk) -> Result<Option<Slot>, DiskError> {
    let mut newest: Option<Slot> = None;
    for slot in 0..2 {
        let offset = slot_offset_bytes(slot);
        if offset + BLOCK_BYTES > disk.size_bytes() {
            break;
        }
        let (buf, result) = disk.read(Buf::alloc(PAGE_BYTES).await, offset).await;
        result?;
        if let Some(slot) = Slot::parse(&buf)
            && newest.is_none_or(|newest| newest.sequence.get() < slot.sequence.get())
        {
            newest = Some(slot);
        }
    }
    Ok(newest)
}

/// Says what a medium holds, without changing it.
pub(crate) async fn probe(disk: &Disk) -> Result<Probe, DiskError> {
    if let Some(slot) = newest(disk).await? {
        return Ok(Probe::Ours {
            uuid: Uuid::from_bytes(slot.drive),
            size_bytes: slot.size_bytes.get(),
            sequence: slot.sequence.get(),
        });
    }
    let len = disk.size_bytes().min(PROBE_BYTES) / BLOCK_BYTES * BLOCK_BYTES;
    let (head, result) = disk.read(Buf::alloc(len as usize).await, 0).await;
    result?;
    if head.starts_with(&MAGIC) {
        return Ok(Probe::Foreign("a Basalt drive whose superblocks are damaged".into()));
    }
    let known = SIGNATURES
        .iter()
        .find(|(_, offset, magic)| head.get(*offset..).is_some_and(|bytes| bytes.starts_with(magic)));
    Ok(match known {
        Some((name, ..)) => Probe::Foreign((*name).into()),
        None if head.iter().all(|&byte| byte == 0) => Probe::Blank,
        None => Probe::Foreign("unknown data".into()),
    })
}

/// Every common format leaves a mark in the first megabyte.
const PROBE_BYTES: u64 = 1 << 20;

/// Name, offset and first bytes of what people would miss most.
const SIGNATURES: [(&str, usize, &[u8]); 8] = [
    ("a GPT partition table", 512, b"EFI PART"),
    ("an LVM physical volume", 512, b"LABELONE"),
    ("an XFS file system", 0, b"XFSB"),
    ("an ext2, ext3 or ext4 file system", 1080, &[0x53, 0xEF]),
    ("a Btrfs file system", 65_600, b"_BHRfS_M"),
    ("an encrypted LUKS device", 0, b"LUKS\xBA\xBE"),
    ("a QCOW2 image", 0, b"QFI\xFB"),
    ("an MBR partition table or boot sector", 510, &[0x55, 0xAA]),
];

const _: () = assert!(size_of::<Slot>() == PAGE_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        let mut catalogue = vec![Child::None; CATALOGUE_ROOTS];
        catalogue[0] = Child::Page { address_bytes: 4096 * 99, crc: 5, sequence: 6 };
        Superblock {
            uuid: Uuid::from_u128(42),
            sequence: 7,
            geometry: Geometry::plan(64 << 20),
            block_bytes: 512,
            atomic_bytes: 4096,
            cut: Point { position_bytes: 4096, sequence: 3, previous_crc: 1 },
            catalogue_bytes: 100,
            catalogue,
        }
    }

    #[test]
    fn round_trip() {
        let superblock = sample();
        let slot = Slot::parse(superblock.encode().as_bytes()).expect("valid");
        assert_eq!(slot.check(64 << 20).expect("known"), superblock);
        assert!(matches!(slot.check((64 << 20) - 1), Err(OpenError::Truncated { .. })));
    }

    #[test]
    fn the_document_is_right() {
        crate::engine::format::layout!("Superblock slot", Slot: magic, version, crc, features, drive, sequence,
            size_bytes, extent_bytes, block_bytes, atomic_bytes, journal_first, journal_extents, data_first, end,
            metadata_extents, cut_position_bytes, cut_sequence, cut_previous_crc, reserved_1, catalogue_bytes,
            catalogue, reserved);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = sample().encode();
        for at in (0..PAGE_BYTES).step_by(7) {
            let mut bytes = bytes.as_bytes().to_vec();
            bytes[at] ^= 0x10;
            assert!(Slot::parse(&bytes).is_none(), "byte {at}");
        }
    }

    #[test]
    fn unknown_features_are_refused() {
        let mut slot = sample().encode();
        slot.features = U64::new(FEATURE_BLOCK_CRC);
        assert!(matches!(slot.check(64 << 20), Err(OpenError::Features(1))));
    }
}
