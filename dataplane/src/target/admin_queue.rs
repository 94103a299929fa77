//! Commands of an admin queue, answered by the protocol's controller; its events and its keep-alive.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use nvmeof::{
    Status,
    command::AdminCommand,
    controller::{
        AdminReply, ConnectRequest, Controller, ControllerKind, KeepAliveVerdict, LifecycleEffect,
        LifecycleState,
    },
    transport::Slot,
};

use super::{
    Shared,
    association::{Association, QueueShared, Scope},
    qpair::{Command, Execute, Qpair},
    view::World,
};
use crate::rt::{self, Buf};

/// The admin queue of one association.
pub(super) struct AdminQueue {
    controller: RefCell<Controller>,
    association: Arc<Association>,
    queue: Arc<QueueShared>,
    shared: Arc<Shared>,
}

impl AdminQueue {
    /// A controller for an admitted Connect, with the tasks that tell its host news and watch its keep-alive.
    pub(super) fn start(
        qpair: &Rc<Qpair>,
        request: &ConnectRequest,
        association: &Arc<Association>,
        queue: &Arc<QueueShared>,
        shared: &Arc<Shared>,
    ) -> Rc<Self> {
        let kind = match association.scope {
            Scope::Nvm(_) => ControllerKind::Io,
            Scope::Discovery => ControllerKind::Discovery,
        };
        let controller = Controller::new(kind, association.cntlid, request, now());
        let admin = Rc::new(Self {
            controller: RefCell::new(controller),
            association: association.clone(),
            queue: queue.clone(),
            shared: shared.clone(),
        });
        rt::spawn(tell_news(Rc::downgrade(qpair), Rc::downgrade(&admin), association.clone()));
        rt::spawn(watch_keep_alive(Rc::downgrade(&admin), association.clone()));
        admin
    }

    /// Answers held Asynchronous Event Requests for which there is something to say.
    fn answer_events(&self, qpair: &Qpair) {
        while let Some(event) = self.controller.borrow_mut().take_event() {
            qpair.respond(event.slot, event.status, u64::from(event.result));
        }
    }

    /// Does what a change of the controller's state asks for, and lets the queues on other cores know.
    fn act_on(&self, effect: LifecycleEffect) {
        match effect {
            LifecycleEffect::None => {}
            // I/O queues end; a reset controller starts anew with its admin queue alone.
            LifecycleEffect::Reset | LifecycleEffect::Shutdown => self.association.end_io_queues(),
        }
        self.publish();
    }

    fn publish(&self) {
        let controller = self.controller.borrow();
        self.association.set_ready(controller.state() == LifecycleState::Ready);
        self.association.grant_io_queues(controller.io_queues());
        self.association.set_write_cache(controller.write_cache_enabled());
    }
}

impl Execute for AdminQueue {
    async fn execute(self: Rc<Self>, qpair: Rc<Qpair>, slot: Slot, command: Command) {
        self.queue.counters.commands.add(1);
        if !command.intact {
            return qpair.respond(slot, Status::TRANSIENT_TRANSPORT_ERROR, 0);
        }
        let parsed = match AdminCommand::parse(&command.sqe) {
            Ok(parsed) => parsed,
            Err(status) => return qpair.respond(slot, status, 0),
        };
        let mut out = Vec::new();
        let reply = {
            let world = World::new(&self.shared, &self.association);
            let cid = command.sqe.cid.get();
            self.controller.borrow_mut().execute(now(), slot, cid, &parsed, &world.view(), &mut out)
        };
        match reply {
            AdminReply::Complete { status, result } if status.is_success() && !out.is_empty() => {
                let mut data = Buf::alloc(out.len()).await;
                data.copy_from_slice(&out);
                qpair.respond_with_data(slot, data, result);
            }
            AdminReply::Complete { status, result } => {
                // What a successful Set Features changed must hold before the host reads its answer.
                self.publish();
                qpair.respond(slot, status, result);
            }
            AdminReply::Changed { result, effect } => {
                self.act_on(effect);
                qpair.respond(slot, Status::SUCCESS, result);
            }
            AdminReply::Held => {}
            AdminReply::Disconnect => {
                qpair.respond(slot, Status::SUCCESS, 0);
                qpair.outbox.drained().await;
                qpair.close();
            }
        }
        self.answer_events(&qpair);
    }
}

/// Gives the controller what other cores left for it, as long as the association lives.
async fn tell_news(qpair: Weak<Qpair>, admin: Weak<AdminQueue>, association: Arc<Association>) {
    while let Some(news) = poll_fn(|cx| association.poll_news(cx.waker())).await {
        let (Some(qpair), Some(admin)) = (qpair.upgrade(), admin.upgrade()) else { return };
        {
            let mut controller = admin.controller.borrow_mut();
            for nsid in news.changed_nsids {
                controller.namespace_changed(nsid);
            }
            for event in news.events {
                controller.raise(event);
            }
            for error in &news.errors {
                controller.record_error(error);
            }
        }
        admin.answer_events(&qpair);
    }
}

/// Ends an association whose host has gone silent (H1).
async fn watch_keep_alive(admin: Weak<AdminQueue>, association: Arc<Association>) {
    loop {
        let wait = {
            let Some(admin) = admin.upgrade() else { return };
            if association.is_ended() {
                return;
            }
            let verdict = admin.controller.borrow_mut().check_keep_alive(now(), association.commands());
            match verdict {
                // The host may switch it on later.
                KeepAliveVerdict::Off => Duration::from_secs(1),
                KeepAliveVerdict::CheckAt(at) => at.saturating_sub(now()),
                KeepAliveVerdict::Expired => {
                    let host = association.host.nqn.as_str();
                    tracing::warn!(
                        host,
                        cntlid = association.cntlid,
                        "keep-alive expired: the association ends"
                    );
                    association.end();
                    return;
                }
            }
        };
        rt::sleep(wait.max(Duration::from_millis(10))).await;
    }
}

/// The runtime's clock as the protocol takes it.
fn now() -> Duration {
    rt::now().since(rt::Nanos::default())
}
