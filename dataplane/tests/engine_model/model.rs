//! What the test believes of a drive: which volumes exist or may, and what each may answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dataplane::{
    engine::{Drive, Snapshot, Volume},
    rt::sim::SimRng,
};
use uuid::Uuid;

use crate::{
    frozen::{Frozen, FrozenId, Instant, InstantId},
    reference::{Crash, Moment, ReferenceVolume, Value},
};

/// What is known of a volume.
#[derive(Debug, Clone)]
pub(crate) struct KnownVolume {
    pub(crate) block_bytes: u32,
    /// Sizes that it may have: two while an expansion is under way.
    pub(crate) sizes: Vec<u64>,
    pub(crate) presence: Presence,
    pub(crate) content: Content,
    /// First bytes of the attachments that it may have, zero for none: two while one is replaced.
    pub(crate) attachments: Vec<u8>,
    /// Where random operations go: starts of small areas, far apart on large volumes.
    pub(crate) spots: Vec<u64>,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    There,
    /// Its creation or deletion is under way: a crash leaves it open.
    Open,
    /// Deleted, or never made: no crash may bring it back.
    Gone,
}

/// What a volume shows.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Own(ReferenceVolume),
    /// It cannot be written to.
    View(FrozenId),
    /// Being cloned.
    Unknown,
}

/// What is known of a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct KnownSnapshot {
    pub(crate) size_bytes: u64,
    pub(crate) block_bytes: u32,
    pub(crate) presence: Presence,
    /// Unknown while it is being taken.
    pub(crate) frozen: Option<FrozenId>,
    pub(crate) spots: Vec<u64>,
}

/// What is being made of a volume's present content.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Copy {
    Snapshot(Uuid),
    Clone(Uuid),
}

/// Everything believed. A copy is what is known at that moment, should the machine end there.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) rng: SimRng,
    /// Whether the medium is a drive: open while it is being formatted.
    pub(crate) formatted: Presence,
    /// Sizes that the drive may have: two while it grows.
    pub(crate) drive_sizes: Vec<u64>,
    pub(crate) now: Moment,
    next_value: Value,
    /// Beginnings of the reads under way.
    reads: BTreeSet<Moment>,
    pub(crate) volumes: BTreeMap<Uuid, KnownVolume>,
    pub(crate) snapshots: BTreeMap<Uuid, KnownSnapshot>,
    frozen: Vec<Frozen>,
    instants: Vec<Instant>,
    /// Copies under way, of which source, by their beginning.
    copying: BTreeMap<Moment, Vec<(Uuid, Copy)>>,
}

