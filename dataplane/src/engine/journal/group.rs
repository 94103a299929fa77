//! The bytes of a journal group.
//!
//! ```text
//! | directory | section | section | … | zeros | directory again | footer |
//! ```
//! A directory is a header and one entry per section. Each section has its own checksum, the directory another;
//! it stands at both ends, so that damage costs the volumes whose sections it hit and not the whole group (E5).
//! A group's identity is its directory's checksum: the next group names it, so groups of a tail that was dropped
//! can never be taken for successors.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::engine::format::{LayerId, PAGE_BYTES, crc32c};

/// No group is longer; the damaged part of a journal is searched no further than this.
pub(crate) const GROUP_MAX_BYTES: usize = 128 << 10;

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub(crate) struct GroupHeader {
    magic: [u8; 8],
    /// CRC-32C of the directory with this field zero.
    crc: U32,
    sections: U32,
    /// Of the whole group, a multiple of 4096.
    length_bytes: U32,
    flags: U32,
    drive: [u8; 16],
    /// The machine's boot that wrote it (E2).
    pub(crate) boot: [u8; 16],
    pub(crate) sequence: U64,
    /// Counted since format; the place in the ring is the remainder.
    pub(crate) position_bytes: U64,
    /// The directory checksum of the group before.
    previous_crc: U32,
    reserved_1: U32,
    /// Bits set in the free map after this group.
    pub(crate) used_extents: U64,
    reserved: [u8; 40],
}

const MAGIC: [u8; 8] = *b"bsltGRUP";
const FOOTER_MAGIC: [u8; 8] = *b"bsltGEND";

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct SectionEntry {
    kind: U32,
    /// Whose section it is; 0 if nobody's.
    layer: U32,
    /// From the start of the group.
    offset_bytes: U32,
    length_bytes: U32,
    crc: U32,
    reserved: U32,
    /// Extents that the layer owns after this group.
    layer_extents: U64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct Footer {
    magic: [u8; 8],
    /// Of the second directory, from the start of the group.
    directory_offset_bytes: U32,
    length_bytes: U32,
}

/// An entry's value: absolute, so replaying it twice does no harm.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub(crate) struct MapRecord {
    pub(crate) logical: U32,
    reserved: U32,
    pub(crate) entry: U64,
}

impl MapRecord {
    pub(crate) fn new(logical: u32, entry: u64) -> Self {
        Self { logical: U32::new(logical), reserved: U32::ZERO, entry: U64::new(entry) }
    }
}

/// What a section holds. The values are on disk; 5 and 6 are kept for prepare and decide records (E14), 7 for data
/// of torn-safe overwrites (E8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum SectionKind {
    /// [`MapRecord`]s of one layer.
    Map = 1,
    /// Extent numbers that one layer gave up.
    Freed = 2,
    /// Volume records.
    Volumes = 3,
    /// Layer records.
    Layers = 4,
    /// Attachments of volumes.
    Attachments = 8,
}

impl SectionKind {
    fn read(kind: u32) -> Option<Self> {
        [Self::Map, Self::Freed, Self::Volumes, Self::Layers, Self::Attachments]
            .into_iter()
            .find(|k| *k as u32 == kind)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: SectionKind,
    pub(crate) layer: LayerId,
    pub(crate) layer_extents: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Where a group stands in its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) drive: [u8; 16],
    pub(crate) sequence: u64,
    pub(crate) position_bytes: u64,
    pub(crate) previous_crc: u32,
}

/// A group read back.
#[derive(Debug, Clone)]
pub(crate) struct ParsedGroup {
    pub(crate) header: GroupHeader,
    pub(crate) crc: u32,
    pub(crate) length_bytes: u64,
    /// Sections whose checksum is right.
    pub(crate) sections: Vec<Section>,
    /// Owner and kind of the others; no kind if this version does not know it.
    pub(crate) damaged: Vec<(LayerId, Option<SectionKind>)>,
}

/// Bytes that a group with these sections takes.
pub(crate) const fn encoded_len(sections: usize, payload_bytes: usize) -> usize {
    let directory = size_of::<GroupHeader>() + sections * size_of::<SectionEntry>();
    (2 * directory + payload_bytes + 8 * sections + size_of::<Footer>()).next_multiple_of(PAGE_BYTES)
}

