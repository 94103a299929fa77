//! Checkpoints (E4, E9): map pages, free map and catalogue go to new places, a superblock makes them the truth, the
//! journal is cut.
//!
//! 1. All at one instant: the cut (the next group's place), the set of dirty pages, the free map's changed pages,
//!    counters and volumes as the groups before the cut left them.
//! 2. Pages are copied and written as they are by then, which may be newer than the cut: records are absolute, so
//!    replaying them from the cut on gives the right end.
//! 3. A grace period and a barrier: every change that a copy may hold is in a written group. A flush with its mark:
//!    all of that, the data behind it and the pages are durable.
//! 4. The superblock, unless somebody else wrote one meanwhile. Only then are the cut moved and the old pages given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use zerocopy::IntoBytes;

use super::{
    attachment::Attachment,
    catalogue::{Catalogue, LayerRecord, VolumeRecord},
    drive::DriveShared,
    error::{Corruption, EngineError},
    format::{
        CATALOGUE, Child, ChildPointer, ENTRIES_PER_PAGE, FANOUT, FREE_MAP, LayerId, PAGE_BYTES, PageId,
    },
    journal::Point,
    layer::Layer,
    map::Entry,
    page_writer::PageWriter,
    paging::Purpose,
    superblock::{CATALOGUE_ROOTS, Superblock},
    sync::lock,
    tree::{Slot, Tree, lower_of, upper_of},
};

/// Runs on the home core.
pub(super) async fn run(drive: Arc<DriveShared>) {
    loop {
        let round = drive.checkpoints.begin().await;
        if drive.check_writable().is_ok()
            && let Err(error) = drive.checkpoint().await
        {
            drive.fail_by("checkpoint", &error);
        }
        drive.checkpoints.end(round);
        // Much was written since the last one: layers may hide more of what is below.
        drive.reclaims.ask();
    }
}

/// The instant of step 1.
struct Instant {
    cut: Point,
    pages: BTreeSet<(LayerId, u32)>,
    bitmaps: Vec<(u32, Vec<u8>)>,
    layers: Vec<(Arc<Layer>, LayerRecord)>,
    volumes: Vec<VolumeRecord>,
    attachments: Vec<Attachment>,
    /// Layers that own nothing any more and that nothing refers to; this checkpoint leaves them out.
    gone: Vec<Arc<Layer>>,
    next_layer: u32,
    used_extents: u64,
    charged_pages: u64,
}

/// New children of one tree, by level and number.
type Changes = [BTreeMap<u32, Child>; 3];

impl DriveShared {
    async fn checkpoint(&self) -> Result<(), EngineError> {
        self.load_waiting().await?;
        self.provide_pages().await?;
        let instant = self.take_instant();
        let sequence = lock(&self.superblock).sequence + 1;
        let mut writer = PageWriter::new(self, sequence as u32).await;
        let mut changes: BTreeMap<LayerId, Changes> = BTreeMap::new();
        for &(id, leaf) in &instant.pages {
            let child = self.write_leaf(&mut writer, id, leaf).await?;
            changes.entry(id).or_default()[0].insert(leaf, child);
        }
        for (page, bytes) in &instant.bitmaps {
            let id = PageId { layer: FREE_MAP, level: 0, number: *page };
            let child = writer.write(id, bytes).await?;
            changes.entry(FREE_MAP).or_default()[0].insert(*page, child);
        }
        for (id, changes) in &mut changes {
            match instant.layer(*id) {
                Some(layer) => write_index(&mut writer, &layer.tree, changes).await?,
                None => write_index(&mut writer, &self.free_tree, changes).await?,
            }
        }
        let released = self.released_pages(&instant, &changes);
        let superblock = self.write_catalogue(&mut writer, &instant, &changes, &released, sequence).await?;
        let catalogue_pages = writer.finish().await?;

        self.grace.period().await;
        self.journal.barrier().await?;
        self.flush().await?;
        let previous = lock(&self.superblock).clone();
        if !previous.is_newest(&self.disk).await? {
            return Err(Corruption::Superblock.into());
        }
        superblock.write(&self.disk).await?;
        self.publish(instant, changes, released, superblock, catalogue_pages);
        Ok(())
    }

