//! What the node exports, to whom: subsystems, their namespaces and the hosts that may see them.
//!
//! Changed by the control plane under a lock; queue pairs read their own copy and only look whether the
//! generation moved, so that the fast path takes no lock.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nvmeof::Nqn;
use uuid::Uuid;

use super::association::{Counters, QueueShared};
use crate::{engine::Volume, node::SubsystemSpec};

/// A namespace as a queue pair uses it.
#[derive(Debug, Clone)]
pub(super) struct Namespace {
    pub(super) nsid: u32,
    pub(super) uuid: Uuid,
    pub(super) volume: Volume,
}

/// The namespaces of a subsystem at one moment, by NSID - 1.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    by_nsid: Vec<Option<Namespace>>,
}

impl Namespaces {
    fn new(spec: &SubsystemSpec, volumes: &[Volume]) -> Self {
        let highest = spec.namespaces.iter().map(|ns| ns.nsid as usize).max().unwrap_or(0);
        let mut by_nsid = vec![None; highest];
        for (ns, volume) in spec.namespaces.iter().zip(volumes) {
            by_nsid[ns.nsid as usize - 1] =
                Some(Namespace { nsid: ns.nsid, uuid: ns.uuid, volume: volume.clone() });
        }
        Self { by_nsid }
    }

    pub(super) fn get(&self, nsid: u32) -> Option<&Namespace> {
        self.by_nsid.get((nsid as usize).checked_sub(1)?)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Namespace> {
        self.by_nsid.iter().flatten()
    }
}

/// One NVM subsystem.
#[derive(Debug)]
pub(super) struct Subsystem {
    pub(super) nqn: Nqn,
    /// Moves with every change of `current`.
    generation: AtomicU64,
    current: Mutex<Arc<Export>>,
    traffic: Mutex<Traffic>,
    since: Instant,
}

/// What hosts did on a subsystem: live queues, and the sums of those that are gone.
#[derive(Debug, Default)]
struct Traffic {
    live: Vec<Arc<QueueShared>>,
    gone: Counters,
}

/// What a subsystem exports at one moment.
#[derive(Debug)]
pub(super) struct Export {
    pub(super) spec: SubsystemSpec,
    pub(super) namespaces: Namespaces,
}

impl Subsystem {
    pub(super) fn new(nqn: Nqn, spec: SubsystemSpec, volumes: &[Volume]) -> Self {
        let namespaces = Namespaces::new(&spec, volumes);
        let current = Mutex::new(Arc::new(Export { spec, namespaces }));
        Self { nqn, generation: AtomicU64::new(1), current, traffic: Mutex::default(), since: Instant::now() }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn export(&self) -> Arc<Export> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the export; says which NSIDs came, went, or hold another volume now.
    pub(super) fn replace(&self, spec: SubsystemSpec, volumes: &[Volume]) -> Vec<u32> {
        let namespaces = Namespaces::new(&spec, volumes);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = current.namespaces.by_nsid.len().max(namespaces.by_nsid.len());
        let of = |set: &Namespaces, nsid| set.get(nsid).map(|ns| (ns.uuid, ns.volume.uuid()));
        let changed = (1..=u32::try_from(highest).expect("NSIDs are at most NN"))
            .filter(|&nsid| of(&current.namespaces, nsid) != of(&namespaces, nsid))
            .collect();
        *current = Arc::new(Export { spec, namespaces });
        self.generation.fetch_add(1, Ordering::Release);
        changed
    }

    pub(super) fn allows(&self, host: &Nqn) -> bool {
        self.export().spec.allowed_hosts.iter().any(|allowed| allowed == host.as_str())
    }

    /// A queue begins to count.
    pub(super) fn count(&self, queue: Arc<QueueShared>) {
        self.traffic().live.push(queue);
    }

    /// A queue is gone: what it counted stays.
    pub(super) fn retire(&self, queue: &Arc<QueueShared>) {
        let mut traffic = self.traffic();
        traffic.live.retain(|live| !Arc::ptr_eq(live, queue));
        traffic.gone.add_all(&queue.counters);
    }

    /// Everything that hosts did on it since the node started.
    pub(super) fn counters(&self) -> Counters {
        let traffic = self.traffic();
        let sum = Counters::default();
        sum.add_all(&traffic.gone);
        for queue in &traffic.live {
            sum.add_all(&queue.counters);
        }
        sum
    }

    /// How long it has been exported.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue pair's own copy of what its subsystem exports, refreshed when the generation moved. Commands share it
/// by `Rc`, so that no counter is written by two cores.
#[expect(clippy::redundant_allocation, reason = "the outer count is this core's own")]
pub(super) struct ExportCache {
    subsystem: Arc<Subsystem>,
    generation: Cell<u64>,
    export: RefCell<Rc<Arc<Export>>>,
}

impl ExportCache {
    pub(super) fn new(subsystem: Arc<Subsystem>) -> Self {
        let generation = Cell::new(subsystem.generation());
        let export = RefCell::new(Rc::new(subsystem.export()));
        Self { subsystem, generation, export }
    }

    /// What is exported now.
    #[expect(clippy::redundant_allocation, reason = "the outer count is this core's own")]
    pub(super) fn get(&self) -> Rc<Arc<Export>> {
        let generation = self.subsystem.generation();
        if generation != self.generation.get() {
            *self.export.borrow_mut() = Rc::new(self.subsystem.export());
            self.generation.set(generation);
        }
        self.export.borrow().clone()
    }
}

/// Every subsystem of the node.
#[derive(Debug, Default)]
pub(super) struct Registry {
    subsystems: Mutex<Vec<Arc<Subsystem>>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Subsystem>>> {
        self.subsystems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<Arc<Subsystem>> {
        self.lock().clone()
    }

    pub(super) fn find(&self, nqn: &str) -> Option<Arc<Subsystem>> {
        self.lock().iter().find(|subsystem| subsystem.nqn.as_str() == nqn).cloned()
    }

    /// The subsystems that a host may see, in a stable order.
    pub(super) fn visible_to(&self, host: &Nqn) -> Vec<Arc<Subsystem>> {
        self.lock().iter().filter(|subsystem| subsystem.allows(host)).cloned().collect()
    }

    pub(super) fn insert(&self, subsystem: Arc<Subsystem>) {
        self.lock().push(subsystem);
    }

    pub(super) fn remove(&self, subsystem: &Arc<Subsystem>) {
        self.lock().retain(|known| !Arc::ptr_eq(known, subsystem));
    }
}
