//! The catalogue: every layer, every volume, and which metadata pages are in use. Written anew by each checkpoint
//! as one run of bytes over many pages; the superblock points at the pages that point at those.

use uuid::Uuid;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use super::{
    attachment::Attachment,
    format::{Child, ChildPointer, LayerId, ROOT_CHILDREN},
    part::{Name, Part},
};

/// Begins the catalogue.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct Header {
    magic: [u8; 8],
    layers: U32,
    volumes: U32,
    metadata_extents: U32,
    next_layer: U32,
    used_extents: U64,
    attachments: U32,
    reserved: [u8; 28],
}

const MAGIC: [u8; 8] = *b"bsltCATA";

/// A layer; in the catalogue its root's child pointers follow. Also a journal record.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub(crate) struct LayerRecord {
    pub(crate) layer: U32,
    /// 0: none.
    pub(crate) parent: U32,
    pub(crate) flags: U32,
    reserved_1: U32,
    /// Extents it owns.
    pub(crate) extents: U64,
    /// Root children that follow; the others are absent.
    pub(crate) roots: U32,
    reserved: U32,
}

/// A volume. Also a journal record: absolute, the last one counts.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub(crate) struct VolumeRecord {
    pub(crate) uuid: [u8; 16],
    pub(crate) size_bytes: U64,
    pub(crate) reserved_extents: U64,
    pub(crate) head: U32,
    pub(crate) block_bytes: U32,
    /// One of the [`Standing`]s.
    state: U32,
    /// One of the [`VolumeKind`]s.
    kind: u8,
    /// Which part of its volume it is.
    part: u8,
    /// Parts of the volume, in the record of part 0; older records say 0 for one.
    parts: u8,
    reserved_1: u8,
    /// The other drive of a move: where the volume comes from, or went to. Zeros otherwise.
    peer: [u8; 16],
}

/// Whether a volume is on this drive. The values are on disk; `moving` says what leads from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Standing {
    Here = 0,
    /// A journal record that takes the volume away; its layers are given back in the background.
    Gone = 1,
    /// The name of a layer that is being copied to this drive. Given up when the drive is opened.
    Copying = 2,
    /// A whole copy. It counts if its source says `Moved` to here.
    Prepared = 3,
    /// Not here any more; kept until the copy says `Here`. Its layers are given back.
    Moved = 4,
}

impl Standing {
    const ALL: [Self; 5] = [Self::Here, Self::Gone, Self::Copying, Self::Prepared, Self::Moved];

    /// `None`: this version does not know it.
    pub(crate) fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| *standing as u32 == number)
    }

    pub(crate) fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Here, Self::Gone | Self::Moved)
                | (Self::Copying, Self::Gone)
                | (Self::Prepared, Self::Here | Self::Gone)
                | (Self::Moved, Self::Gone)
        )
    }
}

/// What a volume record stands for. The values are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum VolumeKind {
    /// Its head is its own.
    Writable = 0,
    /// A name for a frozen layer; not served to hosts.
    Snapshot = 1,
    /// Shows a frozen layer.
    ReadOnly = 2,
}

/// A metadata extent and which of its sixteen pages trees use. Pages of the catalogue itself are not counted here:
/// whoever reads it sees them.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct MetadataRecord {
    extent: U32,
    pages: U16,
    reserved: U16,
}

/// The catalogue's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Catalogue {
    pub(crate) next_layer: u32,
    /// Bits set in the free map.
    pub(crate) used_extents: u64,
    /// The free map's tree is among them, with id 0.
    pub(crate) layers: Vec<(LayerRecord, Vec<Child>)>,
    pub(crate) volumes: Vec<VolumeRecord>,
    /// Extent number and pages in use.
    pub(crate) metadata: Vec<(u32, u16)>,
    /// Of those volumes that have one.
    pub(crate) attachments: Vec<Attachment>,
}