/// Writes a group of [`encoded_len`] bytes into the front of `out`; answers its directory's checksum.
pub(crate) fn encode(
    out: &mut [u8],
    place: Place,
    boot: [u8; 16],
    used_extents: u64,
    sections: &[Section],
) -> u32 {
    let payload_bytes = sections.iter().map(|section| section.bytes.len()).sum();
    let length = encoded_len(sections.len(), payload_bytes);
    let out = &mut out[..length];
    out.fill(0);
    let mut directory = GroupHeader {
        magic: MAGIC,
        crc: U32::ZERO,
        sections: U32::new(sections.len() as u32),
        length_bytes: U32::new(length as u32),
        flags: U32::ZERO,
        drive: place.drive,
        boot,
        sequence: U64::new(place.sequence),
        position_bytes: U64::new(place.position_bytes),
        previous_crc: U32::new(place.previous_crc),
        reserved_1: U32::ZERO,
        used_extents: U64::new(used_extents),
        reserved: [0; 40],
    }
    .as_bytes()
    .to_vec();
    let mut offset = size_of::<GroupHeader>() + sections.len() * size_of::<SectionEntry>();
    for section in sections {
        let entry = SectionEntry {
            kind: U32::new(section.kind as u32),
            layer: U32::new(section.layer.0),
            offset_bytes: U32::new(offset as u32),
            length_bytes: U32::new(section.bytes.len() as u32),
            crc: U32::new(crc32c(&section.bytes)),
            reserved: U32::ZERO,
            layer_extents: U64::new(section.layer_extents),
        };
        directory.extend_from_slice(entry.as_bytes());
        out[offset..offset + section.bytes.len()].copy_from_slice(&section.bytes);
        offset = (offset + section.bytes.len()).next_multiple_of(8);
    }
    let crc = crc32c(&directory);
    directory[CRC_RANGE].copy_from_slice(U32::new(crc).as_bytes());
    let back = length - size_of::<Footer>() - directory.len();
    let footer = Footer {
        magic: FOOTER_MAGIC,
        directory_offset_bytes: U32::new(back as u32),
        length_bytes: U32::new(length as u32),
    };
    out[..directory.len()].copy_from_slice(&directory);
    out[back..back + directory.len()].copy_from_slice(&directory);
    out[length - size_of::<Footer>()..].copy_from_slice(footer.as_bytes());
    crc
}

const CRC_RANGE: std::ops::Range<usize> = 8..12;

/// Reads the group that begins at the front of `bytes`, by either of its directories. `None`: there is no group of
/// that place there. `bytes` reach as far as a group can, or to the end of the ring.
pub(crate) fn parse(bytes: &[u8], place: Place) -> Option<ParsedGroup> {
    let front = read_directory(bytes, place);
    let (header, entries, crc) = front.or_else(|| read_back_directory(bytes, place))?;
    let length = header.length_bytes.get() as usize;
    if length > bytes.len() {
        return None;
    }
    let (mut sections, mut damaged) = (Vec::new(), Vec::new());
    for entry in entries {
        let layer = LayerId(entry.layer.get());
        let kind = SectionKind::read(entry.kind.get());
        let start = entry.offset_bytes.get() as usize;
        let body = bytes[..length].get(start..start.saturating_add(entry.length_bytes.get() as usize));
        match (kind, body) {
            (Some(kind), Some(body)) if crc32c(body) == entry.crc.get() => sections.push(Section {
                kind,
                layer,
                layer_extents: entry.layer_extents.get(),
                bytes: body.to_vec(),
            }),
            _ => damaged.push((layer, kind)),
        }
    }
    Some(ParsedGroup { header, crc, length_bytes: length as u64, sections, damaged })
}

type Directory = (GroupHeader, Vec<SectionEntry>, u32);

