//! One host's controller as all its queue pairs, on whatever cores, share it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use futures_channel::oneshot;
use nvmeof::{
    command::Instance,
    controller::{ConnectRefusal, ConnectRequest, ControllerKind, ErrorRecord, HostIdentity, JoinView},
    limits::RESERVATION_NOTICES_MAX,
    reservation::NoticeKind,
    wire::status::Status,
};

use super::{
    admission::Arrival,
    counters::{QueueCounters, Totals},
    shown::Shown,
    subsystem::TargetSubsystem,
    wait::{Flag, Gate},
};
use crate::{mirror::Mailbox, rt::Signal};

/// What ends a queue pair or its commands from outside, and what it counted.
#[derive(Debug, Default)]
pub(super) struct QueueHandle {
    /// The queue pair shall end.
    pub(super) end: Flag,
    /// There are commands to abort, or a fence.
    pub(super) asked: Flag,
    aborts: Mutex<Vec<AbortRequest>>,
    fences: Mutex<Vec<oneshot::Sender<()>>>,
    pub(super) counters: QueueCounters,
}

/// A command to abort. Answered when it was, or with false if it has begun or is not there.
#[derive(Debug)]
pub(super) struct AbortRequest {
    pub(super) cid: u16,
    pub(super) aborted: oneshot::Sender<bool>,
}