    /// Brings in the pages that recovery left waiting: they are dirty.
    async fn load_waiting(&self) -> Result<(), EngineError> {
        loop {
            let Some(page @ (id, leaf)) = lock(&self.overlay).keys().next().copied() else { break };
            let layer = lock(&self.layers).get(&id).cloned().expect("the overlay names known layers");
            match self.page_in(&layer, leaf, Purpose::Checkpoint).await {
                Ok(()) => {}
                // The page is lost, its volume read-only; the others' checkpoint goes on.
                Err(EngineError::Corruption(_)) => {
                    lock(&self.overlay).remove(&page);
                    lock(&self.dirty).remove(&page);
                }
                Err(error) => return Err(error),
            }
        }
        loop {
            let Some(page) = lock(&self.free).waiting_page() else { return Ok(()) };
            self.load_bitmap(page).await?;
        }
    }

    /// Sees to it that there are free metadata pages for all that this checkpoint will write.
    async fn provide_pages(&self) -> Result<(), EngineError> {
        loop {
            let needed = self.pages_needed();
            if lock(&self.metadata).free_pages() >= needed {
                return Ok(());
            }
            let extent = self.find_metadata_extent().await?;
            lock(&self.free).set_metadata(extent);
            lock(&self.metadata).add_extent(extent);
        }
    }

    fn pages_needed(&self) -> u64 {
        let dirty = lock(&self.dirty).clone();
        let bitmaps: Vec<_> = lock(&self.free).dirty_pages().map(|page| (FREE_MAP, page)).collect();
        let leaves: BTreeSet<_> = dirty.into_iter().chain(bitmaps).collect();
        let lowers: BTreeSet<_> = leaves.iter().map(|&(id, leaf)| (id, lower_of(leaf))).collect();
        let uppers: BTreeSet<_> = lowers.iter().map(|&(id, lower)| (id, upper_of(lower))).collect();
        let catalogue = self.next_catalogue_bytes(uppers.len()).div_ceil(PAGE_BYTES);
        let index = catalogue.div_ceil(FANOUT);
        (leaves.len() + lowers.len() + uppers.len() + catalogue + index) as u64
    }

    /// An upper bound of the next catalogue's length, if so many roots may be new.
    fn next_catalogue_bytes(&self, new_roots: usize) -> usize {
        let layers: Vec<_> = lock(&self.layers).values().cloned().collect();
        let roots: usize = layers.iter().map(|layer| used_roots(&layer.tree)).sum();
        let records = layers.len() + lock(&self.volumes).len() + lock(&self.moved).len();
        let metadata = lock(&self.metadata).extent_count() as usize + 1;
        let attachments: usize = self.attachments().iter().map(Attachment::encoded_len).sum();
        // A page for the header and the free map's layer, two for attachments that other cores change just now;
        // 64 bytes are the longest record.
        3 * PAGE_BYTES + records * 64 + (roots + new_roots) * 16 + metadata * 8 + attachments
    }

    /// Those that are there.
    fn attachments(&self) -> Vec<Attachment> {
        let volumes = lock(&self.volumes);
        let all = volumes.values().map(|volume| {
            let bytes = lock(&volume.attachment).clone();
            Attachment { volume: volume.name, bytes }
        });
        all.filter(|attachment| !attachment.bytes.is_empty()).collect()
    }

