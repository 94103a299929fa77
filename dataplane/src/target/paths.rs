//! The paths of volumes through this node: their ANA states, asked by every command (Base §8.1.1).
//!
//! A volume has one state here, however many subsystems export it. It is of this process: a node that starts again
//! has every path optimized until it is told otherwise.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use nvmeof::{Status, controller::AnaState};
use uuid::Uuid;

use super::{Shared, Target, association::Association, volume_io::IoCounters};
use crate::{
    engine::Turns,
    node::{NodeError, VolumeIo},
};

/// The path of one volume.
#[derive(Debug)]
pub(super) struct VolumePath {
    /// Place of the state in [`AnaState::ALL`].
    state: AtomicU8,
    changes: Turns,
    /// What hosts do with it here.
    pub(super) io: IoCounters,
}

impl VolumePath {
    fn new(cores: usize) -> Self {
        Self { state: AtomicU8::default(), changes: Turns::default(), io: IoCounters::new(cores) }
    }

    pub(super) fn state(&self) -> AnaState {
        AnaState::ALL[usize::from(self.state.load(Ordering::SeqCst))]
    }

    /// What a command hears that may not use the path now.
    pub(super) fn refusal(&self) -> Option<Status> {
        self.state().refusal()
    }

    fn set(&self, state: AnaState) {
        let place = AnaState::ALL.iter().position(|&other| other == state);
        let place = place.expect("all states are among all states");
        self.state.store(place as u8, Ordering::SeqCst);
    }
}

/// Of every volume that is or was exported, or whose state was set; by its UUID.
#[derive(Debug)]
pub(super) struct AllPaths {
    cores: usize,
    by_volume: Mutex<BTreeMap<Uuid, Arc<VolumePath>>>,
}

impl AllPaths {
    /// Hosts' commands are executed on that many cores.
    pub(super) fn new(cores: usize) -> Self {
        Self { cores, by_volume: Mutex::default() }
    }

    pub(super) fn of(&self, volume: Uuid) -> Arc<VolumePath> {
        self.lock().entry(volume).or_insert_with(|| Arc::new(VolumePath::new(self.cores))).clone()
    }

    /// What hosts did with each volume since this start, where they did anything.
    pub(super) fn io(&self) -> BTreeMap<Uuid, VolumeIo> {
        self.lock().iter().filter_map(|(&volume, path)| Some((volume, path.io.sum()?))).collect()
    }

    /// The volume is gone for good.
    pub(super) fn forget(&self, volume: Uuid) {
        self.lock().remove(&volume);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<VolumePath>>> {
        self.by_volume.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    /// The state of a volume's path through this node.
    pub fn ana_state(&self, volume: Uuid) -> AnaState {
        self.0.paths.of(volume).state()
    }

    /// Sets it, in every subsystem that exports the volume, and tells their hosts. Once this has returned, no
    /// command is under way that the new state would refuse: another node may take the volume over (M8, H1).
    ///
    /// # Errors
    /// Persistent loss is for good as long as the volume is exported (Base §8.1.1.7).
    pub async fn set_ana_state(&self, volume: Uuid, state: AnaState) -> Result<(), NodeError> {
        let shared = &self.0;
        let path = shared.paths.of(volume);
        let _turn = path.changes.take().await;
        let subsystems = shared.subsystems_with(volume);
        if path.state() == AnaState::PersistentLoss
            && state != AnaState::PersistentLoss
            && !subsystems.is_empty()
        {
            let why =
                "its path was given up for good; hosts take another state only after it was unpublished";
            return Err(NodeError::Invalid(why.into()));
        }
        path.set(state);
        for subsystem in &subsystems {
            shared.tell(subsystem);
        }
        if state.refusal().is_some() {
            // Changes of reservations have no fence: they go by turns, and look at the state in theirs.
            shared.reservations.settled(volume).await;
            shared.fence(volume, None).await;
        }
        Ok(())
    }
}

impl Shared {
    /// Waits until no command on the volume is under way that began before now; those of host `but_of` aside.
    pub(super) async fn fence(&self, volume: Uuid, but_of: Option<Uuid>) {
        let is_meant = |association: &&Arc<Association>| {
            Some(association.host.id) != but_of
                && association.subsystem.exports().namespace_of(volume).is_some()
        };
        let meant: Vec<_> = self.controllers().by_id.values().filter(is_meant).cloned().collect();
        for association in meant {
            association.fence().await;
        }
    }
}
