//! Command slots: where a command waits for its data, and the task that executes it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures_channel::oneshot;
use nvmeof::{
    Status,
    transport::Slot,
    wire::{Sqe, nvm::RwSqe},
};

use super::{
    Answer, Queue,
    solicit::{Share, ask},
};
use crate::{
    rt::{self, Buf, Charge, Nanos},
    target::{
        io_command::{Caller, IoWork},
        qos::Leave,
        wait::{Either, WakeSlot, race},
    },
};

/// What a command whose data is still arriving will be.
#[derive(Debug)]
pub(super) enum Pending {
    /// Data is collected in the slot's buffer, then the work begins. `solicited`: by R2T.
    Io { work: IoWork, solicited: Option<Share> },
    /// Data is let go, then the command is answered.
    Refused(Status),
    /// The same for an aborted command; then whoever asked for that is told.
    Aborted { aborted: oneshot::Sender<bool>, solicited: Option<Share> },
    /// Data is collected, then the admin command is executed. `solicited`: by R2T.
    Admin { sqe: Sqe, solicited: Option<Share> },
    /// Data is collected: a message of authentication. `solicited`: by R2T.
    Authentication { len_bytes: u32, solicited: Option<Share> },
}

/// What a command was about, should it fail and be logged.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Subject {
    pub(super) opcode: u8,
    pub(super) nsid: u32,
    /// Where it has one; other commands have other things there.
    pub(super) lba: u64,
}

/// Work given to a slot's task.
#[derive(Debug)]
pub(super) enum Task {
    /// Ask for `len_bytes` of data; the work begins when they have come.
    Solicit { work: IoWork, len_bytes: u32 },
    /// Execute, with the data that came.
    Execute { work: IoWork, share: Option<Share> },
}

#[derive(Default)]
struct Place {
    pending: Cell<Option<Pending>>,
    data: RefCell<Option<Buf>>,
    /// Not before (H1).
    arrived: Cell<Nanos>,
    /// When it was seen here.
    came: Cell<Nanos>,
    subject: Cell<Subject>,
    task: Cell<Option<Task>>,
    /// Its volume's limits, or the memory for its data, keep the command from beginning.
    held: Cell<bool>,
    /// It shall not begin any more: whom to tell when it was answered.
    abort: Cell<Option<oneshot::Sender<bool>>>,
    waker: WakeSlot,
    has_task: Cell<bool>,
}

impl Place {
    /// It may have waited for so long that the host has given it up, sent it again on another path, and overwritten
    /// since what it wrote (H1).
    fn is_too_late(&self, queue: &Queue, work: &IoWork) -> bool {
        work.is_write() && rt::now().since(self.arrived.get()) > queue.shared.write_wait_max
    }

    /// An I/O command's data has not come yet.
    fn awaits_data(&self) -> bool {
        let pending = self.pending.take();
        let awaits = matches!(pending, Some(Pending::Io { .. }));
        self.pending.set(pending);
        awaits
    }
}

/// All slots of a queue.
pub(super) struct Slots(Box<[Place]>);

impl Slots {
    pub(super) fn new(entries: u16) -> Self {
        Self((0..entries).map(|_| Place::default()).collect())
    }

    /// A capsule was received. Its command ages since it came, which was `since` or later; when its data comes makes no
    /// difference.
    pub(super) fn arrive(&self, slot: Slot, sqe: &Sqe, since: Nanos) {
        let place = &self.0[slot.index()];
        place.arrived.set(since);
        place.came.set(rt::turned());
        let rw: RwSqe = zerocopy::transmute!(*sqe);
        place.subject.set(Subject { opcode: rw.opcode, nsid: rw.nsid.get(), lba: rw.slba.get() });
    }

    /// What the slot's command is about.
    pub(super) fn subject(&self, slot: Slot) -> Subject {
        self.0[slot.index()].subject.get()
    }

    /// Remembers what to do once the data has come. `data` is its buffer, if it is kept.
    pub(super) fn await_data(&self, slot: Slot, pending: Pending, data: Option<Buf>) {
        let place = &self.0[slot.index()];
        place.pending.set(Some(pending));
        *place.data.borrow_mut() = data;
    }

