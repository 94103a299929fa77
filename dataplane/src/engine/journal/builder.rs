//! The builder: turns notes into groups. The only writer of the journal, of the free map's used bits and of the
//! recorded counters, so that these always agree with one another and with the last sequence built.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use zerocopy::{IntoBytes, little_endian::U32};

use super::{
    Note, Queue, Records, What,
    group::{self, GROUP_MAX_BYTES, MapRecord, Section, SectionKind},
};
use crate::{
    engine::{
        attachment::Attachment,
        drive::{DriveShared, Fault},
        error::EngineError,
        format::{FREE_MAP, LayerId},
        free_map::page_of,
        map::{Entry, Extent, LogicalExtent},
        sync::lock,
    },
    rt::{self, Buf, Durability},
};

/// Bounds of one group, far below [`GROUP_MAX_BYTES`] together.
const ITEMS_PER_GROUP: usize = 2048;
const LAYERS_PER_GROUP: usize = 128;
/// How late a cheating builder is.
const LATE: Duration = Duration::from_millis(500);
/// Volume and layer records of one group, if no unit has more.
const RECORDS_PER_GROUP: usize = 256;

/// One change to be recorded, its value copied.
#[derive(Debug, Clone)]
struct Item {
    note: Note,
    /// The entry to be recorded; meaningless where an extent was freed.
    entry: Entry,
}

impl Item {
    /// Items of one unit belong into the same group: a crash must not part an entry from its extent.
    fn unit(&self) -> (LayerId, LogicalExtent) {
        (self.note.unit, self.note.logical)
    }

    /// Orders the items of a group by section. A layer's entry comes before what it let go of.
    fn place(&self) -> (LayerId, LogicalExtent, bool) {
        (self.note.layer.id, self.note.logical, self.is_freed())
    }

    fn is_freed(&self) -> bool {
        matches!(self.note.what, What::Freed(_))
    }

    /// Extents whose bits in the free map change.
    fn extent(&self) -> Option<Extent> {
        match self.note.what {
            What::Changed | What::Merged { .. } => self.entry.extent(),
            What::Freed(extent) => Some(extent),
        }
    }
}

/// Runs on the home core until the journal fails.
pub(in crate::engine) async fn run(drive: Arc<DriveShared>) {
    let journal = &drive.journal;
    // Held for good: the writers that wait for a group must not be able to take its memory.
    let mut buf = Buf::alloc(GROUP_MAX_BYTES).await;
    while !journal.has_failed() {
        if drive.fault == Some(Fault::EarlyAnswer) {
            rt::sleep(LATE).await;
        }
        let (notes, items) = drive.next_batch().await;
        let batch = notes.batch;
        let changes = items.iter().filter(|item| !item.is_freed()).count() as u64;
        let outcome;
        (buf, outcome) = drive.write_batch(notes, items, buf).await;
        match outcome {
            Ok(()) => {
                journal.written_batch.store(batch, Ordering::Release);
                journal.written.raise();
                journal.take_back(changes);
                // Dirty pages cannot be evicted: clean half of the frames in time.
                if lock(&drive.dirty).len() > drive.frames.total() / 2 {
                    drive.checkpoints.nudge();
                }
            }
            Err(error) => drive.fail_by("writing the journal", &error),
        }
    }
}

impl DriveShared {
    /// Waits for notes, takes them and copies the values of the entries they name.
    async fn next_batch(&self) -> (Queue, Vec<Item>) {
        self.journal
            .noted
            .wait_until(|| {
                let mut queue = lock(&self.journal.queue);
                if queue.is_empty() {
                    return None;
                }
                let mut notes = queue.take();
                let items = self.copy_values(&mut notes);
                // Only now may another entry be parted from its extent.
                drop(queue);
                Some((notes, items))
            })
            .await
    }

    fn copy_values(&self, notes: &mut Queue) -> Vec<Item> {
        let item = |note: Note| {
            let entry = match note.what {
                What::Changed => {
                    let cell = self.cell(&note.layer, note.logical);
                    cell.expect("pages with unrecorded changes are not evicted").load()
                }
                What::Merged { .. } | What::Freed(_) => Entry::ABSENT,
            };
            Item { note, entry }
        };
        notes.notes.drain(..).map(item).collect()
    }

    async fn write_batch(
        &self,
        notes: Queue,
        mut items: Vec<Item>,
        mut buf: Buf,
    ) -> (Buf, Result<(), EngineError>) {
        items.sort_by_key(|item| (item.unit(), item.place()));
        // An entry that changed twice has one value.
        items.dedup_by(|a, b| a.place() == b.place() && !a.is_freed());
        if let Err(error) = self.load_bitmaps(&items).await {
            return (buf, Err(error));
        }
        let mut records = record_sections(&notes.records);
        records.extend(notes.attachments.iter().map(|attachment| vec![attachment_section(attachment)]));
        let mut rest = items.as_mut_slice();
        for mut sections in records.into_iter().chain(std::iter::repeat_with(Vec::new)) {
            if sections.is_empty() && rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at_mut(group_end(rest));
            rest = later;
            // A group has one section per layer.
            now.sort_by_key(Item::place);
            sections.extend(self.apply(now));
            let result;
            (buf, result) = self.write_group(buf, sections).await;
            if result.is_err() {
                return (buf, result);
            }
        }
        (buf, Ok(()))
    }