    /// Step 1. Nothing here waits, so nothing else of the home core runs in between, the journal builder above all.
    fn take_instant(&self) -> Instant {
        let cut = self.journal.next_point();
        let moved = lock(&self.moved).clone();
        let mut volumes: Vec<_> = lock(&self.volumes).values().map(|volume| *lock(&volume.record)).collect();
        // While a move is decided, both are there.
        volumes.retain(|record| !moved.contains_key(&record.name()));
        volumes.extend(moved.into_values());
        let is_gone = |layer: &Layer| lock(&layer.emptied_at).is_some_and(|at| at < cut.sequence);
        let (gone, staying): (Vec<_>, Vec<_>) =
            lock(&self.layers).values().cloned().partition(|layer| is_gone(layer));
        let mut pages = std::mem::take(&mut *lock(&self.dirty));
        pages.retain(|(id, _)| gone.iter().all(|layer| layer.id != *id));
        lock(&self.writing).clone_from(&pages);
        let (bitmaps, used_extents) = {
            let mut free = lock(&self.free);
            (free.take_dirty(), free.used_extents())
        };
        Instant {
            cut,
            pages,
            bitmaps,
            layers: staying.into_iter().map(|layer| (layer.clone(), layer.record())).collect(),
            volumes,
            attachments: self.attachments(),
            gone,
            next_layer: self.next_layer.load(Ordering::Relaxed),
            used_extents,
            charged_pages: lock(&self.metadata).charged_pages(),
        }
    }

    async fn write_leaf(
        &self,
        writer: &mut PageWriter<'_>,
        id: LayerId,
        leaf: u32,
    ) -> Result<Child, EngineError> {
        let layer = lock(&self.layers).get(&id).cloned().expect("dirty pages are of known layers");
        let slot = layer.tree.slot(leaf).expect("dirty pages have loaded nodes");
        let (Slot::Resident(frame) | Slot::Evicting(frame)) = slot.load() else {
            unreachable!("dirty pages are resident");
        };
        let mut page = [0; PAGE_BYTES];
        self.frames.entries(frame).copy_to(&mut page);
        // Nothing else of the home core ran since it was copied, a merge above all.
        let first = u64::from(leaf) * ENTRIES_PER_PAGE as u64;
        let merged = layer.merged_before().saturating_sub(first).min(ENTRIES_PER_PAGE as u64) as usize;
        page[..merged * size_of::<Entry>()].fill(0);
        let all = |entry: Entry| page.chunks_exact(8).all(|word| word == entry.0.to_le_bytes());
        if all(Entry::ABSENT) {
            return Ok(Child::None);
        }
        if all(Entry::ZERO) {
            return Ok(Child::AllZero);
        }
        writer.write(PageId { layer: id, level: 0, number: leaf }, &page).await
    }

    /// Pages of the present checkpoint that the new one has no use for.
    fn released_pages(&self, instant: &Instant, changes: &BTreeMap<LayerId, Changes>) -> Vec<u64> {
        let mut released = lock(&self.catalogue_pages).clone();
        for (id, changes) in changes {
            let layer = instant.layer(*id);
            let tree = layer.map_or(&self.free_tree, |layer| &layer.tree);
            for (level, changes) in (0..).zip(changes) {
                let old = changes.keys().filter_map(|&number| address(tree.child(level, number)?));
                released.extend(old);
            }
        }
        for layer in &instant.gone {
            released.extend(layer.tree.children().into_iter().filter_map(address));
        }
        released
    }