impl Model {
    pub(crate) fn new(rng: SimRng) -> Self {
        Self {
            rng,
            formatted: Presence::Gone,
            drive_sizes: Vec::new(),
            now: 1,
            next_value: 1,
            reads: BTreeSet::new(),
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            frozen: Vec::new(),
            instants: Vec::new(),
            copying: BTreeMap::new(),
        }
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

    pub(crate) fn snapshot(&mut self, uuid: Uuid) -> &mut KnownSnapshot {
        self.snapshots.get_mut(&uuid).expect("snapshots are forgotten only after a crash")
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

    /// A read that ran from one moment to another saw that value.
    ///
    /// # Panics
    /// If it may not.
    pub(crate) fn saw(
        &mut self,
        uuid: Uuid,
        sector: u64,
        value: Option<Value>,
        (began, ended): (Moment, Moment),
    ) {
        let reference = match &mut self.volume(uuid).content {
            Content::Own(reference) => reference,
            Content::View(frozen) => {
                let frozen = *frozen;
                return self.observe(frozen, sector, value);
            }
            Content::Unknown => unreachable!("nobody knows of it before it is cloned"),
        };
        let allowed = value.is_some_and(|value| reference.may_read(sector, value, began, ended));
        let history = reference.history_of(sector);
        assert!(allowed, "a read of {uuid} sector {sector} sees {value:?}: {history:?}");
    }

    /// Recovery found that value.
    ///
    /// # Panics
    /// If the rules forbid it after that crash.
    pub(crate) fn found(&mut self, uuid: Uuid, sector: u64, value: Option<Value>, crash: Crash, now: Moment) {
        let reference = match &mut self.volume(uuid).content {
            Content::Own(reference) => reference,
            Content::View(frozen) => {
                let frozen = *frozen;
                return self.observe(frozen, sector, value);
            }
            Content::Unknown => unreachable!("a crash ends every cloning"),
        };
        let before = reference.history_of(sector);
        let possible = value.is_some_and(|value| reference.settle(sector, value, crash, now));
        assert!(possible, "{uuid} sector {sector} holds {value:?} after {crash:?}: {before:?}");
    }

    /// A flush of the volume that began then was answered.
    pub(crate) fn flushed(&mut self, uuid: Uuid, began: Moment) {
        if let Content::Own(reference) = &mut self.volume(uuid).content {
            reference.flushed(began);
        }
    }

    /// Copies begin, all at one instant.
    pub(crate) fn begin_copies(&mut self, copies: Vec<(Uuid, Copy)>) -> Moment {
        let began = self.begin_read();
        self.copying.insert(began, copies);
        began
    }

    /// Their instant has passed: what they may hold is known.
    pub(crate) fn end_copies(&mut self, began: Moment) {
        let now = self.end_read(began);
        let instant = InstantId(self.instants.len());
        self.instants.push(Instant::unknown());
        for (source, copy) in self.copying.remove(&began).expect("they began then") {
            let sectors = self.volume(source).reference().freeze(began, now);
            match copy {
                Copy::Clone(uuid) => {
                    self.volume(uuid).content = Content::Own(ReferenceVolume::from_frozen(&sectors, now));
                }
                Copy::Snapshot(uuid) => {
                    let frozen = FrozenId(self.frozen.len());
                    self.frozen.push(Frozen { sectors, instant });
                    self.snapshot(uuid).frozen = Some(frozen);
                }
            }
        }
    }

    pub(crate) fn frozen(&self, id: FrozenId) -> &Frozen {
        &self.frozen[id.0]
    }

    /// Somebody saw a value in a snapshot.
    ///
    /// # Panics
    /// If it cannot be there.
    pub(crate) fn observe(&mut self, id: FrozenId, sector: u64, value: Option<Value>) {
        let frozen = &mut self.frozen[id.0];
        let instant = &mut self.instants[frozen.instant.0];
        if let Err(wrong) = frozen.observe(instant, sector, value) {
            panic!("sector {sector} of snapshot {id:?} {wrong}");
        }
    }

    /// The machine ended: nothing is under way any more.
    pub(crate) fn crashed(&mut self) {
        while let Some((&began, _)) = self.copying.first_key_value() {
            self.end_copies(began);
        }
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
    pub(crate) snapshots: BTreeMap<Uuid, Snapshot>,
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
        Arc::new(Mutex::new(Self {
            model,
            drive: None,
            handles: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            stopping: false,
            working: 0,
            finished: false,
        }))
    }

    /// Forgets the machine; the model stays.
    pub(crate) fn crashed(&mut self) {
        self.drive = None;
        self.handles.clear();
        self.snapshots.clear();
        (self.stopping, self.working, self.finished) = (false, 0, false);
        self.model.crashed();
    }

    /// One of the usable volumes.
    pub(crate) fn pick_volume(&mut self) -> Option<Uuid> {
        pick(&mut self.model.rng, self.handles.keys().copied())
    }

    /// Those that can be written to.
    pub(crate) fn writable_volumes(&self) -> Vec<Uuid> {
        self.handles.keys().copied().filter(|uuid| !self.model.volumes[uuid].is_view()).collect()
    }

    pub(crate) fn pick_writable(&mut self) -> Option<Uuid> {
        let writable = self.writable_volumes();
        pick(&mut self.model.rng, writable.into_iter())
    }

    pub(crate) fn pick_snapshot(&mut self) -> Option<Uuid> {
        pick(&mut self.model.rng, self.snapshots.keys().copied())
    }
}

fn pick(rng: &mut SimRng, all: impl Iterator<Item = Uuid> + Clone) -> Option<Uuid> {
    let count = all.clone().count();
    if count == 0 { None } else { all.clone().nth(rng.below(count as u64) as usize) }
}

impl KnownVolume {
    /// # Panics
    /// If it has none of its own.
    pub(crate) fn reference(&mut self) -> &mut ReferenceVolume {
        match &mut self.content {
            Content::Own(reference) => reference,
            other => panic!("a volume with {other:?} is not written to"),
        }
    }

    pub(crate) fn is_view(&self) -> bool {
        matches!(self.content, Content::View(_))
    }

    /// Sectors that anything ever touched.
    pub(crate) fn touched(&self, model: &Model) -> Vec<u64> {
        match &self.content {
            Content::Own(reference) => reference.touched(),
            Content::View(frozen) => model.frozen(*frozen).sectors.keys().copied().collect(),
            Content::Unknown => unreachable!("a crash ends every cloning"),
        }
    }
}