impl LayerRecord {
    pub(crate) fn new(layer: LayerId, parent: Option<LayerId>, extents: u64) -> Self {
        Self {
            layer: U32::new(layer.0),
            parent: U32::new(parent.map_or(0, |parent| parent.0)),
            flags: U32::ZERO,
            reserved_1: U32::ZERO,
            extents: U64::new(extents),
            roots: U32::ZERO,
            reserved: U32::ZERO,
        }
    }

    pub(crate) fn id(&self) -> LayerId {
        LayerId(self.layer.get())
    }
}

impl VolumeRecord {
    pub(crate) fn new(
        part: Part,
        kind: VolumeKind,
        head: LayerId,
        size_bytes: u64,
        block_bytes: u32,
    ) -> Self {
        Self {
            uuid: *part.uuid.as_bytes(),
            size_bytes: U64::new(size_bytes),
            reserved_extents: U64::ZERO,
            head: U32::new(head.0),
            block_bytes: U32::new(block_bytes),
            state: U32::new(Standing::Here as u32),
            kind: kind as u8,
            part: part.index,
            parts: if part.index == 0 { part.of } else { 0 },
            reserved_1: 0,
            peer: [0; 16],
        }
    }

    pub(crate) fn uuid(&self) -> Uuid {
        Uuid::from_bytes(self.uuid)
    }

    pub(crate) fn name(&self) -> Name {
        Name { uuid: self.uuid(), index: self.part }
    }

    /// Parts of the volume that this is the first of.
    pub(crate) fn parts(&self) -> u8 {
        self.parts.max(1)
    }

    pub(crate) fn set_parts(&mut self, parts: u8) {
        assert!(self.part == 0, "the first part counts them");
        self.parts = parts;
    }

    /// `None`: this version does not know it.
    pub(crate) fn kind(&self) -> Option<VolumeKind> {
        [VolumeKind::Writable, VolumeKind::Snapshot, VolumeKind::ReadOnly]
            .into_iter()
            .find(|kind| *kind as u8 == self.kind)
    }

    pub(crate) fn head_id(&self) -> LayerId {
        LayerId(self.head.get())
    }

    /// `None`: this version does not know it.
    pub(crate) fn standing(&self) -> Option<Standing> {
        Standing::of(self.state.get())
    }

    pub(crate) fn set_standing(&mut self, standing: Standing) {
        self.state.set(standing as u32);
    }

    /// The other drive of a move.
    pub(crate) fn peer(&self) -> Uuid {
        Uuid::from_bytes(self.peer)
    }

    /// The same in a move to or from that drive.
    pub(crate) fn moving(self, standing: Standing, peer: Uuid) -> Self {
        Self { state: U32::new(standing as u32), peer: *peer.as_bytes(), ..self }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.standing() == Some(Standing::Gone)
    }
}

impl Catalogue {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let header = Header {
            magic: MAGIC,
            layers: U32::new(self.layers.len() as u32),
            volumes: U32::new(self.volumes.len() as u32),
            metadata_extents: U32::new(self.metadata.len() as u32),
            next_layer: U32::new(self.next_layer),
            used_extents: U64::new(self.used_extents),
            attachments: U32::new(self.attachments.len() as u32),
            reserved: [0; 28],
        };
        let mut bytes = header.as_bytes().to_vec();
        for (layer, roots) in &self.layers {
            let used = roots.iter().rposition(|child| *child != Child::None).map_or(0, |last| last + 1);
            let record = LayerRecord { roots: U32::new(used as u32), ..*layer };
            bytes.extend_from_slice(record.as_bytes());
            for child in &roots[..used] {
                bytes.extend_from_slice(ChildPointer::from(*child).as_bytes());
            }
        }
        bytes.extend_from_slice(self.volumes.as_slice().as_bytes());
        for &(extent, pages) in &self.metadata {
            let record =
                MetadataRecord { extent: U32::new(extent), pages: U16::new(pages), reserved: U16::ZERO };
            bytes.extend_from_slice(record.as_bytes());
        }
        for attachment in &self.attachments {
            attachment.encode(&mut bytes);
        }
        bytes
    }

    /// Reads a catalogue whose checksums were right. `None`: it makes no sense all the same.
    pub(crate) fn parse(mut bytes: &[u8]) -> Option<Self> {
        let header: Header = take(&mut bytes)?;
        if header.magic != MAGIC {
            return None;
        }
        let mut layers = Vec::new();
        for _ in 0..header.layers.get() {
            let record: LayerRecord = take(&mut bytes)?;
            let roots = record.roots.get() as usize;
            if roots > ROOT_CHILDREN {
                return None;
            }
            let roots = (0..roots).map(|_| take::<ChildPointer>(&mut bytes)?.read());
            layers.push((record, roots.collect::<Option<Vec<_>>>()?));
        }
        let volumes = (0..header.volumes.get()).map(|_| take(&mut bytes)).collect::<Option<_>>()?;
        let metadata = (0..header.metadata_extents.get())
            .map(|_| {
                take::<MetadataRecord>(&mut bytes).map(|record| (record.extent.get(), record.pages.get()))
            })
            .collect::<Option<_>>()?;
        let attachments =
            (0..header.attachments.get()).map(|_| Attachment::take(&mut bytes)).collect::<Option<_>>()?;
        Some(Self {
            next_layer: header.next_layer.get(),
            used_extents: header.used_extents.get(),
            layers,
            volumes,
            metadata,
            attachments,
        })
    }
}