/// Reads the directory at the front of `bytes`, if it is of the group that belongs to that place.
fn read_directory(bytes: &[u8], place: Place) -> Option<Directory> {
    let (header, rest) = GroupHeader::read_from_prefix(bytes).ok()?;
    let here = Place {
        drive: header.drive,
        sequence: header.sequence.get(),
        position_bytes: header.position_bytes.get(),
        previous_crc: header.previous_crc.get(),
    };
    let sections = header.sections.get() as usize;
    let length = header.length_bytes.get() as usize;
    let entries_len = sections.checked_mul(size_of::<SectionEntry>())?;
    if header.magic != MAGIC
        || here != place
        || length > GROUP_MAX_BYTES
        || length == 0
        || !length.is_multiple_of(PAGE_BYTES)
        || entries_len > rest.len()
    {
        return None;
    }
    let mut directory = bytes[..size_of::<GroupHeader>() + entries_len].to_vec();
    directory[CRC_RANGE].fill(0);
    let crc = crc32c(&directory);
    let entries = <[SectionEntry]>::ref_from_bytes(&rest[..entries_len]).ok()?;
    (crc == header.crc.get()).then(|| (header, entries.to_vec(), crc))
}

fn read_back_directory(bytes: &[u8], place: Place) -> Option<Directory> {
    let ends = (PAGE_BYTES..=bytes.len().min(GROUP_MAX_BYTES)).step_by(PAGE_BYTES);
    ends.filter_map(|end| {
        let footer = Footer::read_from_suffix(&bytes[..end]).ok()?.1;
        let at_front = footer.length_bytes.get() as usize == end;
        let offset = footer.directory_offset_bytes.get() as usize;
        if footer.magic != FOOTER_MAGIC || !at_front {
            return None;
        }
        read_directory(bytes.get(offset..end)?, place)
    })
    .next()
}

const _: () = {
    assert!(size_of::<GroupHeader>() == 128);
    assert!(size_of::<SectionEntry>() == 32);
    assert!(size_of::<Footer>() == 16);
    assert!(size_of::<MapRecord>() == 16);
};

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { drive: [3; 16], sequence: 9, position_bytes: 4096, previous_crc: 77 };

    fn sample() -> (Vec<u8>, Vec<Section>) {
        let section = |kind, layer, len| Section {
            kind,
            layer: LayerId(layer),
            layer_extents: 5,
            bytes: (0..len).map(|i| i as u8).collect(),
        };
        let sections = vec![
            section(SectionKind::Map, 1, 6000),
            section(SectionKind::Freed, 1, 12),
            section(SectionKind::Map, 2, 32),
        ];
        let mut bytes = vec![0xEE; GROUP_MAX_BYTES];
        encode(&mut bytes, PLACE, [4; 16], 100, &sections);
        bytes.truncate(encoded_len(3, 6000 + 12 + 32));
        (bytes, sections)
    }

    #[test]
    fn the_document_is_right() {
        use crate::engine::format::layout;
        layout!("Group header", GroupHeader: magic, crc, sections, length_bytes, flags, drive, boot, sequence,
            position_bytes, previous_crc, reserved_1, used_extents, reserved);
        layout!("Section entry", SectionEntry: kind, layer, offset_bytes, length_bytes, crc, reserved,
            layer_extents);
        layout!("Map record", MapRecord: logical, reserved, entry);
        layout!("Group footer", Footer: magic, directory_offset_bytes, length_bytes);
    }

    #[test]
    fn round_trip() {
        let (bytes, sections) = sample();
        let group = parse(&bytes, PLACE).expect("whole");
        assert_eq!(group.sections, sections);
        assert_eq!(group.length_bytes, bytes.len() as u64);
        assert!(group.damaged.is_empty());
        assert!(parse(&bytes, Place { sequence: 8, ..PLACE }).is_none());
        assert!(parse(&bytes, Place { previous_crc: 1, ..PLACE }).is_none());
    }

    /// Whatever sector is lost, the damage is noticed and costs only the sections it hit.
    #[test]
    fn one_lost_sector() {
        let (bytes, sections) = sample();
        for sector in (0..bytes.len()).step_by(512) {
            let mut torn = bytes.clone();
            torn[sector..sector + 512].fill(0xA5);
            let group = parse(&torn, PLACE).expect("one directory is left");
            assert_eq!(group.sections.len() + group.damaged.len(), 3);
            assert!(group.sections.iter().all(|section| sections.contains(section)));
        }
    }
}
