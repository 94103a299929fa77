//! The admin queue: `nvmeof`'s controller, given what it needs to know about this node.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nvmeof::{
    Status,
    command::{AdminCommand, GetLogPage},
    controller::{
        AdminReply, AdminRequest, ConnectRequest, Controller, ControllerKind, Event, Health,
        IMMEDIATE_RESET_SUCCESSFUL, KeepAliveVerdict, LifecycleEffect, LifecycleState, Namespace, View,
    },
    transport::Slot,
    wire::{Sqe, log_page::TELEMETRY_CREATE, opcode::LogPageId},
};

use super::{
    Shared,
    association::Association,
    discovery::DiscoveryLog,
    health, lba_status,
    queue::{Answer, End, Flow, Queue},
    reservations,
    subsystem::{Visible, describe},
    telemetry,
    wait::{Either, WakeSlot, race},
};
use crate::{
    limits,
    rt::{self, Buf},
};

/// What an admin queue has beyond any queue pair.
pub(super) struct AdminQueue {
    pub(super) shared: Arc<Shared>,
    /// The look-after task's wait for the end.
    pub(super) over: WakeSlot,
    controller: RefCell<Controller>,
    /// What the host could see when we looked last, to tell it of changes.
    known: RefCell<Known>,
    /// At the last look, which walks all that the drives hold.
    health: Cell<Health>,
}

#[derive(Debug, PartialEq, Eq, Default)]
struct Known {
    namespaces: Vec<Namespace>,
    discovery: DiscoveryLog,
}

impl Known {
    fn of(shared: &Shared, association: &Association) -> Self {
        let exports = association.subsystem.exports();
        let namespaces = exports.visible_to(&association.host.nqn).iter().map(describe).collect();
        Self { namespaces, discovery: discovery_log(shared, association) }
    }
}

/// Of an I/O controller it is empty.
fn discovery_log(shared: &Shared, association: &Association) -> DiscoveryLog {
    match association.kind {
        ControllerKind::Io => DiscoveryLog::default(),
        ControllerKind::Discovery => shared.discovery_log(association),
    }
}

impl AdminQueue {
    pub(super) fn new(shared: Arc<Shared>, association: &Association, request: &ConnectRequest) -> Self {
        let mut request = request.clone();
        if association.kind == ControllerKind::Discovery && request.kato_ms == 0 {
            request.kato_ms = limits::DISCOVERY_IDLE_MAX.as_millis() as u32;
        }
        let controller =
            Controller::new(association.kind, association.cntlid, association.instance, &request, now());
        association.io_queues.store(controller.io_queues(), Ordering::SeqCst);
        let known = RefCell::new(Known::of(&shared, association));
        let health = Cell::new(health::of(&shared, association));
        Self { shared, over: WakeSlot::default(), controller: RefCell::new(controller), known, health }
    }

    /// The state of health, looked at anew if the command is about it.
    fn health(&self, association: &Association, command: &AdminCommand) -> Health {
        const PAGES: [LogPageId; 2] = [LogPageId::SMART, LogPageId::ENDURANCE_GROUP];
        if matches!(command, AdminCommand::GetLogPage(GetLogPage { page, .. }) if PAGES.contains(page)) {
            self.health.set(health::of(&self.shared, association));
        }
        self.health.get()
    }
}

fn now() -> Duration {
    Duration::from_nanos(rt::now().0)
}

