//! Recovery: what the catalogue says, and on top of it what the journal says. Map pages are not touched: their
//! records wait as an overlay until somebody brings the page in, so start-up does not depend on capacity (E10).

use std::collections::BTreeMap;

use zerocopy::{FromBytes, Immutable, KnownLayout, little_endian::U32};

use super::{
    attachment::Attachment,
    catalogue::{Catalogue, LayerRecord, Standing, VolumeRecord},
    error::{Corruption, OpenError},
    format::{BLOCK_BYTES, CATALOGUE, Child, ChildPointer, LayerId, PAGE_BYTES, PageId, page_crc},
    journal::{
        Point,
        group::{MapRecord, ParsedGroup, Section, SectionKind},
        mark, scan,
    },
    map::{Entry, LogicalExtent},
    superblock::Superblock,
};
use crate::rt::{Buf, Disk};

/// Entries that are newer than their page on the drive: by layer and leaf, then by index.
pub(super) type Overlay = BTreeMap<(LayerId, u32), BTreeMap<u16, Entry>>;

/// Everything known about a drive before its first page is read.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) catalogue: Catalogue,
    pub(super) catalogue_pages: Vec<u64>,
    pub(super) overlay: Overlay,
    /// The same for the free map: extent and whether it is used.
    pub(super) free_overlay: BTreeMap<u32, bool>,
    pub(super) next: Point,
    pub(super) marked: u64,
    pub(super) mark_slot: u64,
    pub(super) damaged: Vec<(LayerId, Corruption)>,
    /// The drive can only be read.
    pub(super) broken: Option<Corruption>,
}

pub(super) async fn recover(disk: &Disk, superblock: &Superblock) -> Result<Recovered, OpenError> {
    let (catalogue, catalogue_pages) = load_catalogue(disk, superblock).await?;
    let (marked, mark_slot) = mark::read(disk, superblock.uuid).await?;
    let drive = *superblock.uuid.as_bytes();
    let scan = scan::scan(disk, &superblock.geometry, drive, superblock.cut, marked).await?;
    let mut recovered = Recovered {
        catalogue,
        catalogue_pages,
        overlay: Overlay::new(),
        free_overlay: BTreeMap::new(),
        next: scan.next,
        marked,
        mark_slot,
        damaged: scan.damaged,
        broken: scan.broken,
    };
    for group in &scan.groups {
        recovered.apply(group)?;
    }
    Ok(recovered)
}

impl Recovered {
    fn apply(&mut self, group: &ParsedGroup) -> Result<(), Corruption> {
        for section in &group.sections {
            match section.kind {
                SectionKind::Layers => self.apply_layers(records(&section.bytes)?),
                SectionKind::Volumes => self.apply_volumes(records(&section.bytes)?),
                SectionKind::Map => self.apply_map(section)?,
                SectionKind::Freed => self.apply_freed(section)?,
                SectionKind::Attachments => self.apply_attachments(&section.bytes)?,
            }
        }
        self.catalogue.used_extents = group.header.used_extents.get();
        Ok(())
    }

    fn apply_layers(&mut self, records: &[LayerRecord]) {
        for record in records {
            let known = self.catalogue.layers.iter_mut().find(|(layer, _)| layer.id() == record.id());
            match known {
                Some((layer, _)) => layer.parent = record.parent,
                None => self.catalogue.layers.push((*record, Vec::new())),
            }
            self.catalogue.next_layer = self.catalogue.next_layer.max(record.id().0 + 1);
        }
    }

    fn apply_volumes(&mut self, records: &[VolumeRecord]) {
        for record in records {
            self.catalogue.volumes.retain(|volume| volume.name() != record.name());
            if matches!(record.standing(), Some(Standing::Gone | Standing::Moved)) {
                self.catalogue.attachments.retain(|attachment| attachment.volume != record.name());
            }
            if !record.is_gone() {
                self.catalogue.volumes.push(*record);
            }
        }
    }

