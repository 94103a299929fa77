//! A layer: one map from logical extents to entries. A volume is a writable head over frozen parents.

use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use super::{
    catalogue::LayerRecord,
    error::Corruption,
    format::{Child, ENTRIES_PER_PAGE, LayerId},
    map::{Entry, LogicalExtent},
    moving::Written,
    space::Account,
    sync::lock,
    tree::Tree,
    walk::first_leaf_behind,
};

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) id: LayerId,
    pub(super) tree: Tree,
    /// The older layer that answers where this one is silent; 0: none. Changed on the home core only.
    parent: AtomicU32,
    /// What it owns and, if it is a head, what its volume was promised.
    pub(super) account: Account,
    /// Extents that the journal's records give to this layer. Changed by the journal builder only.
    pub(super) recorded_extents: AtomicU64,
    /// Entries before this one have been handed to the layer above, or given up: by the records they are absent
    /// here. In memory they may stay, for reads that looked at the layer above before (E6).
    merged_before: AtomicU64,
    /// The last journal sequence that changed it. Set by the journal builder only.
    recorded_at: AtomicU64,
    /// Everything that the layers above hid at this sequence has been given back.
    thinned_at: AtomicU64,
    /// Somebody wanted to change an entry: there may be one.
    changed: AtomicBool,
    /// Nothing refers to it and it owns nothing since this journal sequence; the next checkpoint leaves it out.
    pub(super) emptied_at: Mutex<Option<u64>>,
    /// Nothing refers to it, and what it still owns cannot be found: its map is damaged.
    lost: AtomicBool,
    /// What was found wrong first; its volumes take no writes any more.
    damage: OnceLock<Corruption>,
    damaged: AtomicBool,
    /// It is being copied to another drive and stands still, but for what hosts write.
    moving: AtomicBool,
    /// What hosts wrote since a copy of it began.
    written: OnceLock<Written>,
}

impl Layer {
    /// A layer as a record describes it, with the pages that its roots lead to.
    pub(super) fn new(record: &LayerRecord, roots: Vec<Child>) -> Self {
        let extents = record.extents.get();
        Self {
            id: record.id(),
            changed: AtomicBool::new(extents > 0 || roots.iter().any(|child| *child != Child::None)),
            tree: Tree::new(record.id(), roots),
            parent: AtomicU32::new(record.parent.get()),
            account: Account::new(extents, 0),
            recorded_extents: AtomicU64::new(extents),
            merged_before: AtomicU64::new(0),
            // What was thinned before the drive was opened is not known.
            recorded_at: AtomicU64::new(1),
            thinned_at: AtomicU64::new(0),
            emptied_at: Mutex::new(None),
            lost: AtomicBool::new(false),
            damage: OnceLock::new(),
            damaged: AtomicBool::new(false),
            moving: AtomicBool::new(false),
            written: OnceLock::new(),
        }
    }

    /// A new layer that knows nothing yet.
    pub(super) fn empty(id: LayerId, parent: Option<LayerId>) -> Self {
        Self::new(&LayerRecord::new(id, parent, 0), Vec::new())
    }

    pub(super) fn parent(&self) -> Option<LayerId> {
        let parent = self.parent.load(Ordering::Relaxed);
        (parent != 0).then_some(LayerId(parent))
    }

    pub(super) fn set_parent(&self, parent: Option<LayerId>) {
        self.parent.store(parent.map_or(0, |parent| parent.0), Ordering::Relaxed);
    }

    /// As the records so far describe it.
    pub(super) fn record(&self) -> LayerRecord {
        LayerRecord::new(self.id, self.parent(), self.recorded_extents.load(Ordering::Relaxed))
    }

    /// Whether no entry was ever made.
    pub(super) fn is_blank(&self) -> bool {
        !self.changed.load(Ordering::Acquire)
    }

    pub(super) fn set_changed(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Whether an entry belongs to the layer above by now, whatever memory shows.
    pub(super) fn is_merged(&self, logical: LogicalExtent) -> bool {
        u64::from(logical.0) < self.merged_before.load(Ordering::Relaxed)
    }

    /// Whether some of its entries have been handed on.
    pub(super) fn is_merging(&self) -> bool {
        self.merged_before() > 0
    }

    /// The first leaf with entries that may still be its own.
    pub(super) fn next_leaf(&self) -> u32 {
        (self.merged_before() / ENTRIES_PER_PAGE as u64) as u32
    }

    /// The first entry that is still its own.
    pub(super) fn merged_before(&self) -> u64 {
        self.merged_before.load(Ordering::Relaxed)
    }

    /// Only on the home core and under the journal's note book, so that no checkpoint copies an entry in between.
    pub(super) fn set_merged_before(&self, logical: u64) {
        self.merged_before.store(logical, Ordering::Relaxed);
    }

    /// Goes on behind a page that cannot be read, as if everything below it were given up. Only for layers that no
    /// volume shows.
    pub(super) fn pass_over(&self, corruption: &Corruption) {
        let behind = first_leaf_behind(corruption, self.next_leaf());
        self.set_merged_before(u64::from(behind) * ENTRIES_PER_PAGE as u64);
    }

    /// An entry of this layer as its records show it.
    pub(super) fn recorded(&self, logical: LogicalExtent, entry: Entry) -> Entry {
        if self.is_merged(logical) { Entry::ABSENT } else { entry }
    }

    pub(super) fn recorded_at(&self) -> u64 {
        self.recorded_at.load(Ordering::Relaxed)
    }

    pub(super) fn set_recorded_at(&self, sequence: u64) {
        self.recorded_at.store(sequence, Ordering::Relaxed);
    }

    pub(super) fn thinned_at(&self) -> u64 {
        self.thinned_at.load(Ordering::Relaxed)
    }

    pub(super) fn set_thinned_at(&self, sequence: u64) {
        self.thinned_at.store(sequence, Ordering::Relaxed);
    }

    pub(super) fn is_emptied(&self) -> bool {
        lock(&self.emptied_at).is_some()
    }

    /// Extents that cannot be given back any more; 0 while some may be.
    pub(super) fn lost_extents(&self) -> u64 {
        if self.lost.load(Ordering::Relaxed) { self.account.owned() } else { 0 }
    }

    pub(super) fn set_lost(&self) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            let extents = self.account.owned();
            tracing::error!(
                layer = self.id.0,
                extents,
                "extents of a deleted volume cannot be given back: its map is damaged"
            );
        }
    }

    pub(super) fn set_damage(&self, corruption: Corruption) {
        if self.damage.set(corruption).is_ok() {
            self.damaged.store(true, Ordering::Release);
            tracing::error!(layer = self.id.0, damage = ?self.damage.get(), "a layer is damaged: its volumes are read-only now");
        }
    }

    pub(super) fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Relaxed)
    }

    /// From now on nothing is merged into it, from it, or thinned out in it. Only within a turn of those who would.
    pub(super) fn set_moving(&self, moving: bool) {
        self.moving.store(moving, Ordering::Relaxed);
    }

    /// A host changed something in this extent. After the change and within its operation, so that a copier who takes
    /// the note finds the change, and who waits for operations finds the note.
    pub(super) fn note_written(&self, logical: LogicalExtent) {
        if let Some(written) = self.written.get() {
            written.note(logical);
        }
    }

    /// Begins to note what hosts write; operations under way may not know yet.
    pub(super) fn note_from_now_on(&self) {
        self.written.get_or_init(Written::new);
    }

    pub(super) fn written(&self) -> Option<&Written> {
        self.written.get()
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    pub(super) fn damage(&self) -> Option<&Corruption> {
        self.damage.get()
    }
}