    async fn write_catalogue(
        &self,
        writer: &mut PageWriter<'_>,
        instant: &Instant,
        changes: &BTreeMap<LayerId, Changes>,
        released: &[u64],
        sequence: u64,
    ) -> Result<Superblock, EngineError> {
        let roots = |id: LayerId, tree: &Tree| {
            let mut roots = lock(&tree.roots).clone();
            for (&number, &child) in changes.get(&id).into_iter().flat_map(|changes| &changes[2]) {
                roots[number as usize] = child;
            }
            roots
        };
        let free_map = (LayerRecord::new(FREE_MAP, None, 0), roots(FREE_MAP, &self.free_tree));
        let layers = instant.layers.iter().map(|(layer, record)| (*record, roots(layer.id, &layer.tree)));
        let catalogue = Catalogue {
            next_layer: instant.next_layer,
            used_extents: instant.used_extents,
            layers: std::iter::once(free_map).chain(layers).collect(),
            volumes: instant.volumes.clone(),
            metadata: lock(&self.metadata).tree_usage(released),
            attachments: instant.attachments.clone(),
        };
        // Trees have their pages by now; those that the catalogue itself takes are not listed in it.
        let bytes = catalogue.encode();
        let mut pages = Vec::new();
        for (number, part) in (0..).zip(bytes.chunks(PAGE_BYTES)) {
            pages.push(writer.write(PageId { layer: CATALOGUE, level: 0, number }, part).await?);
        }
        let mut index = Vec::new();
        for (number, part) in (0..).zip(pages.chunks(FANOUT)) {
            let pointers: Vec<_> = part.iter().map(|child| ChildPointer::from(*child)).collect();
            let id = PageId { layer: CATALOGUE, level: 1, number };
            index.push(writer.write(id, pointers.as_slice().as_bytes()).await?);
        }
        if index.len() > CATALOGUE_ROOTS {
            return Err(EngineError::Invalid("the catalogue has outgrown its format".into()));
        }
        let old = lock(&self.superblock).clone();
        index.resize(CATALOGUE_ROOTS, Child::None);
        Ok(Superblock {
            sequence,
            geometry: lock(&self.growing).unwrap_or(old.geometry),
            cut: instant.cut,
            catalogue_bytes: bytes.len() as u64,
            catalogue: index,
            ..old
        })
    }

    /// Step 4, after the superblock.
    fn publish(
        &self,
        instant: Instant,
        changes: BTreeMap<LayerId, Changes>,
        released: Vec<u64>,
        superblock: Superblock,
        catalogue_pages: Vec<u64>,
    ) {
        for (id, changes) in &changes {
            let layer = instant.layer(*id);
            let tree = layer.map_or(&self.free_tree, |layer| &layer.tree);
            for (level, changes) in (0..).zip(changes) {
                for (&number, &child) in changes {
                    tree.set_child(level, number, child);
                }
            }
        }
        let mut metadata = lock(&self.metadata);
        for address in released {
            metadata.release_page(address);
        }
        metadata.settle(catalogue_pages.len() as u64, instant.charged_pages);
        drop(metadata);
        for layer in &instant.gone {
            lock(&self.layers).remove(&layer.id);
        }
        *lock(&self.catalogue_pages) = catalogue_pages;
        self.journal.cut_at(instant.cut);
        *lock(&self.superblock) = superblock;
        lock(&self.writing).clear();
    }
}

impl Instant {
    fn layer(&self, id: LayerId) -> Option<&Layer> {
        self.layers.iter().map(|(layer, _)| &**layer).find(|layer| layer.id == id)
    }
}

/// Writes the index pages above changed leaves.
async fn write_index(
    writer: &mut PageWriter<'_>,
    tree: &Tree,
    changes: &mut Changes,
) -> Result<(), EngineError> {
    for level in [1, 2] {
        let below = changes[level - 1].clone();
        let parents: BTreeSet<u32> = below.keys().map(|number| number / FANOUT as u32).collect();
        for parent in parents {
            let mut children =
                tree.children_of(level as u8, parent).expect("changed pages have loaded nodes");
            let first = parent * FANOUT as u32;
            for (&number, &child) in below.range(first..first + FANOUT as u32) {
                children[(number - first) as usize] = child;
            }
            let child = if children.iter().all(|child| *child == Child::None) {
                Child::None
            } else {
                let pointers: Vec<_> = children.iter().map(|child| ChildPointer::from(*child)).collect();
                let id = PageId { layer: tree.layer, level: level as u8, number: parent };
                writer.write(id, pointers.as_slice().as_bytes()).await?
            };
            changes[level].insert(parent, child);
        }
    }
    Ok(())
}

fn address(child: Child) -> Option<u64> {
    match child {
        Child::Page { address_bytes, .. } => Some(address_bytes),
        Child::None | Child::AllZero => None,
    }
}

fn used_roots(tree: &Tree) -> usize {
    lock(&tree.roots).iter().filter(|child| **child != Child::None).count()
}
