//! The bytes on a drive: units, geometry and map pages. `FORMAT.md` describes the whole; the journal's bytes are
//! declared in `journal::group`, the superblock's and the catalogue's beside their code. All integers are
//! little-endian.

use crc_fast::{CrcAlgorithm, Digest};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

pub(crate) const SECTOR_BYTES: u64 = 512;
pub(crate) const BLOCK_BYTES: u64 = 4096;
pub(crate) const EXTENT_BYTES: u64 = 65_536;
pub(crate) const BLOCKS_PER_EXTENT: u32 = (EXTENT_BYTES / BLOCK_BYTES) as u32;
/// A metadata page.
pub(crate) const PAGE_BYTES: usize = 4096;
pub(crate) const PAGES_PER_EXTENT: u32 = (EXTENT_BYTES / PAGE_BYTES as u64) as u32;
/// Map entries of a leaf page: 32 MiB of a volume.
pub(crate) const ENTRIES_PER_PAGE: usize = PAGE_BYTES / 8;
/// Bits of a free map page: 2 GiB of the drive.
pub(crate) const BITS_PER_PAGE: u32 = PAGE_BYTES as u32 * 8;
/// Children of an index page.
pub(crate) const FANOUT: usize = PAGE_BYTES / size_of::<ChildPointer>();
/// Level-two pages of a tree.
pub(crate) const ROOT_CHILDREN: usize = 128;
/// A 32-bit extent number reaches so far (E15).
pub(crate) const MAX_BYTES: u64 = EXTENT_BYTES << 32;

/// Identity of a layer; 0 is the free map's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LayerId(pub(crate) u32);

pub(crate) const FREE_MAP: LayerId = LayerId(0);
/// The catalogue's pages have checksums like all others; this stands for their layer.
pub(crate) const CATALOGUE: LayerId = LayerId(u32::MAX);

/// Which page of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PageId {
    pub(crate) layer: LayerId,
    /// 0: leaf, 1 and 2: index pages.
    pub(crate) level: u8,
    /// Counted within its level.
    pub(crate) number: u32,
}

/// Where a page is and what it must look like. Held by the parent, so that a stale, misplaced or never written
/// page is noticed, not only a damaged one.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub(crate) struct ChildPointer {
    /// Byte address; its low bits say what kind of child this is.
    address: U64,
    /// CRC-32C of the page's identity, sequence and bytes.
    crc: U32,
    /// Of the checkpoint that wrote it (low 32 bits).
    sequence: U32,
}

/// A child pointer, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Child {
    /// Every entry below is absent.
    None,
    /// Every entry of this leaf is [`Entry::ZERO`](super::map::Entry::ZERO).
    AllZero,
    Page {
        address_bytes: u64,
        crc: u32,
        sequence: u32,
    },
}

const KIND_NONE: u64 = 0;
const KIND_ALL_ZERO: u64 = 1;
const KIND_PAGE: u64 = 2;
const KIND_MASK: u64 = BLOCK_BYTES - 1;

impl ChildPointer {
    pub(crate) fn read(self) -> Option<Child> {
        let address = self.address.get();
        match address & KIND_MASK {
            KIND_NONE if address == 0 => Some(Child::None),
            KIND_ALL_ZERO => Some(Child::AllZero),
            KIND_PAGE => Some(Child::Page {
                address_bytes: address & !KIND_MASK,
                crc: self.crc.get(),
                sequence: self.sequence.get(),
            }),
            _ => None,
        }
    }
}

impl From<Child> for ChildPointer {
    fn from(child: Child) -> Self {
        let (address, crc, sequence) = match child {
            Child::None => (KIND_NONE, 0, 0),
            Child::AllZero => (KIND_ALL_ZERO, 0, 0),
            Child::Page { address_bytes, crc, sequence } => (address_bytes | KIND_PAGE, crc, sequence),
        };
        Self { address: U64::new(address), crc: U32::new(crc), sequence: U32::new(sequence) }
    }
}

/// The checksum that a page's parent keeps: it covers who the page is, not only what it says.
pub(crate) fn page_crc(id: PageId, sequence: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&id.layer.0.to_le_bytes());
    digest.update(&[id.level, 0, 0, 0]);
    digest.update(&id.number.to_le_bytes());
    digest.update(&sequence.to_le_bytes());
    digest.update(bytes);
    digest.finalize() as u32
}

/// CRC-32C.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(bytes);
    digest.finalize() as u32
}

/// How a drive is divided: fixed when it is formatted, save for its size and end, which may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) size_bytes: u64,
    /// Extents 0 and 1 hold the superblock slots; the journal ring begins here.
    pub(crate) journal_first: u32,
    pub(crate) journal_extents: u32,
    /// First extent of the pool.
    pub(crate) data_first: u32,
    /// One behind the last extent of the pool.
    pub(crate) end: u32,
    /// Extents at the start of the pool that are kept for metadata. It may have others, too.
    pub(crate) metadata_extents: u32,
}

/// The journal takes a sixty-fourth of the drive within these bounds.
const JOURNAL_MIN_BYTES: u64 = 1 << 20;
const JOURNAL_MAX_BYTES: u64 = 64 << 20;
/// Two per cent (E9), and never so few that a small drive could not checkpoint.
const METADATA_SHARE: u32 = 50;
const METADATA_MIN_EXTENTS: u32 = 16;
/// Small enough for tests, large enough to hold the fixed parts and some data.
pub(crate) const DRIVE_MIN_BYTES: u64 = 8 << 20;

