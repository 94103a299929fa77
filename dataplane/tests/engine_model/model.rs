//! What the test believes of a drive: which volumes exist or may, and what each may answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dataplane::{
    engine::{Drive, Volume},
    rt::sim::SimRng,
};
use uuid::Uuid;

use crate::reference::{Moment, ReferenceVolume, Value};

/// What is known of a volume.
#[derive(Debug, Clone)]
pub(crate) struct KnownVolume {
    pub(crate) block_bytes: u32,
    /// Sizes that it may have: two while an expansion is under way.
    pub(crate) sizes: Vec<u64>,
    /// Creation or deletion under way at a crash leaves it open.
    pub(crate) may_be_missing: bool,
    pub(crate) must_be_missing: bool,
    pub(crate) reference: ReferenceVolume,
    /// Where random operations go: starts of small areas, far apart on large volumes.
    pub(crate) spots: Vec<u64>,
}

/// Everything believed. A copy is what is known at that moment, should the machine end there.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) rng: SimRng,
    pub(crate) now: Moment,
    next_value: Value,
    /// Beginnings of the reads under way.
    reads: BTreeSet<Moment>,
    pub(crate) volumes: BTreeMap<Uuid, KnownVolume>,
}

impl Model {
    pub(crate) fn new(rng: SimRng) -> Self {
        Self { rng, now: 1, next_value: 1, reads: BTreeSet::new(), volumes: BTreeMap::new() }
    }

    /// A moment later than all before.
    pub(crate) fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    /// A value that no write had before.
    pub(crate) fn value(&mut self) -> Value {
        self.next_value += 1;
        self.next_value - 1
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.rng.next_u64(), self.rng.next_u64())
    }

    pub(crate) fn volume(&mut self, uuid: Uuid) -> &mut KnownVolume {
        self.volumes.get_mut(&uuid).expect("volumes are forgotten only after a crash")
    }

    /// Something begins that sees what the volumes hold; the past that it may see is kept.
    pub(crate) fn begin_read(&mut self) -> Moment {
        let began = self.tick();
        self.reads.insert(began);
        began
    }

    pub(crate) fn end_read(&mut self, began: Moment) -> Moment {
        self.reads.remove(&began);
        self.tick()
    }

    /// No read that is under way began earlier.
    pub(crate) fn reading_since(&self) -> Moment {
        self.reads.first().copied().unwrap_or(self.now)
    }

    /// The machine ended: nothing is under way any more.
    pub(crate) fn crashed(&mut self) {
        self.reads.clear();
    }
}

/// The model and the machine that runs at present.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) model: Model,
    /// The open drive.
    pub(crate) drive: Option<Drive>,
    /// Volumes that operations may use.
    pub(crate) handles: BTreeMap<Uuid, Volume>,
    /// Workers shall end; so many have not yet.
    pub(crate) stopping: bool,
    pub(crate) working: usize,
    /// The machine has done all it was started for.
    pub(crate) finished: bool,
}

pub(crate) type Shared = Arc<Mutex<World>>;

pub(crate) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(model: Model) -> Shared {
        let handles = BTreeMap::new();
        let world = Self { model, drive: None, handles, stopping: false, working: 0, finished: false };
        Arc::new(Mutex::new(world))
    }

    /// Forgets the machine; the model stays.
    pub(crate) fn crashed(&mut self) {
        self.drive = None;
        self.handles.clear();
        (self.stopping, self.working, self.finished) = (false, 0, false);
        self.model.crashed();
    }

    /// One of the usable volumes.
    pub(crate) fn pick_volume(&mut self) -> Option<Uuid> {
        if self.handles.is_empty() {
            return None;
        }
        let pick = self.model.rng.below(self.handles.len() as u64) as usize;
        self.handles.keys().nth(pick).copied()
    }
}
