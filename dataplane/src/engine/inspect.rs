//! Looking into a drive that nobody serves: what its superblocks, journal and catalogue say, and where a volume's
//! blocks are. Nothing is written.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    catalogue::{Catalogue, Standing, VolumeKind},
    drive::{Drive, DriveShared},
    error::{EngineError, OpenError},
    format::{BLOCK_BYTES, BLOCKS_PER_EXTENT, FREE_MAP, LayerId},
    journal::{group::ParsedGroup, mark, scan},
    layer::Layer,
    map::{BlockState, LogicalExtent},
    recovery,
    superblock::{self, Superblock},
    volume::VolumeShared,
    walk::extents_of,
};
use crate::rt::Disk;

/// What a drive holds, for people and scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// The valid ones of the two slots, by slot.
    pub superblocks: Vec<SuperblockDump>,
    /// The last journal sequence that each mark slot says was flushed; `None`: the slot holds no mark.
    pub flush_marks: [Option<u64>; 2],
    /// From the cut on, those that count.
    pub groups: Vec<GroupDump>,
    /// What is wrong with the journal, in words.
    pub journal_problems: Vec<String>,
    /// With what the journal adds.
    pub layers: Vec<LayerDump>,
    pub volumes: Vec<VolumeDump>,
    pub used_extents: u64,
    pub metadata_extents: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperblockDump {
    pub slot: u64,
    pub drive: Uuid,
    /// Of the checkpoint that wrote it.
    pub sequence: u64,
    pub size_bytes: u64,
    /// First extent, and how many.
    pub journal: (u32, u32),
    /// First extent of the pool, and one behind its last.
    pub pool: (u32, u32),
    /// Of the pool's start, kept for metadata.
    pub metadata_extents: u32,
    /// The first journal group that counts.
    pub cut_sequence: u64,
    pub catalogue_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDump {
    pub sequence: u64,
    /// Since format.
    pub position_bytes: u64,
    pub length_bytes: u64,
    /// The machine's boot that wrote it.
    pub boot: Uuid,
    pub sections: Vec<SectionDump>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionDump {
    /// `Map`, `Freed`, `Volumes` or `Layers`; `damaged` if its checksum is wrong.
    pub kind: String,
    /// Whose; 0: nobody's.
    pub layer: u32,
    pub length_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDump {
    pub layer: u32,
    pub parent: Option<u32>,
    /// That it owns.
    pub extents: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeDump {
    /// Of the whole volume or snapshot.
    pub uuid: Uuid,
    /// Which part of it this is.
    pub part: u8,
    /// Parts that its first part counts; 0 in others.
    pub parts: u8,
    /// `volume`, `snapshot`, `read-only volume`, or `unknown`.
    pub kind: &'static str,
    pub size_bytes: u64,
    pub block_bytes: u32,
    pub reserved_extents: u64,
    /// Its youngest layer.
    pub head: u32,
}

/// Neighbouring blocks of a volume that are neighbours on the drive as well, or all read as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapRange {
    /// Of the volume.
    pub part: u8,
    /// Within that part.
    pub offset_bytes: u64,
    pub length_bytes: u64,
    /// That answers for them.
    pub layer: u32,
    /// Where they, or their side records, begin on the drive; `None`: they were zeroed.
    pub drive_offset_bytes: Option<u64>,
}

/// Reads superblocks, marks, journal and catalogue of a medium.
pub async fn dump(disk: &Disk) -> Result<Dump, OpenError> {
    let superblock = Superblock::load(disk).await?;
    let slots = superblock::slots(disk).await?;
    let recovered = recovery::recover(disk, &superblock).await?;
    let drive = *superblock.uuid.as_bytes();
    let scan = scan::scan(disk, &superblock.geometry, drive, superblock.cut, recovered.marked).await?;
    let problems = scan.damaged.iter().map(|(_, corruption)| corruption).chain(&scan.broken);
    Ok(Dump {
        superblocks: slots.iter().flatten().map(superblock_dump).collect(),
        flush_marks: mark::slots(disk, superblock.uuid).await?,
        groups: scan.groups.iter().map(group_dump).collect(),
        journal_problems: problems.map(ToString::to_string).collect(),
        layers: layer_dumps(&recovered.catalogue),
        volumes: volume_dumps(&recovered.catalogue),
        used_extents: recovered.catalogue.used_extents,
        metadata_extents: recovered.catalogue.metadata.len() as u64,
    })
}

fn superblock_dump(superblock: &Superblock) -> SuperblockDump {
    let geometry = &superblock.geometry;
    SuperblockDump {
        slot: superblock.sequence % 2,
        drive: superblock.uuid,
        sequence: superblock.sequence,
        size_bytes: geometry.size_bytes,
        journal: (geometry.journal_first, geometry.journal_extents),
        pool: (geometry.data_first, geometry.end),
        metadata_extents: geometry.metadata_extents,
        cut_sequence: superblock.cut.sequence,
        catalogue_bytes: superblock.catalogue_bytes,
    }
}

fn group_dump(group: &ParsedGroup) -> GroupDump {
    let sound = group.sections.iter().map(|section| SectionDump {
        kind: format!("{:?}", section.kind),
        layer: section.layer.0,
        length_bytes: section.bytes.len() as u64,
    });
    let damaged = group.damaged.iter().map(|(layer, _)| SectionDump {
        kind: "damaged".to_owned(),
        layer: layer.0,
        length_bytes: 0,
    });
    GroupDump {
        sequence: group.header.sequence.get(),
        position_bytes: group.header.position_bytes.get(),
        length_bytes: group.length_bytes,
        boot: Uuid::from_bytes(group.header.boot),
        sections: sound.chain(damaged).collect(),
    }
}

fn layer_dumps(catalogue: &Catalogue) -> Vec<LayerDump> {
    let records = catalogue.layers.iter().map(|(record, _)| record);
    let layers = records.filter(|record| record.id() != FREE_MAP).map(|record| LayerDump {
        layer: record.id().0,
        parent: Some(record.parent.get()).filter(|parent| *parent != 0),
        extents: record.extents.get(),
    });
    layers.collect()
}

fn volume_dumps(catalogue: &Catalogue) -> Vec<VolumeDump> {
    let volumes = catalogue.volumes.iter().map(|record| VolumeDump {
        uuid: record.uuid(),
        part: record.name().index,
        parts: if record.name().index == 0 { record.parts() } else { 0 },
        kind: match (record.standing(), record.kind()) {
            (Some(Standing::Copying), _) => "unfinished copy",
            (Some(Standing::Prepared), _) => "undecided copy",
            (Some(Standing::Moved), _) => "moved away",
            (None, _) | (_, None) => "unknown",
            (_, Some(VolumeKind::Writable)) => "volume",
            (_, Some(VolumeKind::Snapshot)) => "snapshot",
            (_, Some(VolumeKind::ReadOnly)) => "read-only volume",
        },
        size_bytes: record.size_bytes.get(),
        block_bytes: record.block_bytes.get(),
        reserved_extents: record.reserved_extents.get(),
        head: record.head.get(),
    });
    volumes.collect()
}

impl Drive {
    /// Where the blocks of this drive's parts of a volume or snapshot are, ascending; what is missing was never
    /// written. `None`: there is no part of it.
    pub async fn map(&self, uuid: Uuid) -> Result<Option<Vec<MapRange>>, EngineError> {
        let parts: Vec<_> = {
            let volumes = super::sync::lock(&self.shared.volumes);
            volumes.values().filter(|volume| volume.name.uuid == uuid).cloned().collect()
        };
        let mut ranges = Vec::new();
        for part in &parts {
            ranges.extend(self.map_part(part).await?);
        }
        Ok((!parts.is_empty()).then_some(ranges))
    }

    async fn map_part(&self, part: &VolumeShared) -> Result<Vec<MapRange>, EngineError> {
        let layers = part.chain().layers().to_vec();
        let mut ranges = Ranges { part: part.name.index, ranges: Vec::new() };
        let mut from = 0;
        while let Some(leaf) = self.shared.next_leaf_of_any(&layers, from).await? {
            for logical in extents_of(leaf) {
                self.shared.map_extent(&layers, logical, &mut ranges).await?;
            }
            from = leaf + 1;
        }
        Ok(ranges.ranges)
    }
}

impl DriveShared {
    async fn next_leaf_of_any(&self, layers: &[Arc<Layer>], from: u32) -> Result<Option<u32>, EngineError> {
        let mut nearest = None;
        for layer in layers {
            let leaf = self.next_leaf(&layer.tree, from).await?;
            nearest = nearest.into_iter().chain(leaf).min();
        }
        Ok(nearest)
    }

    /// The newest layer that knows a block answers for it.
    async fn map_extent(
        &self,
        layers: &[Arc<Layer>],
        logical: LogicalExtent,
        ranges: &mut Ranges,
    ) -> Result<(), EngineError> {
        let mut entries = Vec::with_capacity(layers.len());
        for layer in layers {
            entries.push((layer.id, self.present(layer, logical).await?));
        }
        for block in 0..BLOCKS_PER_EXTENT {
            let known = entries.iter().find(|(_, entry)| entry.state(block) != BlockState::Absent);
            let Some((layer, entry)) = known else { continue };
            let place = match entry.state(block) {
                BlockState::Data | BlockState::SideRecord => {
                    entry.extent().map(|extent| extent.block_bytes(block))
                }
                _ => None,
            };
            let number = u64::from(logical.0) * u64::from(BLOCKS_PER_EXTENT) + u64::from(block);
            ranges.push(number * BLOCK_BYTES, *layer, place);
        }
        Ok(())
    }
}

/// Ranges in the making; blocks come in ascending order.
#[derive(Debug)]
struct Ranges {
    part: u8,
    ranges: Vec<MapRange>,
}

impl Ranges {
    fn push(&mut self, offset_bytes: u64, layer: LayerId, drive_offset_bytes: Option<u64>) {
        if let Some(last) = self.ranges.last_mut()
            && last.layer == layer.0
            && last.offset_bytes + last.length_bytes == offset_bytes
            && last.drive_offset_bytes.map(|start| start + last.length_bytes) == drive_offset_bytes
        {
            last.length_bytes += BLOCK_BYTES;
            return;
        }
        let (part, layer) = (self.part, layer.0);
        self.ranges.push(MapRange {
            part,
            offset_bytes,
            length_bytes: BLOCK_BYTES,
            layer,
            drive_offset_bytes,
        });
    }
}
