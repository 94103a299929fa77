//! Reservations of volumes: `nvmeof`'s state, made durable, asked by every command, and its changes told.
//!
//! A volume has one state, however many subsystems export it; it outlives its connections. Changes go one at a time:
//! the new state is made durable if it persists, then commands are judged by it, and an Acquire is answered only when
//! no command of another host is under way that was judged by the old one.

mod stored;

use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use nvmeof::{
    Status,
    command::ReservationRequest,
    reservation::{Access, Notice, ReservationCommand, Reservations},
    transport::Slot,
};
use uuid::Uuid;

use super::{
    Shared,
    io_command::{Caller, Direction, status_of},
    queue::{Answer, Queue},
    subsystem::TargetNamespace,
};
use crate::{
    engine::{EngineError, Turns},
    node::NodeError,
    rt::Buf,
    volume::Volume,
};

/// The reservations of one volume.
#[derive(Debug)]
pub(super) struct VolumeReservations {
    present: ArcSwap<Reservations>,
    /// Of most volumes nothing is ever held: their commands look no further.
    is_held: AtomicBool,
    changes: Turns,
}

impl VolumeReservations {
    /// What the volume's attachment says.
    fn load(volume: &Volume) -> Result<Self, NodeError> {
        let unreadable = || {
            let uuid = volume.uuid();
            NodeError::Invalid(format!(
                "the reservations stored with volume {uuid} make no sense to this version"
            ))
        };
        // Of a replica the attachment says which one it is.
        let document = if volume.is_mirrored() { Arc::default() } else { volume.attachment() };
        let state = stored::decode(&document).ok_or_else(unreadable)?;
        Ok(Self {
            is_held: AtomicBool::new(state.held().is_some()),
            present: ArcSwap::from_pointee(state),
            changes: Turns::default(),
        })
    }

    /// Whether a command of that host may be executed now.
    pub(super) fn allows(&self, host: Uuid, access: Access) -> bool {
        !self.is_held.load(Ordering::SeqCst) || self.present.load().allows(host, access)
    }

    /// Persist Through Power Loss.
    pub(super) fn is_persistent(&self) -> bool {
        self.present.load().is_persistent()
    }

    /// Reservation Report, cut or filled up to `len_bytes`.
    pub(super) async fn report(&self, len_bytes: u32) -> Answer {
        let mut report = self.present.load().report();
        report.resize(len_bytes as usize, 0);
        let data = Buf::copy_of(&report).await;
        Answer { status: Status::SUCCESS, result: 0, data: Some(data) }
    }

    /// Makes a state durable as far as it or the one before persists, and the one that counts. In a turn.
    async fn set(&self, volume: &Volume, state: Reservations) -> Result<(), EngineError> {
        let document = stored::encode(&state);
        if *document != *volume.attachment() {
            volume.set_attachment(&document).await?;
        }
        let is_held = state.held().is_some();
        self.present.store(Arc::new(state));
        self.is_held.store(is_held, Ordering::SeqCst);
        Ok(())
    }
}

/// Of every volume that is or was exported; by its UUID.
#[derive(Debug, Default)]
pub(super) struct AllReservations(Mutex<BTreeMap<Uuid, Arc<VolumeReservations>>>);

impl AllReservations {
    pub(super) fn of(&self, volume: &Volume) -> Result<Arc<VolumeReservations>, NodeError> {
        if let Some(known) = self.lock().get(&volume.uuid()) {
            return Ok(known.clone());
        }
        let loaded = Arc::new(VolumeReservations::load(volume)?);
        Ok(self.lock().entry(volume.uuid()).or_insert(loaded).clone())
    }

    /// Waits until changes are done that are under way now.
    pub(super) async fn settled(&self, volume: Uuid) {
        let known = self.lock().get(&volume).cloned();
        if let Some(known) = known {
            drop(known.changes.take().await);
        }
    }

    /// The volume is gone for good.
    pub(super) fn forget(&self, volume: Uuid) {
        self.lock().remove(&volume);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<VolumeReservations>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Executes Register, Acquire or Release.
pub(super) async fn change(
    caller: &Caller<'_>,
    namespace: &TargetNamespace,
    request: ReservationRequest,
    data: &[u8],
) -> Answer {
    let command = match request.with_data(data) {
        Ok(command) => command,
        Err(status) => return Answer::status(status),
    };
    let (host, volume) = (caller.association.host.id, &namespace.volume);
    let _turn = namespace.reservations.changes.take().await;
    if let Some(status) = namespace.path.refusal() {
        return Answer::status(status);
    }
    let mut state = Reservations::clone(&namespace.reservations.present.load());
    let notices = match state.execute(host, &command) {
        Ok(notices) => notices,
        Err(status) => return Answer::status(status),
    };
    if let Err(error) = namespace.reservations.set(volume, state).await {
        return status_of(Err(error), Direction::Write, caller.counters);
    }
    if matches!(command, ReservationCommand::Acquire { .. }) {
        caller.shared.fence(volume.uuid(), Some(host)).await;
    }
    tell(caller.shared, volume.uuid(), &notices);
    Answer::status(Status::SUCCESS)
}

/// Leaves notices with all controllers of the hosts concerned.
fn tell(shared: &Shared, volume: Uuid, notices: &[Notice]) {
    if notices.is_empty() {
        return;
    }
    for association in shared.controllers().by_id.values() {
        let Some(nsid) = association.subsystem.exports().namespace_of(volume) else { continue };
        for notice in notices.iter().filter(|notice| notice.host == association.host.id) {
            association.notify(nsid, notice.kind);
        }
    }
}

/// Feature Reservation Persistence of some namespaces, answered when it is durable.
pub(super) async fn persist(queue: Rc<Queue>, slot: Slot, nsids: Vec<u32>, persistent: bool) {
    let exports = queue.association.subsystem.exports();
    let meant = exports.visible_to(&queue.association.host.nqn).iter();
    let mut status = Status::SUCCESS;
    for namespace in meant.filter(|namespace| nsids.contains(&namespace.nsid)) {
        let _turn = namespace.reservations.changes.take().await;
        if let Some(refusal) = namespace.path.refusal() {
            status = refusal;
            continue;
        }
        let mut state = Reservations::clone(&namespace.reservations.present.load());
        state.set_persistent(persistent);
        if let Err(error) = namespace.reservations.set(&namespace.volume, state).await {
            tracing::warn!(%error, nsid = namespace.nsid, "reservations could not be stored");
            status = Status::INTERNAL_ERROR;
        }
    }
    queue.answer(slot, Answer::status(status)).await;
}