/// Executes an admin command and answers it, and every event that it let loose.
/// `sent` is the data that it brought.
pub(super) async fn execute(
    queue: &Rc<Queue>,
    admin: &AdminQueue,
    slot: Slot,
    sqe: &Sqe,
    sent: &[u8],
) -> Flow {
    let command = match AdminCommand::parse(sqe) {
        Ok(command) => command,
        Err(status) => {
            queue.answer(slot, Answer::status(status)).await;
            return Flow::Continue;
        }
    };
    let association = &queue.association;
    let mut data = Vec::new();
    let request = AdminRequest { slot, cid: sqe.cid.get(), command: &command, data: sent };
    let reply = decide(association, admin, &request, &mut data);
    if let AdminCommand::SetFeatures { .. } = command {
        // The keep-alive timer may have become shorter.
        association.changed.raise();
    }
    let flow = match reply {
        AdminReply::Complete { status, result } => {
            let data = if data.is_empty() { None } else { Some(Buf::copy_of(&data).await) };
            queue.answer(slot, Answer { status, result, data }).await;
            Flow::Continue
        }
        AdminReply::Changed { result, effect } => {
            queue.answer(slot, Answer { status: Status::SUCCESS, result, data: None }).await;
            rt::spawn(act(queue.clone(), effect));
            Flow::Continue
        }
        AdminReply::Held => Flow::Continue,
        AdminReply::AbortOther { sqid, cid } => {
            rt::spawn(abort_other(queue.clone(), slot, sqid, cid));
            Flow::Continue
        }
        AdminReply::PersistReservations { nsids, persistent } => {
            rt::spawn(reservations::persist(queue.clone(), slot, nsids, persistent));
            Flow::Continue
        }
        AdminReply::LbaStatus(query) => {
            rt::spawn(lba_status::answer(queue.clone(), slot, query));
            Flow::Continue
        }
        AdminReply::ResetOther { cntlid, instance } => {
            let sibling = admin.shared.sibling(association, cntlid, instance);
            rt::spawn(reset_other(queue.clone(), slot, sibling));
            Flow::Continue
        }
        AdminReply::Disconnect => {
            queue.answer(slot, Answer::status(Status::SUCCESS)).await;
            Flow::End(End::Goodbye)
        }
    };
    answer_events(queue, admin).await;
    flow
}

/// What the controller says to a command; the data for the host is appended to `data`.
fn decide(
    association: &Association,
    admin: &AdminQueue,
    request: &AdminRequest<'_>,
    data: &mut Vec<u8>,
) -> AdminReply {
    let mut shown = association.shown.lock();
    let exports = association.subsystem.exports();
    let visible = Visible(exports.visible_to(&association.host.nqn));
    let discovery = discovery_log(&admin.shared, association);
    let telemetry = match *request.command {
        AdminCommand::GetLogPage(GetLogPage { page: LogPageId::TELEMETRY_HOST, lsp, .. })
            if lsp & TELEMETRY_CREATE != 0 =>
        {
            telemetry::snapshot(&admin.shared, association)
        }
        _ => String::new(),
    };
    let view = View {
        subsystem: &association.subsystem.description,
        namespaces: &visible,
        health: admin.health(association, request.command),
        has_io_queues: association.open_io_queues() > 0,
        telemetry: telemetry.as_bytes(),
        discovery: &discovery.records,
        discovery_generation: discovery.generation,
    };
    let mut controller = admin.controller.borrow_mut();
    take_in(&mut controller, association);
    let reply = controller.execute(now(), request, &view, data);
    mirror(&controller, association);
    if let AdminReply::Complete { status: Status::SUCCESS, .. } = reply {
        shown.answered(request.command, &visible);
    }
    reply
}

/// Abort of an I/O command, whose queue may live on another core; bit 0 of the result says that it was not aborted.
async fn abort_other(queue: Rc<Queue>, slot: Slot, sqid: u16, cid: u16) {
    let aborted = queue.association.abort(sqid, cid).await;
    let admin = queue.admin().expect("aborts come on the admin queue");
    admin.controller.borrow_mut().finish_abort();
    queue.answer(slot, Answer { status: Status::SUCCESS, result: u64::from(!aborted), data: None }).await;
}

/// Cross-Controller Reset: answered when none of the other controller's commands can be executed any more, so that
/// the host may send them again here (H1). One that is gone already needs no reset.
async fn reset_other(queue: Rc<Queue>, slot: Slot, sibling: Option<Arc<Association>>) {
    if let Some(sibling) = sibling {
        sibling.end();
        sibling.gone.opened().await;
    }
    let result = IMMEDIATE_RESET_SUCCESSFUL;
    queue.answer(slot, Answer { status: Status::SUCCESS, result, data: None }).await;
}

/// What the other queues and hosts left for the host to hear.
fn take_in(controller: &mut Controller, association: &Association) {
    for error in association.take_errors() {
        controller.record_error(&error);
    }
    for (nsid, kind) in association.take_notices() {
        controller.reservation_notice(nsid, kind);
    }
}

/// Lets the other queues see what they need of the controller's state.
fn mirror(controller: &Controller, association: &Association) {
    let ready = controller.state() == LifecycleState::Ready && controller.kind() == ControllerKind::Io;
    association.ready.store(ready, Ordering::SeqCst);
    association.io_queues.store(controller.io_queues(), Ordering::SeqCst);
    association.write_cache.store(controller.write_cache_enabled(), Ordering::SeqCst);
    association.copies_across.store(controller.copies_across(), Ordering::SeqCst);
}

