//! The journal (E2, E4): what changed in the maps since the last checkpoint.
//!
//! Whoever changed an entry leaves a note here and waits for its batch. One builder per drive, on the home core,
//! takes all notes at once, copies the entries' present values and writes them as groups, one after the other.

pub(super) mod builder;
pub(super) mod group;
pub(super) mod mark;
pub(super) mod scan;

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use self::group::Place;
use super::{
    attachment::Attachment,
    catalogue::{LayerRecord, VolumeRecord},
    error::EngineError,
    format::{Geometry, LayerId, PAGE_BYTES},
    layer::Layer,
    map::{Extent, LogicalExtent},
    sync::{Signal, lock},
};

#[derive(Debug)]
pub(super) struct Journal {
    drive: [u8; 16],
    boot: [u8; 16],
    queue: Mutex<Queue>,
    /// There are notes.
    noted: Signal,
    /// A batch was written, or never will be.
    written: Signal,
    written_batch: AtomicU64,
    failed: AtomicBool,
    written_sequence: AtomicU64,
    marked_sequence: AtomicU64,
    ring: Mutex<Ring>,
    /// Changes that were admitted and are not written yet.
    admitted: AtomicU64,
    admitted_max: u64,
    /// There is room: a checkpoint cut the ring, or a batch was written.
    room: Signal,
}

/// Notes that no batch has taken yet.
#[derive(Debug, Default)]
pub(super) struct Queue {
    notes: Vec<Note>,
    records: Vec<Records>,
    attachments: Vec<Attachment>,
    batch: u64,
}

/// What happened to an entry.
#[derive(Debug, Clone)]
struct Note {
    /// Notes of one layer's name and logical extent belong into the same group: a crash must not part them.
    unit: LayerId,
    layer: Arc<Layer>,
    logical: LogicalExtent,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// It changed; the record says what it is when the batch is made.
    Changed,
    /// It went into the layer above: the record says absent, whatever memory shows. Its extent may have gone along.
    Merged { extent_to: Option<Arc<Layer>> },
    /// It let go of this extent.
    Freed(Extent),
}

/// Layer and volume records that count together or not at all.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) layers: Vec<LayerRecord>,
    pub(super) volumes: Vec<VolumeRecord>,
}

/// A sixteenth of the ring is kept for changes that were admitted when the limit was nearly reached.
const ADMITTED_SHARE: u64 = 16;

/// Leave to make one change. Used up by its note, or given back on drop.
#[derive(Debug)]
pub(super) struct Admission<'a> {
    journal: &'a Journal,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.journal.take_back(1);
    }
}

/// The batch that a note travels with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// A place between groups: where the next one begins and what it must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) position_bytes: u64,
    pub(super) sequence: u64,
    pub(super) previous_crc: u32,
}

/// The ring on the drive: groups from `cut` to `next` count.
#[derive(Debug)]
struct Ring {
    offset_bytes: u64,
    size_bytes: u64,
    cut: Point,
    next: Point,
}

impl Journal {
    /// A journal whose groups from `cut` to `next` are in use; all of them are under a mark or have been replayed.
    pub(super) fn new(
        drive: [u8; 16],
        boot: [u8; 16],
        geometry: &Geometry,
        cut: Point,
        next: Point,
        marked: u64,
    ) -> Self {
        Self {
            drive,
            boot,
            queue: Mutex::new(Queue { batch: 1, ..Queue::default() }),
            noted: Signal::default(),
            written: Signal::default(),
            written_batch: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            written_sequence: AtomicU64::new(next.sequence - 1),
            marked_sequence: AtomicU64::new(marked),
            ring: Mutex::new(Ring {
                offset_bytes: geometry.journal_offset_bytes(),
                size_bytes: geometry.journal_bytes(),
                cut,
                next,
            }),
            admitted: AtomicU64::new(0),
            // A change that travels alone takes a whole page.
            admitted_max: geometry.journal_bytes() / ADMITTED_SHARE / PAGE_BYTES as u64,
            room: Signal::default(),
        }
    }

