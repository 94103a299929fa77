//! One queue pair on its core: the connection, its command slots, and a task per slot in use.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};

use nvmeof::{
    Status,
    transport::{ControllerConnection, Crc32c, Slot},
    wire::{Cqe, Sqe, cqe::SQHD_DISABLED},
};

use super::outbox::Outbox;
use crate::rt::{self, Buf, Nanos, net::TcpStream};

/// A connection whose Connect succeeded, with everything its commands share.
///
/// Lives until its receive side has ended and every command that reached a volume has, too; commands still waiting
/// for data are dropped with the connection (H1).
pub(super) struct Qpair {
    pub(super) stream: Arc<TcpStream>,
    pub(super) connection: RefCell<ControllerConnection>,
    pub(super) outbox: Outbox,
    slots: RefCell<Vec<Rc<CommandSlot>>>,
    entries: u16,
    /// Submission queue head: commands taken, modulo the queue's size. Means nothing with flow control off.
    sqhd: Cell<u16>,
    flow_control: bool,
    data_digest: bool,
    closing: Cell<bool>,
    /// Commands between their start and their answer.
    busy: Cell<usize>,
    drained: Cell<Option<Waker>>,
}

/// What a queue does with its commands.
pub(super) trait Execute: 'static {
    /// Carries out one command and answers it, unless the connection ends first.
    fn execute(self: Rc<Self>, qpair: Rc<Qpair>, slot: Slot, command: Command) -> impl Future<Output = ()>;
}

/// A command as it arrived, with the data that came in its capsule.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) sqe: Sqe,
    /// Bytes in the capsule; `data` holds them.
    pub(super) in_capsule_len: u32,
    pub(super) data: Option<Buf>,
    /// The capsule's data digest was right (or there was none).
    pub(super) intact: bool,
    pub(super) arrived: Nanos,
}

/// The place of one command in flight.
#[derive(Default)]
pub(super) struct CommandSlot {
    /// Set by the receive side, taken by the slot's task.
    ready: Cell<Option<Command>>,
    /// Data that arrives: of the capsule before `ready`, of an R2T after it.
    pub(super) data: Cell<Option<Buf>>,
    /// An R2T's data is complete; the value says whether it is intact.
    solicited: Cell<Option<bool>>,
    waker: Cell<Option<Waker>>,
}

impl Qpair {
    pub(super) fn new(
        stream: Arc<TcpStream>,
        connection: ControllerConnection,
        entries: u16,
        flow_control: bool,
    ) -> Rc<Self> {
        let data_digest = connection.negotiated().is_some_and(|agreed| agreed.data_digest);
        Rc::new(Self {
            stream,
            connection: RefCell::new(connection),
            outbox: Outbox::new(),
            slots: RefCell::default(),
            entries,
            sqhd: Cell::new(0),
            flow_control,
            data_digest,
            closing: Cell::new(false),
            busy: Cell::new(0),
            drained: Cell::new(None),
        })
    }

    /// The slot's place; its task starts with its first use.
    pub(super) fn slot<E: Execute>(self: &Rc<Self>, slot: Slot, queue: &Rc<E>) -> Rc<CommandSlot> {
        if let Some(found) = self.slots.borrow().get(slot.index()) {
            return found.clone();
        }
        let mut slots = self.slots.borrow_mut();
        while slots.len() <= slot.index() {
            let place = Rc::new(CommandSlot::default());
            let index = u16::try_from(slots.len()).expect("queues have at most 2^16 entries");
            rt::spawn(run_slot(self.clone(), Slot(index), place.clone(), queue.clone()));
            slots.push(place);
        }
        slots[slot.index()].clone()
    }

    /// A capsule was taken from the submission queue.
    pub(super) fn count_taken(&self) {
        self.sqhd.set((self.sqhd.get() + 1) % self.entries);
    }

    /// Hands a complete capsule to the slot's task.
    pub(super) fn start(&self, place: &CommandSlot, command: Command) {
        self.busy.set(self.busy.get() + 1);
        place.ready.set(Some(command));
        place.wake();
    }

    /// Asks the host for `len` bytes and waits for them. `None`: the connection ended. The flag says whether the
    /// data is intact.
    pub(super) async fn solicit(&self, slot: Slot, len: u32) -> Option<(Buf, bool)> {
        let place = self.slots.borrow()[slot.index()].clone();
        place.data.set(Some(Buf::alloc(len as usize).await));
        if self.closing.get() {
            return None;
        }
        self.outbox.push(|out| self.connection.borrow_mut().encode_r2t(slot, len, out));
        let intact = poll_fn(|cx| {
            if self.closing.get() {
                return Poll::Ready(None);
            }
            if let Some(intact) = place.solicited.take() {
                return Poll::Ready(Some(intact));
            }
            place.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await?;
        let data = place.data.take().expect("the receive side gives it back with the last byte");
        Some((data, intact))
    }

    /// Answers a command that returns no data.
    pub(super) fn respond(&self, slot: Slot, status: Status, result: u64) {
        let cqe = Cqe::new(0, self.sqhd(), status, result);
        self.outbox.push(|out| self.connection.borrow_mut().encode_response(slot, cqe, out));
    }

    /// Answers a command with its data: one C2HData, and a response where the host still counts queue entries.
    pub(super) fn respond_with_data(&self, slot: Slot, data: Buf, result: u64) {
        let len = u32::try_from(data.len()).expect("transfers are at most MDTS");
        // The SUCCESS flag stands for a response of zeros, which has no place for a result or SQHD.
        let success = !self.flow_control && result == 0;
        let digest = self.data_digest.then(|| Crc32c::of(&data));
        self.outbox.push(|out| self.connection.borrow().encode_c2h_data(slot, len, success, out));
        self.outbox.push_payload(data);
        if let Some(digest) = digest {
            self.outbox.push(|out| out.extend_from_slice(&digest.to_le_bytes()));
        }
        if success {
            self.connection.borrow_mut().release(slot);
        } else {
            self.respond(slot, Status::SUCCESS, result);
        }
    }

    fn sqhd(&self) -> u16 {
        if self.flow_control { self.sqhd.get() } else { SQHD_DISABLED }
    }

    /// An R2T's data is complete.
    pub(super) fn solicited(&self, place: &CommandSlot, intact: bool) {
        place.solicited.set(Some(intact));
        place.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Ends the connection: waiting commands are dropped, the others run to their end.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.outbox.close();
        self.stream.shutdown();
        for place in self.slots.borrow().iter() {
            place.wake();
        }
    }

    /// Waits until no command is between its start and its answer.
    pub(super) async fn drained(&self) {
        poll_fn(|cx| {
            if self.busy.get() == 0 {
                return Poll::Ready(());
            }
            self.drained.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn finished(&self) {
        self.busy.set(self.busy.get() - 1);
        if self.busy.get() == 0
            && let Some(waker) = self.drained.take()
        {
            waker.wake();
        }
    }
}

impl CommandSlot {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Carries out one slot's commands, one after the other, as long as the connection lives.
async fn run_slot<E: Execute>(qpair: Rc<Qpair>, slot: Slot, place: Rc<CommandSlot>, queue: Rc<E>) {
    loop {
        let command = poll_fn(|cx| {
            if let Some(command) = place.ready.take() {
                return Poll::Ready(Some(command));
            }
            if qpair.is_closing() {
                return Poll::Ready(None);
            }
            place.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        let Some(command) = command else { return };
        // One that came with the connection's last bytes never reaches a volume.
        if !qpair.is_closing() {
            queue.clone().execute(qpair.clone(), slot, command).await;
        }
        qpair.finished();
    }
}