impl QueueHandle {
    /// Takes what shall be aborted.
    pub(super) fn take_aborts(&self) -> Vec<AbortRequest> {
        std::mem::take(&mut self.aborts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes those to tell when all commands under way now are done.
    pub(super) fn take_fences(&self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.fences.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A controller. Lives from its admin Connect until its last queue pair ended.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) cntlid: u16,
    pub(super) instance: Instance,
    pub(super) kind: ControllerKind,
    pub(super) host: HostIdentity,
    /// The discovery subsystem, too, is one, without namespaces.
    pub(super) subsystem: Arc<TargetSubsystem>,
    pub(super) peer: SocketAddr,
    /// Its connections are in TLS, all of them.
    pub(super) secured: bool,
    /// Its host has to authenticate on the admin queue.
    pub(super) authenticates: bool,
    /// Where the host's admin connection came in.
    pub(super) local: SocketAddr,
    /// The last queue pair has ended.
    pub(super) gone: Gate,
    /// The admin queue shall look at what changed.
    pub(super) changed: Flag,
    /// Its host is who it says: it has authenticated on the admin queue, or need not.
    pub(super) known: AtomicBool,
    /// Mirrors of the controller's state, which lives on the admin queue's core.
    pub(super) ready: AtomicBool,
    pub(super) io_queues: AtomicU16,
    pub(super) write_cache: AtomicBool,
    pub(super) copies_across: AtomicBool,
    queues: Mutex<Queues>,
    /// What its host was told of its namespaces.
    pub(super) shown: Shown,
    /// An I/O queue pair ended.
    queue_ended: Signal,
    /// Failed I/O commands that the admin queue has not put into the error log yet.
    errors: Mutex<Vec<ErrorRecord>>,
    /// Of another node, which asks here for what replicas have to tell it.
    pub(super) mailbox: Arc<Mailbox>,
    /// Reservation notices that the admin queue has not told yet, by NSID.
    notices: Mutex<Vec<(u32, NoticeKind)>>,
}

/// Failed commands kept until the host asks: as many as the error log has entries.
const ERRORS_MAX: usize = 64;

#[derive(Debug, Default)]
struct Queues {
    /// By queue identifier; the admin queue is 0.
    open: BTreeMap<u16, Arc<QueueHandle>>,
    /// Of queue pairs that ended.
    past: Totals,
    /// No queue pair may join any more.
    ending: bool,
}

impl Association {
    pub(super) fn new(
        (cntlid, instance): (u16, Instance),
        kind: ControllerKind,
        request: &ConnectRequest,
        subsystem: Arc<TargetSubsystem>,
        arrival: Arrival,
    ) -> Self {
        Self {
            cntlid,
            instance,
            gone: Gate::default(),
            kind,
            host: request.host.clone(),
            subsystem,
            peer: arrival.peer,
            local: arrival.local,
            secured: false,
            authenticates: false,
            changed: Flag::default(),
            known: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            io_queues: AtomicU16::new(0),
            write_cache: AtomicBool::new(true),
            copies_across: AtomicBool::new(false),
            queues: Mutex::default(),
            shown: Shown::default(),
            queue_ended: Signal::default(),
            errors: Mutex::default(),
            mailbox: Arc::default(),
            notices: Mutex::default(),
        }
    }

    /// A queue pair joins; `Connect`'s own checks are done here under one lock, so that no two get one identifier.
    pub(super) fn join(&self, request: &ConnectRequest) -> Result<Arc<QueueHandle>, ConnectRefusal> {
        let mut queues = self.queues();
        if queues.ending {
            return Err(ConnectRefusal::plain(Status::COMMAND_SEQUENCE_ERROR));
        }
        if request.qid != 0 {
            request.join(&JoinView {
                host: &self.host,
                subsystem_nqn: self.subsystem.nqn(),
                ready: self.ready.load(Ordering::SeqCst),
                io_queues: self.io_queues.load(Ordering::SeqCst),
                queue_exists: queues.open.contains_key(&request.qid),
            })?;
        }
        let handle = Arc::new(QueueHandle::default());
        queues.open.insert(request.qid, handle.clone());
        Ok(handle)
    }

    /// A queue pair has ended, all its commands with it.
    pub(super) fn leave(&self, qid: u16) {
        let mut queues = self.queues();
        if let Some(handle) = queues.open.remove(&qid) {
            queues.past.add(&handle.counters);
        }
        drop(queues);
        self.queue_ended.raise();
    }

    /// Ends all I/O queue pairs and waits until their last command is done. With `for_good` none can join again;
    /// else the controller is not ready, so that none joins meanwhile.
    pub(super) async fn end_io_queues(&self, for_good: bool) {
        self.queues().ending |= for_good;
        for handle in self.io_queue_handles() {
            handle.end.raise();
        }
        self.queue_ended.wait_until(|| self.io_queue_handles().is_empty().then_some(())).await;
    }

    /// Ends the association from outside: the admin queue hears it, ends the I/O queues first, then itself (H1).
    pub(super) fn end(&self) {
        let queues = self.queues();
        if let Some(admin) = queues.open.get(&0) {
            admin.end.raise();
        }
    }

    /// Aborts a command of an I/O queue; whether it did.
    pub(super) async fn abort(&self, sqid: u16, cid: u16) -> bool {
        let (aborted, wait) = oneshot::channel();
        // The handle is let go at once: a queue pair that ends drops the request with it.
        {
            let queues = self.queues();
            let Some(handle) = queues.open.get(&sqid) else { return false };
            handle.aborts.lock().unwrap_or_else(PoisonError::into_inner).push(AbortRequest { cid, aborted });
            handle.asked.raise();
        }
        wait.await.unwrap_or(false)
    }

    /// Waits until every command is done that is under way on an I/O queue now.
    pub(super) async fn fence(&self) {
        let mut waits = Vec::new();
        for handle in self.io_queue_handles() {
            let (passed, wait) = oneshot::channel();
            handle.fences.lock().unwrap_or_else(PoisonError::into_inner).push(passed);
            handle.asked.raise();
            waits.push(wait);
        }
        for wait in waits {
            // A queue pair that ends drops the request when its last command is done.
            let _ = wait.await;
        }
    }

    /// Something happened to the host's part in a namespace's reservations. A flood is cut off.
    pub(super) fn notify(&self, nsid: u32, kind: NoticeKind) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.len() < RESERVATION_NOTICES_MAX {
            notices.push((nsid, kind));
        }
        drop(notices);
        self.changed.raise();
    }

    /// Takes what happened since the last time.
    pub(super) fn take_notices(&self) -> Vec<(u32, NoticeKind)> {
        std::mem::take(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// I/O queue pairs that are open now.
    pub(super) fn open_io_queues(&self) -> usize {
        self.queues().open.range(1..).count()
    }

    /// A command of an I/O queue failed. Off the fast path, so a lock will do; a flood is cut off.
    pub(super) fn record_error(&self, record: ErrorRecord) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < ERRORS_MAX {
            errors.push(record);
        }
    }

    /// Takes what failed since the last time.
    pub(super) fn take_errors(&self) -> Vec<ErrorRecord> {
        std::mem::take(&mut self.errors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All that was counted since the association began.
    pub(super) fn totals(&self) -> Totals {
        let queues = self.queues();
        let mut totals = queues.past;
        for handle in queues.open.values() {
            totals.add(&handle.counters);
        }
        totals
    }

    fn io_queue_handles(&self) -> Vec<Arc<QueueHandle>> {
        self.queues().open.range(1..).map(|(_, handle)| handle.clone()).collect()
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