    /// Copies bytes into the command's buffer, if its data is kept.
    pub(super) fn fill(&self, slot: Slot, offset: u32, bytes: &[u8]) {
        if let Some(buf) = self.0[slot.index()].data.borrow_mut().as_mut() {
            buf[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Takes the buffer out to receive into it in place.
    pub(super) fn take_data(&self, slot: Slot) -> Option<Buf> {
        self.0[slot.index()].data.take()
    }

    pub(super) fn put_data(&self, slot: Slot, buf: Buf) {
        *self.0[slot.index()].data.borrow_mut() = Some(buf);
    }

    /// What the command waited with; its data has come.
    pub(super) fn take_pending(&self, slot: Slot) -> Option<Pending> {
        self.0[slot.index()].pending.take()
    }

    /// Ends the I/O command that is meant and has not begun: it is held, or its data has not come. Whoever asked is told
    /// when it was answered; with false at once if there is no such command.
    pub(super) fn abort(&self, aborted: oneshot::Sender<bool>, is_meant: impl Fn(Slot) -> bool) {
        let has_not_begun = |(_, place): &(Slot, &Place)| place.held.get() || place.awaits_data();
        let mut slots = (0..).map(Slot).zip(&self.0).filter(has_not_begun);
        let Some((_, place)) = slots.find(|&(slot, _)| is_meant(slot)) else {
            // Whoever asked may be gone.
            let _ = aborted.send(false);
            return;
        };
        if place.held.replace(false) {
            place.abort.set(Some(aborted));
            place.waker.wake();
        } else if let Some(Pending::Io { solicited, .. }) = place.pending.take() {
            // The host sends what it was asked for all the same, and may use the identifier again only then.
            place.pending.set(Some(Pending::Aborted { aborted, solicited }));
        }
    }

    /// Gives work to the slot's task, which is made at its first use.
    pub(super) fn begin(queue: &Rc<Queue>, slot: Slot, task: Task) {
        let place = &queue.slots.0[slot.index()];
        place.task.set(Some(task));
        if place.has_task.replace(true) {
            place.waker.wake();
        } else {
            rt::spawn(slot_task(queue.clone(), slot));
        }
    }

    /// Drops what waits for data or to begin; nothing is received or begun any more.
    pub(super) fn let_go(&self) {
        for place in &self.0 {
            place.pending.take();
            place.task.take();
        }
    }

    /// Lets all tasks see that the queue has ended.
    pub(super) fn wake_all(&self) {
        for place in &self.0 {
            place.waker.wake();
        }
    }
}

async fn slot_task(queue: Rc<Queue>, slot: Slot) {
    let place = &queue.slots.0[slot.index()];
    loop {
        let next = place.waker.until(|| {
            if queue.stopping.get() {
                // Whatever was given but not begun is dropped with the queue (H1).
                return Some(None);
            }
            place.task.take().map(Some)
        });
        let Some(mut task) = next.await else { return };
        if let Some(answer) = hold(&queue, place, &mut task).await {
            end_held(&queue, slot, place, answer).await;
            continue;
        }
        let (work, share) = match task {
            _ if queue.stopping.get() => return,
            Task::Solicit { work, .. } if place.is_too_late(&queue, &work) => {
                end_held(&queue, slot, place, too_late()).await;
                continue;
            }
            Task::Solicit { work, len_bytes } => {
                match held(&queue, place, Share::take(&queue, len_bytes as usize)).await {
                    Held::Over(share) => {
                        let pending = Pending::Io { work, solicited: Some(share) };
                        ask(&queue, slot, len_bytes, pending).await;
                    }
                    Held::Aborted => {
                        end_held(&queue, slot, place, Answer::status(Status::ABORT_REQUESTED)).await;
                    }
                    Held::Stopping => return,
                }
                continue;
            }
            Task::Execute { work, share } => (work, share),
        };
        let charge = match room_for_answer(&queue, place, &work).await {
            Held::Over(charge) => charge,
            Held::Aborted => {
                end_held(&queue, slot, place, Answer::status(Status::ABORT_REQUESTED)).await;
                continue;
            }
            Held::Stopping => return,
        };
        let data = place.data.take();
        queue.begin_executing();
        let answer = if place.is_too_late(&queue, &work) {
            too_late()
        } else {
            execute(&queue, slot, work, data, place.came.get()).await
        };
        if let (Some(charge), Some(data)) = (charge, &answer.data) {
            data.charge(charge);
        }
        drop(share);
        queue.answer(slot, answer).await;
        queue.end_executing();
    }
}

async fn execute(queue: &Queue, slot: Slot, work: IoWork, data: Option<Buf>, came: Nanos) -> Answer {
    let (shared, association) = (&*queue.shared, &*queue.association);
    let caller = Caller { shared, association, counters: &queue.handle.counters };
    if !work.is_fenced() {
        return work.execute(&caller, data, came).await;
    }
    queue.fences.begin(slot);
    let answer = work.execute(&caller, data, came).await;
    queue.fences.end(slot);
    answer
}

/// Keeps a command until its volumes' limits let it begin, it is aborted, or the queue stops: then it is dropped like
/// any that has not begun. Writes are kept before their data is asked for, so that a slow volume does not fill the memory for
/// it; they are answered when they have become too old (H1).
async fn hold(queue: &Queue, place: &Place, task: &mut Task) -> Option<Answer> {
    let (Task::Execute { work, .. } | Task::Solicit { work, .. }) = task;
    if work.awaits_mail() {
        return match held(queue, place, queue.association.mailbox.filled()).await {
            Held::Aborted => Some(Answer::status(Status::ABORT_REQUESTED)),
            Held::Stopping | Held::Over(()) => None,
        };
    }
    loop {
        let (lane, bytes) = work.next_lane(place.data.borrow().as_deref())?;
        let give_up = work.is_write().then(|| place.arrived.get().after(queue.shared.write_wait_max));
        match held(queue, place, lane.leave(bytes, give_up)).await {
            Held::Aborted => return Some(Answer::status(Status::ABORT_REQUESTED)),
            Held::Over(Leave::TooLate) => return Some(too_late()),
            Held::Stopping => return None,
            Held::Over(Leave::Given) => {}
        }
    }
}

/// Waits until what a command reads fits into what its host may have unread; it has that until it is sent.
async fn room_for_answer(queue: &Queue, place: &Place, work: &IoWork) -> Held<Option<Charge>> {
    let bytes = work.answer_bytes();
    if bytes == 0 {
        return Held::Over(None);
    }
    if let Some(charge) = queue.memory.answers.try_charge(bytes) {
        return Held::Over(Some(charge));
    }
    match held(queue, place, queue.memory.answers.charge(bytes)).await {
        Held::Over(charge) => Held::Over(Some(charge)),
        Held::Aborted => Held::Aborted,
        Held::Stopping => Held::Stopping,
    }
}

/// How the wait of a command that has not begun ends.
enum Held<T> {
    Over(T),
    Aborted,
    Stopping,
}

/// Waits with a command that has not begun, until it is aborted or the queue stops.
async fn held<T>(queue: &Queue, place: &Place, wait: impl Future<Output = T>) -> Held<T> {
    place.held.set(true);
    let ended = place.waker.until(|| (queue.stopping.get() || !place.held.get()).then_some(()));
    let outcome = race(ended, wait).await;
    let is_aborted = !place.held.replace(false);
    match outcome {
        _ if is_aborted => Held::Aborted,
        Either::First(()) => Held::Stopping,
        Either::Second(value) => Held::Over(value),
    }
}

/// Answers a command that never began.
async fn end_held(queue: &Queue, slot: Slot, place: &Place, answer: Answer) {
    drop(place.data.take());
    queue.answer(slot, answer).await;
    if let Some(aborted) = place.abort.take() {
        // Whoever asked may be gone.
        let _ = aborted.send(true);
    }
}

fn too_late() -> Answer {
    Answer::status(Status::INTERNAL_PATH_ERROR)
}