    /// The free map's bits are about to change.
    async fn load_bitmaps(&self, items: &[Item]) -> Result<(), EngineError> {
        let extents = items.iter().filter_map(Item::extent);
        let pages: BTreeSet<u32> = extents.map(|extent| page_of(extent.0)).collect();
        for page in pages {
            self.load_bitmap(page).await?;
        }
        Ok(())
    }

    /// Carries the changes over into free map, counters and dirty pages, and writes down their sections. Nothing
    /// else of the home core runs in between, nor before the group has its sequence.
    fn apply(&self, items: &[Item]) -> Vec<Section> {
        let sequence = self.journal.next_point().sequence;
        let mut free = lock(&self.free);
        let mut dirty = lock(&self.dirty);
        let mut unusable = lock(&self.unusable);
        let mut sections = Vec::new();
        // Both layers' counters are in the same group.
        for note in items.iter().map(|item| &item.note) {
            if let What::Merged { extent_to: Some(child) } = &note.what {
                note.layer.recorded_extents.fetch_sub(1, Ordering::Relaxed);
                child.recorded_extents.fetch_add(1, Ordering::Relaxed);
            }
        }
        for items in items.chunk_by(|a, b| a.note.layer.id == b.note.layer.id) {
            let layer = &items[0].note.layer;
            let (mut map, mut freed) = (Vec::new(), Vec::new());
            for item in items {
                let logical = item.note.logical;
                if let What::Freed(extent) = item.note.what {
                    if free.set_freed(extent) {
                        layer.recorded_extents.fetch_sub(1, Ordering::Relaxed);
                    }
                    unusable.push((sequence, extent));
                    freed.extend_from_slice(U32::new(extent.0).as_bytes());
                } else {
                    if item.entry.extent().is_some_and(|extent| free.set_used(extent)) {
                        layer.recorded_extents.fetch_add(1, Ordering::Relaxed);
                    }
                    dirty.insert((layer.id, logical.leaf()));
                    map.extend_from_slice(MapRecord::new(logical.0, item.entry.0).as_bytes());
                }
            }
            layer.set_recorded_at(sequence);
            let layer_extents = layer.recorded_extents.load(Ordering::Relaxed);
            let sides = [(SectionKind::Map, map), (SectionKind::Freed, freed)];
            sections.extend(
                sides.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(kind, bytes)| Section {
                    kind,
                    layer: layer.id,
                    layer_extents,
                    bytes,
                }),
            );
        }
        sections
    }

    /// Writes one group (no flush).
    async fn write_group(&self, mut buf: Buf, sections: Vec<Section>) -> (Buf, Result<(), EngineError>) {
        let journal = &self.journal;
        let payload = sections.iter().map(|section| section.bytes.len()).sum();
        let length = group::encoded_len(sections.len(), payload);
        let placed = lock(&journal.ring).place(journal.drive, length);
        let (place, offset) = placed.expect("what was admitted fits");
        let used = lock(&self.free).used_extents();
        let crc = group::encode(&mut buf, place, journal.boot, used, &sections);
        lock(&journal.ring).advance(place, length, crc);
        let part = buf.split_to(length);
        let (part, result) = self.disk.write(part, offset, Durability::Cached).await;
        let buf = Buf::unsplit(part, buf);
        if result.is_ok() {
            journal.written_sequence.store(place.sequence, Ordering::Release);
        }
        (buf, result.map_err(EngineError::Disk))
    }
}

/// Volume and layer records, cut into what fits a group; what belongs together is not parted.
fn record_sections(records: &[Records]) -> Vec<Vec<Section>> {
    let mut groups = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let mut count = 0;
        let fits = rest.iter().take_while(|unit| {
            count += unit.layers.len() + unit.volumes.len();
            count <= RECORDS_PER_GROUP
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        rest = later;
        let layers: Vec<u8> =
            now.iter().flat_map(|unit| unit.layers.as_slice().as_bytes()).copied().collect();
        let volumes: Vec<u8> =
            now.iter().flat_map(|unit| unit.volumes.as_slice().as_bytes()).copied().collect();
        // A volume's layer is known before the volume.
        let both = [(SectionKind::Layers, layers), (SectionKind::Volumes, volumes)];
        let section = |(kind, bytes)| Section { kind, layer: FREE_MAP, layer_extents: 0, bytes };
        groups.push(both.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(section).collect());
    }
    groups
}

/// An attachment has a group to itself.
fn attachment_section(attachment: &Attachment) -> Section {
    let mut bytes = Vec::new();
    attachment.encode(&mut bytes);
    Section { kind: SectionKind::Attachments, layer: FREE_MAP, layer_extents: 0, bytes }
}

/// How many of the first items fit a group together; those of one unit are not parted.
fn group_end(items: &[Item]) -> usize {
    let mut layers = 0;
    let mut end = 0;
    for same in items.chunk_by(|a, b| a.unit() == b.unit()) {
        if end == 0 || items[end - 1].note.unit != same[0].note.unit {
            // The one that gives the unit its name, and one that is merged into it.
            layers += 2;
        }
        if end > 0 && (end + same.len() > ITEMS_PER_GROUP || layers > LAYERS_PER_GROUP) {
            break;
        }
        end += same.len();
    }
    end
}
