//! A queue pair on its core: one task receives, one sends, one watches, and one per command slot in use executes.
//!
//! ```text
//! socket -> receive -> slots[n].work -> slot task -> volume -> outbox -> send -> socket
//!              |  payload -> slots[n].data                        ^
//!              +-- errors, R2T, admin answers --------------------+
//! ```
//! Nothing is allocated per command: slot tasks live as long as the queue pair and are made when the number of
//! commands in flight first reaches them.
//!
//! Invariants: a command's data belongs to its slot until its last byte came, then to its work; an answer is pushed
//! before its slot is free; once `stopping` no work is begun, once `ended` nothing is pushed.

mod fence;
mod fused;
mod host_memory;
mod receive;
mod slots;
mod solicit;
mod watch;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nvmeof::{
    Status,
    controller::{ConnectRequest, ErrorRecord},
    transport::{ControllerConnection, Crc32c, Slot},
    wire::{Cqe, cqe::SQHD_DISABLED},
};

use self::{
    fence::Fences,
    fused::Fused,
    host_memory::HostMemory,
    slots::{Slots, Subject},
};
pub(super) use self::{
    fused::Half,
    receive::{End, Flow},
};
use super::{
    Shared,
    admin::{self, AdminQueue},
    association::{Association, QueueHandle},
    authentication::{self, Authentication},
    exports_view::ExportsView,
    place::Place,
    wait::{Either, WakeSlot, race},
};
use crate::{
    outbox::Outbox,
    rt::{self, Buf, Nanos, net::Stream},
};

/// A connection that was let in, on its way to its core. `slot` holds the Connect command.
pub(super) struct Admitted {
    pub(super) stream: Stream,
    pub(super) connection: ControllerConnection,
    pub(super) slot: Slot,
    pub(super) request: ConnectRequest,
    pub(super) association: Arc<Association>,
    pub(super) handle: Arc<QueueHandle>,
    pub(super) shared: Arc<Shared>,
    pub(super) place: Place,
}

/// What the queue is for.
enum Kind {
    Admin(Box<AdminQueue>),
    Io(RefCell<Rc<ExportsView>>),
}

/// A queue pair; shared by its tasks, all of one core.
pub(super) struct Queue {
    qid: u16,
    entries: u16,
    flow_control: bool,
    stall_max: Duration,
    _place: Place,
    shared: Arc<Shared>,
    kind: Kind,
    pub(super) association: Arc<Association>,
    pub(super) authentication: Authentication,
    pub(super) handle: Arc<QueueHandle>,
    stream: Stream,
    connection: RefCell<ControllerConnection>,
    outbox: Outbox,
    slots: Slots,
    memory: Rc<HostMemory>,
    fences: Fences,
    fused: Fused,
    /// Submission queue head: commands received, modulo `entries`.
    sqhd: Cell<u16>,
    /// No command is begun any more.
    stopping: Cell<bool>,
    /// Nothing is received or sent any more either.
    ended: Cell<bool>,
    /// The watch task's wait for the end.
    over: WakeSlot,
    /// Commands whose data an R2T asked for, and that still wait for it.
    awaiting_data: Cell<u32>,
    /// Payload bytes that came: the stall watch compares it.
    data_received: Cell<u64>,
    /// Slot tasks that execute a command, and since when there is one.
    executing: Cell<usize>,
    busy_since: Cell<Nanos>,
    drained: WakeSlot,
}

/// How a command ends.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) result: u64,
    /// Data for the host; only with success.
    pub(super) data: Option<Buf>,
}

impl Answer {
    pub(super) fn status(status: Status) -> Self {
        Self { status, result: 0, data: None }
    }
}

impl Queue {
    fn new(admitted: Admitted) -> Self {
        let Admitted { stream, mut connection, request, association, handle, shared, place, .. } = admitted;
        connection.grow(request.entries);
        let stall_max = shared.stall_max;
        let kind = if request.qid == 0 {
            Kind::Admin(Box::new(AdminQueue::new(shared.clone(), &association, &request)))
        } else {
            Kind::Io(RefCell::new(Rc::new(ExportsView::of(&association))))
        };
        Self {
            qid: request.qid,
            entries: request.entries,
            flow_control: request.flow_control,
            stall_max,
            _place: place,
            memory: HostMemory::of(&association.host.nqn),
            authentication: Authentication::new(&shared, &association, request.qid),
            shared,
            kind,
            association,
            handle,
            stream,
            connection: RefCell::new(connection),
            outbox: Outbox::new(),
            slots: Slots::new(request.entries),
            fences: Fences::new(request.entries),
            fused: Fused::default(),
            // The Connect command was the first one.
            sqhd: Cell::new(1 % request.entries),
            stopping: Cell::new(false),
            ended: Cell::new(false),
            over: WakeSlot::default(),
            awaiting_data: Cell::new(0),
            data_received: Cell::new(0),
            executing: Cell::new(0),
            busy_since: Cell::new(Nanos(0)),
            drained: WakeSlot::default(),
        }
    }