    /// Opens the note book. While it is held no batch copies any value: a change that frees an extent is made under
    /// it, so that no group can show the entry without its extent but miss that the extent was freed.
    pub(super) fn book(&self) -> NoteBook<'_> {
        NoteBook { journal: self, queue: lock(&self.queue) }
    }

    /// Notes that an entry changed.
    pub(super) fn note(
        &self,
        layer: &Arc<Layer>,
        logical: LogicalExtent,
        admission: Admission<'_>,
    ) -> Ticket {
        let mut book = self.book();
        book.changed(layer, logical, admission);
        book.close()
    }

    /// Waits until the groups of that batch have been written (not flushed).
    pub(super) async fn written(&self, ticket: Ticket) -> Result<(), EngineError> {
        self.written
            .wait_until(|| {
                if self.written_batch.load(Ordering::Acquire) >= ticket.0 {
                    return Some(Ok(()));
                }
                self.failed.load(Ordering::Acquire).then_some(Err(EngineError::ReadOnly))
            })
            .await
    }

    /// Waits until all notes left so far have been written.
    pub(super) async fn barrier(&self) -> Result<(), EngineError> {
        let ticket = {
            let queue = lock(&self.queue);
            // With nothing in the queue the last batch may still be under way.
            Ticket(if queue.is_empty() { queue.batch - 1 } else { queue.batch })
        };
        self.written(ticket).await
    }

    pub(super) fn written_sequence(&self) -> u64 {
        self.written_sequence.load(Ordering::Acquire)
    }

    pub(super) fn marked_sequence(&self) -> u64 {
        self.marked_sequence.load(Ordering::Acquire)
    }

    /// Whether a power cut now would drop groups.
    pub(super) fn is_unmarked(&self) -> bool {
        self.written_sequence() > self.marked_sequence()
    }

    /// A flush mark that names `sequence` is durable.
    pub(super) fn set_marked(&self, sequence: u64) {
        self.marked_sequence.store(sequence, Ordering::Release);
    }

    /// Nothing will be written any more; all who wait are told.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.written.raise();
        self.room.raise();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Where a checkpoint that begins now will cut.
    pub(super) fn next_point(&self) -> Point {
        lock(&self.ring).next
    }

    /// Gives up the groups before `point`.
    pub(super) fn cut_at(&self, point: Point) {
        lock(&self.ring).cut = point;
        self.room.raise();
    }

    /// How full the ring is, in sixteenths.
    pub(super) fn fill_sixteenths(&self) -> u64 {
        let (used_bytes, size_bytes) = self.fill_bytes();
        used_bytes * 16 / size_bytes
    }

    /// What of the ring is in use, and all of it.
    pub(super) fn fill_bytes(&self) -> (u64, u64) {
        let ring = lock(&self.ring);
        (ring.next.position_bytes - ring.cut.position_bytes, ring.size_bytes)
    }

    /// Leave for one change, if the ring is filled to less than so many sixteenths. What is admitted always fits, so
    /// the builder never finds the ring full.
    pub(super) fn try_admit(&self, sixteenths: u64) -> Option<Admission<'_>> {
        if self.fill_sixteenths() >= sixteenths {
            return None;
        }
        let one_more = |admitted| (admitted < self.admitted_max).then_some(admitted + 1);
        self.admitted.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Admission { journal: self })
    }

    /// Waits for that leave. Whenever the ring is too full, `ask_for_room` is called. Never within an operation: room
    /// comes from checkpoints, which wait for those.
    pub(super) async fn admit(
        &self,
        sixteenths: u64,
        ask_for_room: impl Fn(),
    ) -> Result<Admission<'_>, EngineError> {
        self.room
            .wait_until(|| {
                if self.has_failed() {
                    return Some(Err(EngineError::ReadOnly));
                }
                let admission = self.try_admit(sixteenths);
                if admission.is_none() && self.fill_sixteenths() >= sixteenths {
                    ask_for_room();
                }
                admission.map(Ok)
            })
            .await
    }

    fn take_back(&self, admissions: u64) {
        let before = self.admitted.fetch_sub(admissions, Ordering::AcqRel);
        if before == self.admitted_max {
            self.room.raise();
        }
    }
}