fn take<T: FromBytes>(bytes: &mut &[u8]) -> Option<T> {
    let (value, rest) = T::read_from_prefix(bytes).ok()?;
    *bytes = rest;
    Some(value)
}

const _: () = {
    assert!(size_of::<Header>() == 64);
    assert!(size_of::<LayerRecord>() == 32);
    assert!(size_of::<VolumeRecord>() == 64);
    assert!(size_of::<MetadataRecord>() == 8);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_right() {
        use crate::engine::format::layout;
        layout!("Catalogue header", Header: magic, layers, volumes, metadata_extents, next_layer, used_extents,
            attachments, reserved);
        layout!("Layer record", LayerRecord: layer, parent, flags, reserved_1, extents, roots, reserved);
        layout!("Volume record", VolumeRecord: uuid, size_bytes, reserved_extents, head, block_bytes, state,
            kind, part, parts, reserved_1, peer);
        layout!("Metadata record", MetadataRecord: extent, pages, reserved);
    }

    /// Every standing by every standing: exactly the ways of a move and of a deletion are open.
    #[test]
    fn standings() {
        use Standing::{Copying, Gone, Here, Moved, Prepared};
        let open =
            [(Here, Gone), (Here, Moved), (Copying, Gone), (Prepared, Here), (Prepared, Gone), (Moved, Gone)];
        for from in Standing::ALL {
            assert_eq!(Standing::of(from as u32), Some(from));
            for to in Standing::ALL {
                assert_eq!(from.may_become(to), open.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
        assert_eq!(Standing::of(5), None);
    }

    #[test]
    fn round_trip_and_truncation() {
        let page = Child::Page { address_bytes: 8192, crc: 7, sequence: 3 };
        let catalogue = Catalogue {
            next_layer: 12,
            used_extents: 99,
            layers: vec![
                (LayerRecord::new(LayerId(0), None, 0), vec![]),
                (
                    LayerRecord { roots: U32::new(3), ..LayerRecord::new(LayerId(4), Some(LayerId(2)), 55) },
                    vec![Child::None, Child::None, page],
                ),
            ],
            volumes: vec![VolumeRecord::new(
                Uuid::from_u128(5).into(),
                VolumeKind::Writable,
                LayerId(4),
                512,
                512,
            )],
            metadata: vec![(20, 0xF0F0)],
            attachments: vec![Attachment {
                volume: Name { uuid: Uuid::from_u128(5), index: 0 },
                bytes: [1, 2, 3].into(),
            }],
        };
        let bytes = catalogue.encode();
        assert_eq!(Catalogue::parse(&bytes), Some(catalogue));
        for len in 0..bytes.len() {
            assert_eq!(Catalogue::parse(&bytes[..len]), None, "cut at {len}");
        }
    }
}
