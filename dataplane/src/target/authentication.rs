//! In-band authentication of a queue pair: `nvmeof::auth`'s machine, given randomness, time and a thread that computes.
//!
//! A queue whose host has a secret takes nothing but authentication until that has succeeded (Base §8.3.4). It may
//! be repeated at any time, beside all other commands; when it fails the queue ends, and with the admin queue the controller.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use nvmeof::{
    Status,
    auth::{ControllerAuthentication, FailureReason, Received, Requirement, Sent, Work},
    command::AuthenticationCommand,
    controller::ControllerKind,
    transport::Slot,
    wire::{Sqe, connect::AUTHENTICATION_REQUIRED},
};

use super::{
    Shared,
    association::Association,
    by_address,
    queue::{Answer, End, Flow, Queue},
    wait::{WakeSlot, race},
};
use crate::rt::{self, Buf};

/// A queue's part in it.
#[derive(Debug)]
pub(super) struct Authentication {
    machine: RefCell<ControllerAuthentication>,
    /// Everything else is executed: the host has authenticated, or need not.
    open: Cell<bool>,
    /// A deadline runs.
    timed: Cell<bool>,
    /// Its task's wait for the end.
    over: WakeSlot,
}

impl Authentication {
    /// Of a queue that has just connected.
    pub(super) fn new(shared: &Shared, association: &Association, qid: u16) -> Self {
        let (host, subsystem) = (association.host.nqn.clone(), association.subsystem.nqn().clone());
        // What discovery tells is no secret, and many a host asks there without one.
        let now = || association.kind == ControllerKind::Io && shared.requirement_of(association).is_some();
        let required = if qid == 0 { association.authenticates } else { now() };
        if !required {
            association.known.store(true, Ordering::SeqCst);
        }
        Self {
            machine: RefCell::new(ControllerAuthentication::new(host, subsystem)),
            open: Cell::new(!required),
            timed: Cell::new(false),
            over: WakeSlot::default(),
        }
    }

    /// Dword 0 of the response to Connect, next to the controller's identifier.
    pub(super) fn connect_result(&self) -> u64 {
        if self.open.get() { 0 } else { u64::from(AUTHENTICATION_REQUIRED) }
    }

    /// Whether the command goes past this: one look at most commands.
    pub(super) fn lets_pass(&self, sqe: &Sqe) -> bool {
        self.open.get() && !AuthenticationCommand::is_one(sqe)
    }

    /// The queue has ended.
    pub(super) fn end(&self) {
        self.over.wake();
    }

    fn is_pending(&self) -> bool {
        !self.open.get() || self.machine.borrow().is_under_way()
    }

    fn succeeded(&self, association: &Association) {
        self.open.set(true);
        association.known.store(true, Ordering::SeqCst);
        self.over.wake();
    }
}

impl Shared {
    /// How the host of a controller has to authenticate, if it has to.
    fn requirement_of(&self, association: &Association) -> Option<Arc<Requirement>> {
        let host = &association.host.nqn;
        self.requirement_of_node(host).or_else(|| self.requirements().get(host).cloned())
    }
}

/// Ends the queue if its host does not authenticate in time. Does nothing while nothing is pending.
pub(super) fn set_deadline(queue: &Rc<Queue>) {
    let authentication = &queue.authentication;
    if !authentication.is_pending() || authentication.timed.replace(true) {
        return;
    }
    let queue = queue.clone();
    rt::spawn(async move {
        let authentication = &queue.authentication;
        let settled = || (queue.has_ended() || !authentication.is_pending()).then_some(());
        race(authentication.over.until(settled), rt::sleep(queue.shared().authentication_max)).await;
        authentication.timed.set(false);
        if settled().is_none() {
            tracing::info!(peer = %queue.association.peer, "a host did not authenticate in time");
            queue.end_from_outside();
        }
    });
}

/// What a capsule that is not let past asks for.
pub(super) fn judge(sqe: &Sqe, in_capsule_len: u32) -> Result<AuthenticationCommand, Status> {
    if !AuthenticationCommand::is_one(sqe) {
        return Err(Status::AUTHENTICATION_REQUIRED);
    }
    AuthenticationCommand::parse(sqe, in_capsule_len)
}

/// A message of the host.
pub(super) async fn send(queue: &Rc<Queue>, slot: Slot, message: &[u8]) -> Flow {
    let authentication = &queue.authentication;
    let requirement = queue.shared().requirement_of(&queue.association);
    let sent = authentication.machine.borrow_mut().send(message, requirement.as_ref(), &mut rt::random_bytes);
    set_deadline(queue);
    match sent {
        Sent::Taken => queue.answer(slot, Answer::status(Status::SUCCESS)).await,
        Sent::Compute(work) => rt::spawn(compute(queue.clone(), slot, work)),
        Sent::Authenticated => {
            authentication.succeeded(&queue.association);
            queue.answer(slot, Answer::status(Status::SUCCESS)).await;
        }
        Sent::Over(reason) => {
            report(queue, "the host gave its authentication up", reason);
            queue.answer(slot, Answer::status(Status::SUCCESS)).await;
            return Flow::End(End::Goodbye);
        }
    }
    Flow::Continue
}

/// The host is answered when its next Receive has something to give.
async fn compute(queue: Rc<Queue>, slot: Slot, work: Work) {
    let owner = by_address::owner(queue.association.peer.ip());
    match rt::offload(owner, move || work.compute()).await {
        Ok(worked) => {
            queue.authentication.machine.borrow_mut().computed(worked);
            queue.answer(slot, Answer::status(Status::SUCCESS)).await;
        }
        Err(rt::Busy) => {
            tracing::warn!(peer = %queue.association.peer, "too many hosts authenticate at once");
            queue.answer(slot, Answer::status(Status::INTERNAL_ERROR)).await;
            queue.end_from_outside();
        }
    }
}

/// A message for the host, at most `room_bytes` long and filled up with zeros.
pub(super) async fn receive(queue: &Rc<Queue>, slot: Slot, room_bytes: u32) -> Flow {
    let authentication = &queue.authentication;
    let received = authentication.machine.borrow_mut().receive(room_bytes as usize);
    let (message, flow) = match received {
        None => {
            queue.answer(slot, Answer::status(Status::INVALID_FIELD)).await;
            return Flow::Continue;
        }
        Some(Received::Message(message)) => (message, Flow::Continue),
        Some(Received::Authenticated(message)) => {
            authentication.succeeded(&queue.association);
            (message, Flow::Continue)
        }
        Some(Received::Over(message, reason)) => {
            report(queue, "a host did not authenticate", reason);
            (message, Flow::End(End::Goodbye))
        }
    };
    let mut data = Buf::alloc(room_bytes as usize).await;
    let (head, rest) = data.split_at_mut(message.len());
    head.copy_from_slice(&message);
    rest.fill(0);
    queue.answer(slot, Answer { status: Status::SUCCESS, result: 0, data: Some(data) }).await;
    flow
}

fn report(queue: &Queue, what: &'static str, reason: FailureReason) {
    let association = &queue.association;
    tracing::warn!(peer = %association.peer, host = %association.host.nqn, %reason, "{what}");
}