/// What became of a merged entry's extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MergedExtent {
    None,
    GoesAlong,
    Freed(Extent),
}

/// The queue of notes, held.
#[derive(Debug)]
pub(super) struct NoteBook<'a> {
    journal: &'a Journal,
    queue: MutexGuard<'a, Queue>,
}

impl NoteBook<'_> {
    /// An entry changed.
    pub(super) fn changed(&mut self, layer: &Arc<Layer>, logical: LogicalExtent, admission: Admission<'_>) {
        self.note(layer.id, layer, logical, What::Changed, Some(admission));
    }

    /// An entry let go of an extent.
    pub(super) fn freed(&mut self, layer: &Arc<Layer>, logical: LogicalExtent, extent: Extent) {
        self.note(layer.id, layer, logical, What::Freed(extent), None);
    }

    /// An entry went from `layer` into `child`, which was noted as changed if it is: its extent was freed, or went
    /// along, or there was none.
    pub(super) fn merged(
        &mut self,
        layer: &Arc<Layer>,
        child: &Arc<Layer>,
        logical: LogicalExtent,
        extent: MergedExtent,
        admission: Admission<'_>,
    ) {
        let extent_to = (extent == MergedExtent::GoesAlong).then(|| child.clone());
        self.note(child.id, layer, logical, What::Merged { extent_to }, Some(admission));
        if let MergedExtent::Freed(extent) = extent {
            self.note(child.id, layer, logical, What::Freed(extent), None);
        }
    }

    fn note(
        &mut self,
        unit: LayerId,
        layer: &Arc<Layer>,
        logical: LogicalExtent,
        what: What,
        admission: Option<Admission<'_>>,
    ) {
        if let Some(admission) = admission {
            // The builder gives it back when the change is written.
            std::mem::forget(admission);
        }
        self.queue.notes.push(Note { unit, layer: layer.clone(), logical, what });
    }

    /// Layers and volumes came, changed or went, at one instant.
    pub(super) fn records(&mut self, records: Records) {
        self.queue.records.push(records);
    }

    /// A volume got another attachment.
    pub(super) fn attachment(&mut self, attachment: Attachment) {
        self.queue.attachments.push(attachment);
    }

    /// Hands the notes to the builder.
    pub(super) fn close(self) -> Ticket {
        let ticket = Ticket(self.queue.batch);
        let journal = self.journal;
        drop(self.queue);
        journal.noted.raise();
        ticket
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.records.is_empty() && self.attachments.is_empty()
    }

    /// Takes all notes; later ones belong to the next batch.
    fn take(&mut self) -> Self {
        let next = Self { batch: self.batch + 1, ..Self::default() };
        std::mem::replace(self, next)
    }
}

impl Ring {
    /// Room for a group at the end. Groups never wrap: one that does not fit before the end of the ring begins at
    /// its start. `None`: the ring is full.
    fn place(&mut self, drive: [u8; 16], length_bytes: usize) -> Option<(Place, u64)> {
        let length_bytes = length_bytes as u64;
        let mut position = self.next.position_bytes;
        let left = self.size_bytes - position % self.size_bytes;
        if length_bytes > left {
            position += left;
        }
        if position + length_bytes - self.cut.position_bytes > self.size_bytes {
            return None;
        }
        let place = Place {
            drive,
            sequence: self.next.sequence,
            position_bytes: position,
            previous_crc: self.next.previous_crc,
        };
        Some((place, self.offset_bytes + position % self.size_bytes))
    }

    fn advance(&mut self, place: Place, length_bytes: usize, crc: u32) {
        self.next = Point {
            position_bytes: place.position_bytes + length_bytes as u64,
            sequence: place.sequence + 1,
            previous_crc: crc,
        };
    }
}