    fn apply_attachments(&mut self, mut bytes: &[u8]) -> Result<(), Corruption> {
        while !bytes.is_empty() {
            let attachment = Attachment::take(&mut bytes).ok_or(Corruption::Catalogue)?;
            self.catalogue.attachments.retain(|other| other.volume != attachment.volume);
            if !attachment.bytes.is_empty() {
                self.catalogue.attachments.push(attachment);
            }
        }
        Ok(())
    }

    fn apply_map(&mut self, section: &Section) -> Result<(), Corruption> {
        self.set_layer_extents(section)?;
        for record in records::<MapRecord>(&section.bytes)? {
            let logical = LogicalExtent(record.logical.get());
            let entry = Entry(record.entry.get());
            let page = self.overlay.entry((section.layer, logical.leaf())).or_default();
            page.insert(logical.index() as u16, entry);
            if let Some(extent) = entry.extent() {
                self.free_overlay.insert(extent.0, true);
            }
        }
        Ok(())
    }

    fn apply_freed(&mut self, section: &Section) -> Result<(), Corruption> {
        self.set_layer_extents(section)?;
        for extent in records::<U32>(&section.bytes)? {
            self.free_overlay.insert(extent.get(), false);
        }
        Ok(())
    }

    fn set_layer_extents(&mut self, section: &Section) -> Result<(), Corruption> {
        let layer = self.catalogue.layers.iter_mut().find(|(layer, _)| layer.id() == section.layer);
        let (layer, _) = layer.ok_or(Corruption::UnknownLayer(section.layer.0))?;
        layer.extents.set(section.layer_extents);
        Ok(())
    }
}

fn records<T: FromBytes + Immutable + KnownLayout>(bytes: &[u8]) -> Result<&[T], Corruption>
where
    [T]: FromBytes,
{
    <[T]>::ref_from_bytes(bytes).map_err(|_| Corruption::Catalogue)
}

async fn load_catalogue(disk: &Disk, superblock: &Superblock) -> Result<(Catalogue, Vec<u64>), OpenError> {
    if superblock.catalogue_bytes == 0 {
        let empty = Catalogue { next_layer: 1, ..Catalogue::default() };
        return Ok((empty, Vec::new()));
    }
    let count = superblock.catalogue_bytes.div_ceil(PAGE_BYTES as u64) as usize;
    let mut addresses = Vec::new();
    let mut children = Vec::new();
    for (number, child) in (0..).zip(&superblock.catalogue) {
        if *child == Child::None {
            break;
        }
        let page = read_page(disk, superblock, 1, number, *child, &mut addresses).await?;
        let pointers = records::<ChildPointer>(&page)?;
        children.extend(pointers.iter().map(|pointer| pointer.read()));
    }
    let mut bytes = Vec::new();
    for (number, child) in (0..).zip(children.iter().take(count)) {
        let child = child.ok_or(Corruption::Catalogue)?;
        bytes.extend_from_slice(&read_page(disk, superblock, 0, number, child, &mut addresses).await?);
    }
    bytes.truncate(superblock.catalogue_bytes as usize);
    let catalogue = Catalogue::parse(&bytes).ok_or(Corruption::Catalogue)?;
    Ok((catalogue, addresses))
}

async fn read_page(
    disk: &Disk,
    superblock: &Superblock,
    level: u8,
    number: u32,
    child: Child,
    addresses: &mut Vec<u64>,
) -> Result<Buf, OpenError> {
    let id = PageId { layer: CATALOGUE, level, number };
    let Child::Page { address_bytes, crc, sequence } = child else {
        return Err(Corruption::Catalogue.into());
    };
    if address_bytes + BLOCK_BYTES > superblock.geometry.size_bytes {
        return Err(Corruption::Catalogue.into());
    }
    let (page, result) = disk.read(Buf::alloc(PAGE_BYTES).await, address_bytes).await;
    result?;
    if page_crc(id, sequence, &page) != crc {
        return Err(Corruption::Page { layer: id.layer.0, level, page: number }.into());
    }
    addresses.push(address_bytes);
    Ok(page)
}