/// The host reset us or said goodbye: when it sees in CSTS that we have done so, no command is under way any more.
async fn act(queue: Rc<Queue>, effect: LifecycleEffect) {
    if effect == LifecycleEffect::None {
        return;
    }
    let association = &queue.association;
    association.end_io_queues(false).await;
    if effect == LifecycleEffect::Shutdown {
        let exports = association.subsystem.exports();
        for namespace in exports.visible_to(&association.host.nqn) {
            if let Err(error) = namespace.volume.flush().await {
                tracing::warn!(%error, nsid = namespace.nsid, "a flush at shutdown failed");
            }
        }
    }
    let admin = queue.admin().expect("only admin queues change the controller's state");
    let mut controller = admin.controller.borrow_mut();
    controller.finish(effect);
    mirror(&controller, association);
}

async fn answer_events(queue: &Queue, admin: &AdminQueue) {
    loop {
        let Some(event) = admin.controller.borrow_mut().take_event() else { return };
        let answer = Answer { status: event.status, result: u64::from(event.result), data: None };
        queue.answer(event.slot, answer).await;
    }
}

/// The task that looks after a controller: tells the host of changes, and ends it when the host falls silent or
/// has nothing left here.
pub(super) async fn look_after(queue: Rc<Queue>) {
    let admin = queue.admin().expect("only admin queues are looked after");
    let association = &queue.association;
    while !queue.has_ended() {
        let commands = association.totals().commands;
        let verdict = admin.controller.borrow_mut().check_keep_alive(now(), commands);
        let wants_health = admin.controller.borrow().wants_health();
        let longest = if wants_health { limits::HEALTH_LOOK } else { limits::BLOCK_MAX };
        let wait = match verdict {
            KeepAliveVerdict::Off => longest,
            KeepAliveVerdict::CheckAt(time) => time.saturating_sub(now()).min(longest),
            KeepAliveVerdict::Expired => {
                tracing::info!(peer = %association.peer, cntlid = association.cntlid, "keep-alive timed out");
                association.end();
                return;
            }
        };
        let over = admin.over.until(|| queue.has_ended().then_some(()));
        let next = race(over, race(association.changed.raised(), rt::sleep(wait))).await;
        if let Either::Second(Either::First(())) = next {
            notice_changes(&queue, admin).await;
        }
        if wants_health {
            admin.health.set(health::of(&admin.shared, association));
            admin.controller.borrow_mut().see_health(&admin.health.get());
            answer_events(&queue, admin).await;
        }
    }
}

async fn notice_changes(queue: &Rc<Queue>, admin: &AdminQueue) {
    let new = Known::of(&admin.shared, &queue.association);
    let old = admin.known.replace(new);
    {
        let new = admin.known.borrow();
        let mut controller = admin.controller.borrow_mut();
        take_in(&mut controller, &queue.association);
        for nsid in changed_namespaces(&old.namespaces, &new.namespaces) {
            controller.namespace_changed(nsid);
        }
        controller.observe_paths(&new.namespaces);
        if old.discovery != new.discovery {
            controller.raise(Event::DiscoveryChange);
        }
    }
    answer_events(queue, admin).await;
    let association = &queue.association;
    if association.kind == ControllerKind::Io && admin.known.borrow().namespaces.is_empty() {
        let association = association.clone();
        rt::spawn(async move {
            rt::sleep(limits::UNPUBLISH_GRACE).await;
            if !association.subsystem.exports().admits(&association.host.nqn) {
                association.end();
            }
        });
    }
}

/// NSIDs that came, went, or are described differently, but for the space they use, what hosts set themselves, and
/// their ANA state, which is told as such.
fn changed_namespaces(old: &[Namespace], new: &[Namespace]) -> Vec<u32> {
    let same = |a: &Namespace, b: &Namespace| {
        let Namespace { used_blocks, reservations_persist, ana_state, .. } = *b;
        Namespace { used_blocks, reservations_persist, ana_state, ..*a } == *b
    };
    let [old, new] = [old, new].map(|all| all.iter().map(|ns| (ns.nsid, ns)).collect::<BTreeMap<_, _>>());
    let is_changed = |nsid: &u32| match (old.get(nsid), new.get(nsid)) {
        (Some(old), Some(new)) => !same(old, new),
        _ => true,
    };
    let nsids: BTreeSet<u32> = old.keys().chain(new.keys()).copied().collect();
    nsids.into_iter().filter(is_changed).collect()
}