impl Geometry {
    /// Divides a drive of that size. It must lie between [`DRIVE_MIN_BYTES`] and [`MAX_BYTES`].
    pub(crate) fn plan(size_bytes: u64) -> Self {
        let end = (size_bytes / EXTENT_BYTES).min(u64::from(u32::MAX)) as u32;
        let journal = (size_bytes / 64).clamp(JOURNAL_MIN_BYTES, JOURNAL_MAX_BYTES);
        let journal_first = 2;
        let journal_extents = (journal / EXTENT_BYTES) as u32;
        let data_first = journal_first + journal_extents;
        let metadata_extents = ((end - data_first) / METADATA_SHARE).max(METADATA_MIN_EXTENTS);
        Self { size_bytes, journal_first, journal_extents, data_first, end, metadata_extents }
    }

    /// The same division of a drive that has grown to `size_bytes`: the pool goes on to the new end.
    pub(crate) fn grown(&self, size_bytes: u64) -> Self {
        let Self { end, .. } = Self::plan(size_bytes);
        Self { size_bytes, end, ..*self }
    }

    pub(crate) fn journal_bytes(&self) -> u64 {
        u64::from(self.journal_extents) * EXTENT_BYTES
    }

    pub(crate) fn journal_offset_bytes(&self) -> u64 {
        u64::from(self.journal_first) * EXTENT_BYTES
    }

    /// First extent that volumes can use.
    pub(crate) fn volumes_first(&self) -> u32 {
        self.data_first + self.metadata_extents
    }

    /// Extents that volumes can use.
    pub(crate) fn capacity_extents(&self) -> u64 {
        u64::from(self.end - self.volumes_first())
    }

    pub(crate) fn is_in_pool(&self, extent: u32) -> bool {
        (self.data_first..self.end).contains(&extent)
    }
}

const _: () = {
    assert!(size_of::<ChildPointer>() == 16);
    assert!(FANOUT == 256);
    // Leaves x entries of a full tree reach exactly the largest volume.
    assert!(ROOT_CHILDREN as u64 * (FANOUT * FANOUT * ENTRIES_PER_PAGE) as u64 == 1 << 32);
};

/// Offsets of a struct's fields, for [`documented`].
#[cfg(test)]
macro_rules! layout {
    ($name:literal, $type:ty: $($field:ident),+ $(,)?) => {
        $crate::engine::format::documented(
            $name,
            size_of::<$type>(),
            &[$((stringify!($field), std::mem::offset_of!($type, $field))),+],
        )
    };
}
#[cfg(test)]
pub(crate) use layout;

/// Fails unless `FORMAT.md` has a table of that name with exactly these fields.
#[cfg(test)]
pub(crate) fn documented(name: &str, size_bytes: usize, fields: &[(&str, usize)]) {
    let document = include_str!("../../FORMAT.md");
    let heading = format!("### {name} ({size_bytes} bytes)\n");
    let (_, section) = document.split_once(&heading).unwrap_or_else(|| panic!("no section {heading}"));
    let rows: Vec<&str> = section.lines().skip(1).take_while(|line| line.starts_with('|')).skip(2).collect();
    let expected = fields.iter().map(|(field, offset)| format!("| {offset} | `{field}` |"));
    for (row, expected) in rows.iter().zip(expected.clone()) {
        assert!(row.starts_with(&expected), "{name}: {row:?} should begin {expected:?}");
    }
    assert_eq!(rows.len(), expected.count(), "{name}: rows and fields");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_checksum_knows_who_the_page_is() {
        let page = [7u8; PAGE_BYTES];
        let id = PageId { layer: LayerId(3), level: 0, number: 9 };
        let crc = page_crc(id, 5, &page);
        assert_ne!(crc, page_crc(PageId { layer: LayerId(4), ..id }, 5, &page));
        assert_ne!(crc, page_crc(PageId { level: 1, ..id }, 5, &page));
        assert_ne!(crc, page_crc(PageId { number: 8, ..id }, 5, &page));
        assert_ne!(crc, page_crc(id, 4, &page));
    }

    #[test]
    fn child_pointers_round_trip() {
        let page = Child::Page { address_bytes: 0x12_3000, crc: 1, sequence: 2 };
        for child in [Child::None, Child::AllZero, page] {
            assert_eq!(ChildPointer::from(child).read(), Some(child));
        }
        let nonsense = ChildPointer { address: U64::new(0x3007), crc: U32::ZERO, sequence: U32::ZERO };
        assert_eq!(nonsense.read(), None);
    }

    #[test]
    fn the_document_is_right() {
        layout!("Child pointer", ChildPointer: address, crc, sequence);
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn geometry_fills_the_drive() {
        for size in [DRIVE_MIN_BYTES, 64 << 20, 16 << 30, MAX_BYTES] {
            let geometry = Geometry::plan(size);
            assert!(geometry.data_first > geometry.journal_first);
            assert!(u64::from(geometry.end) * EXTENT_BYTES <= size);
            assert!(geometry.capacity_extents() > 0, "{geometry:?}");
        }
    }
}