    /// The admin queue's own part.
    pub(super) fn admin(&self) -> Option<&AdminQueue> {
        match &self.kind {
            Kind::Admin(admin) => Some(admin),
            Kind::Io(_) => None,
        }
    }

    /// Runs a queue pair from the answer to its Connect to its end.
    pub(super) async fn run(admitted: Admitted) {
        let slot = admitted.slot;
        let queue = Rc::new(Self::new(admitted));
        rt::spawn(send(queue.clone()));
        rt::spawn(watch::watch(queue.clone()));
        if let Kind::Admin(_) = queue.kind {
            rt::spawn(admin::look_after(queue.clone()));
        }
        authentication::set_deadline(&queue);
        let result = u64::from(queue.association.cntlid) | queue.authentication.connect_result();
        queue.answer(slot, Answer { status: Status::SUCCESS, result, data: None }).await;

        let goodbye = match race(receive::receive_loop(&queue), queue.handle.end.raised()).await {
            Either::First(end) => end,
            Either::Second(()) => End::Told,
        };
        if goodbye == End::PeerGone {
            queue.end();
        }
        queue.stopping.set(true);
        // Half of a fused command must not wait for one that will never begin.
        queue.fused.end();
        queue.slots.let_go();
        queue.slots.wake_all();
        // Queues first (H1): an association never outlives its I/O queues' commands.
        if let Kind::Admin(_) = queue.kind {
            queue.association.ready.store(false, Ordering::SeqCst);
            queue.association.end_io_queues(true).await;
        }
        queue.drained.until(|| (queue.executing.get() == 0).then_some(())).await;
        if goodbye == End::Goodbye {
            queue.outbox.flushed().await;
        }
        // Forgotten first, so that a host that sees its connection end can at once come again.
        queue.association.leave(queue.qid);
        if let Kind::Admin(admin) = &queue.kind {
            admin.shared.forget_controller(queue.association.cntlid);
        }
        queue.end();
    }

    /// Ends it at once: nothing more is received, begun or sent; commands under way go on to their end.
    fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        self.stopping.set(true);
        self.stream.shutdown();
        self.outbox.close();
        self.slots.wake_all();
        self.over.wake();
        self.authentication.end();
        if let Kind::Admin(admin) = &self.kind {
            admin.over.wake();
        }
    }

    /// What all of the target shares.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Ends it as anybody else would: what is ready is still sent, and an admin queue takes its I/O queues along.
    pub(super) fn end_from_outside(&self) {
        self.handle.end.raise();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Sends a command's answer, data first, and gives its slot back. Waits while the outbox is full.
    pub(super) async fn answer(&self, slot: Slot, answer: Answer) {
        self.outbox.room().await;
        if self.ended.get() {
            return;
        }
        if !answer.status.is_success() {
            self.log_error(slot, answer.status);
        }
        let mut connection = self.connection.borrow_mut();
        let mut outbox = self.outbox.fill();
        let success_flag = !self.flow_control && answer.result == 0 && answer.data.is_some();
        if let Some(data) = answer.data {
            let digest = connection.negotiated().is_some_and(|agreed| agreed.data_digest);
            let len = u32::try_from(data.len()).expect("transfers stay below MDTS");
            outbox.header(|bytes| connection.encode_c2h_data(slot, len, success_flag, bytes));
            let crc = digest.then(|| Crc32c::of(&data));
            outbox.payload(data);
            if let Some(crc) = crc {
                outbox.header(|bytes| bytes.extend_from_slice(&crc.to_le_bytes()));
            }
        }
        if success_flag {
            connection.release(slot);
            return;
        }
        let sqhd = if self.flow_control { self.sqhd.get() } else { SQHD_DISABLED };
        let cqe = Cqe::new(0, sqhd, answer.status, answer.result);
        outbox.header(|bytes| connection.encode_response(slot, cqe, bytes));
    }

    /// A command begins to execute.
    fn begin_executing(&self) {
        if self.executing.replace(self.executing.get() + 1) == 0 {
            self.busy_since.set(rt::now());
        }
    }

    /// A command was answered.
    fn end_executing(&self) {
        self.executing.set(self.executing.get() - 1);
        if self.executing.get() == 0 {
            let busy = rt::now().since(self.busy_since.get());
            self.handle.counters.busy_nanos.add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX));
            self.drained.wake();
        }
    }

    /// Remembers a failed command for the controller's error log.
    fn log_error(&self, slot: Slot, status: Status) {
        let Subject { opcode, nsid, lba } = self.slots.subject(slot);
        let cid = self.connection.borrow().cid(slot);
        self.handle.counters.errors.add(1);
        self.association.record_error(ErrorRecord { sqid: self.qid, cid, status, opcode, nsid, lba });
    }
}

/// The send task.
async fn send(queue: Rc<Queue>) {
    if queue.outbox.send_all(&queue.stream).await.is_err() {
        // The peer has gone; the receive task hears of it, too.
        queue.end();
    }
}
