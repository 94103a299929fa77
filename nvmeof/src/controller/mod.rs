//! The target's side of a controller: one association from its admin Connect to its end.
//!
//! [`ConnectRequest`] judges who comes in; [`Controller`] answers everything on the admin queue. I/O commands never
//! come here: they need only `command::NvmCommand` and a namespace. What the controller says about namespaces,
//! health and discovery is given to each call as a [`View`]; it owns only what belongs to the association.

mod ana;
mod connect;
mod description;
mod discovery;
mod endurance;
mod error_log;
mod events;
mod feature_commands;
mod feature_table;
mod features;
mod host_behavior;
mod identify;
mod keep_alive;
mod lifecycle;
mod log_page;
mod reservation_log;
mod telemetry;
#[cfg(test)]
mod tests;
mod timestamp;

use std::time::Duration;

pub use ana::AnaState;
pub use connect::{ConnectRefusal, ConnectRequest, HostIdentity, JoinView};
pub use description::{
    DiscoveryKind, DiscoveryRecord, Health, Namespace, Namespaces, Subsystem, TransportSecurity, View,
};
pub use error_log::ErrorRecord;
pub use events::{Event, EventCompletion};
pub use keep_alive::KeepAliveVerdict;
pub use lifecycle::{LifecycleEffect, LifecycleState};

use self::{
    ana::AnaLog,
    events::Events,
    feature_commands::{Question, Setting},
    features::Features,
    host_behavior::HostBehavior,
    keep_alive::KeepAlive,
    lifecycle::Lifecycle,
    log_page::Logs,
    reservation_log::ReservationLog,
    timestamp::Timestamp,
};
use crate::{
    Status,
    command::{AdminCommand, FabricsCommand, GetLbaStatus, Instance, PropertyWidth},
    limits,
    reservation::NoticeKind,
    transport::Slot,
    wire::{opcode::LogPageId, property::Property},
};

/// What a controller is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControllerKind {
    Io,
    Discovery,
}

/// How an admin command ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminReply {
    /// Answer now; `out` holds the data to send first, if the command has any.
    Complete { status: Status, result: u64 },
    /// Answer now, then do what the effect says and report it with [`Controller::finish`].
    Changed { result: u64, effect: LifecycleEffect },
    /// Answer later: [`Controller::take_event`] will name the slot.
    Held,
    /// Answer, then end the association.
    Disconnect,
    /// Make these namespaces' reservations persist through power loss, or not; answer when that is so.
    PersistReservations { nsids: Vec<u32>, persistent: bool },
    /// Look up which blocks of a namespace that there is are allocated or cannot be read; answer with the list.
    LbaStatus(GetLbaStatus),
    /// Abort that command of an I/O queue, if it has not begun; answer when it was answered, with Success and bit 0
    /// set if it was not aborted, and say so with [`Controller::finish_abort`].
    AbortOther { sqid: u16, cid: u16 },
    /// End that controller of the same host and subsystem, if it still is that instance; answer when it is gone,
    /// with Success and [`IMMEDIATE_RESET_SUCCESSFUL`].
    ResetOther { cntlid: u16, instance: Instance },
}

/// An admin command that came, with the data that it brought.
#[derive(Debug, Clone, Copy)]
pub struct AdminRequest<'a> {
    pub slot: Slot,
    pub cid: u16,
    pub command: &'a AdminCommand,
    /// See [`AdminCommand::data_from_host`]; all of the capsule's where it came in one.
    pub data: &'a [u8],
}

/// Result of a Cross-Controller Reset that is complete with its answer.
pub const IMMEDIATE_RESET_SUCCESSFUL: u64 = 1;

/// One association's controller.
#[derive(Debug)]
pub struct Controller {
    kind: ControllerKind,
    cntlid: u16,
    instance: Instance,
    host: HostIdentity,
    lifecycle: Lifecycle,
    features: Features,
    events: Events,
    /// Aborts of I/O commands under way.
    aborts: u8,
    logs: Logs,
    reservations: ReservationLog,
    ana: AnaLog,
    keep_alive: KeepAlive,
    /// What Connect said, which is the default after a reset.
    connect_kato_ms: u32,
    timestamp: Timestamp,
    host_behavior: HostBehavior,
}

/// How long a host that shut its controller down may take to look at it and leave (Base §3.6.2): two minutes.
const SHUT_DOWN_IDLE_MS: u32 = 120_000;

impl Controller {
    /// The controller of an admitted admin Connect. `now` is of any clock that never steps back.
    pub fn new(
        kind: ControllerKind,
        cntlid: u16,
        instance: Instance,
        request: &ConnectRequest,
        now: Duration,
    ) -> Self {
        Self {
            kind,
            cntlid,
            instance,
            host: request.host.clone(),
            lifecycle: Lifecycle::new(limits::QUEUE_ENTRIES_MAX),
            features: Features::new(),
            events: Events::new(),
            aborts: 0,
            logs: Logs::default(),
            reservations: ReservationLog::default(),
            ana: AnaLog::default(),
            keep_alive: KeepAlive::new(request.kato_ms, now),
            connect_kato_ms: request.kato_ms,
            timestamp: Timestamp::reset(now),
            host_behavior: HostBehavior::new(),
        }
    }

    /// Which controller of the subsystem it is.
    pub fn cntlid(&self) -> u16 {
        self.cntlid
    }

    /// The host that connected.
    pub fn host(&self) -> &HostIdentity {
        &self.host
    }

    /// I/O or discovery.
    pub fn kind(&self) -> ControllerKind {
        self.kind
    }

    /// Where it stands.
    pub fn state(&self) -> LifecycleState {
        self.lifecycle.state()
    }

    /// I/O queues that the host may connect.
    pub fn io_queues(&self) -> u16 {
        self.features.io_queues
    }

    /// Volatile Write Cache Enable: while off, every write shall be durable before its answer.
    pub fn write_cache_enabled(&self) -> bool {
        self.features.write_cache
    }

    /// Whether the host may copy from one namespace to another (Copy descriptor format 2h).
    pub fn copies_across(&self) -> bool {
        self.host_behavior.copies_across()
    }

    /// Executes an admin command. Data for the host is appended to `out`, exactly as long as the command's
    /// data pointer says. Afterwards call [`Self::take_event`] until it is empty.
    pub fn execute(
        &mut self,
        now: Duration,
        request: &AdminRequest<'_>,
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> AdminReply {
        let reads_paths =
            matches!(request.command, AdminCommand::GetLogPage(log) if log.page == LogPageId::ANA);
        if reads_paths || self.ana.is_new() {
            self.observe_paths(view.namespaces);
        }
        match self.dispatch(now, request, view, out) {
            Ok(reply) => reply,
            Err(status) => AdminReply::Complete { status, result: 0 },
        }
    }

    fn dispatch(
        &mut self,
        now: Duration,
        request: &AdminRequest<'_>,
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> Result<AdminReply, Status> {
        if let AdminCommand::Fabrics(command) = request.command {
            return self.fabrics(now, command);
        }
        // Before it is enabled, and from a reset or shutdown on, only Fabrics commands mean something.
        if self.state() != LifecycleState::Ready {
            return Err(Status::COMMAND_SEQUENCE_ERROR);
        }
        self.events.see_warnings(view.health.critical_warning());
        let done = |result: u64| Ok(AdminReply::Complete { status: Status::SUCCESS, result });
        match *request.command {
            AdminCommand::Fabrics(_) => unreachable!("handled above"),
            AdminCommand::Identify(command) => {
                identify::identify(&command, self.kind, (self.cntlid, self.instance), view, out)?;
                done(0)
            }
            AdminCommand::GetLogPage(command) => {
                self.logs.read(&command, self.kind, view, (&self.reservations, &self.ana), out)?;
                if !command.retain_event {
                    self.log_read(command.page);
                }
                done(0)
            }
            AdminCommand::GetFeatures { feature, select, nsid, value, data } => {
                let question = Question { feature, select, nsid, choice: value, pointer: data };
                self.get_feature(now, question, view, out)
            }
            AdminCommand::SetFeatures { save: true, .. } => Err(Status::FEATURE_NOT_SAVEABLE),
            AdminCommand::SetFeatures { feature, nsid, value, data, .. } => {
                let setting = Setting { feature, nsid, value, pointer: data, data: request.data };
                self.set_feature(now, &setting, view)
            }
            AdminCommand::AsyncEventRequest => {
                self.events.hold(request.slot, request.cid)?;
                Ok(AdminReply::Held)
            }
            AdminCommand::KeepAlive => done(0),
            AdminCommand::GetLbaStatus(_) if self.kind == ControllerKind::Discovery => {
                Err(Status::INVALID_OPCODE)
            }
            AdminCommand::GetLbaStatus(query) => {
                view.namespaces.get(query.nsid).ok_or(Status::INVALID_NAMESPACE_OR_FORMAT)?;
                Ok(AdminReply::LbaStatus(query))
            }
            AdminCommand::CrossControllerReset { cntlid, .. }
                if cntlid == self.cntlid || self.kind == ControllerKind::Discovery =>
            {
                Err(Status::INVALID_FIELD)
            }
            AdminCommand::CrossControllerReset { cntlid, instance } => {
                Ok(AdminReply::ResetOther { cntlid, instance })
            }
            // Of admin commands only held requests can be aborted; anything else ends by itself soon.
            AdminCommand::Abort { sqid: 0, cid } => done(u64::from(!self.events.abort(cid))),
            AdminCommand::Abort { .. } if self.aborts == limits::ABORTS_MAX => {
                Err(Status::ABORT_COMMAND_LIMIT_EXCEEDED)
            }
            AdminCommand::Abort { sqid, cid } => {
                self.aborts += 1;
                Ok(AdminReply::AbortOther { sqid, cid })
            }
        }
    }

    fn fabrics(&mut self, now: Duration, command: &FabricsCommand) -> Result<AdminReply, Status> {
        match *command {
            FabricsCommand::Connect(_) => Err(Status::COMMAND_SEQUENCE_ERROR),
            FabricsCommand::PropertyGet { property, width } => {
                let eight = property == Property::CAP;
                if eight != (width == PropertyWidth::Eight) {
                    return Err(Status::INVALID_FIELD);
                }
                let result = self.lifecycle.get(property)?;
                Ok(AdminReply::Complete { status: Status::SUCCESS, result })
            }
            FabricsCommand::PropertySet { property, width, value } => {
                if width != PropertyWidth::Four {
                    return Err(Status::INVALID_FIELD);
                }
                let effect = self.lifecycle.set(property, value)?;
                match effect {
                    LifecycleEffect::None => {}
                    LifecycleEffect::Reset => self.reset(now),
                    LifecycleEffect::Shutdown => {
                        self.events.reset();
                        self.keep_alive =
                            KeepAlive::new(SHUT_DOWN_IDLE_MS.max(self.keep_alive.timeout_ms()), now);
                    }
                }
                Ok(AdminReply::Changed { result: 0, effect })
            }
            FabricsCommand::Disconnect => Ok(AdminReply::Disconnect),
        }
    }

    /// What a Controller Level Reset undoes; masks and logs stay (Base §3.7.2).
    fn reset(&mut self, now: Duration) {
        self.events.reset();
        self.features = Features::new();
        self.keep_alive = KeepAlive::new(self.connect_kato_ms, now);
        self.timestamp = Timestamp::reset(now);
        self.host_behavior = HostBehavior::new();
        self.ana = AnaLog::default();
    }

    /// What the host asked for with [`AdminReply::Changed`] is done: CSTS says so from now on.
    pub fn finish(&mut self, effect: LifecycleEffect) {
        self.lifecycle.finish(effect);
    }

    fn log_read(&mut self, page: LogPageId) {
        self.events.log_read(page);
        if page == LogPageId::RESERVATION_NOTIFICATION {
            self.reservations.next();
            if !self.reservations.is_empty() {
                self.events.raise(Event::ReservationLog);
            }
        }
    }

    /// Something happened to the host's part in a namespace's reservations: told unless masked.
    pub fn reservation_notice(&mut self, nsid: u32, kind: NoticeKind) {
        if self.reservations.add(nsid, kind) {
            self.events.raise(Event::ReservationLog);
        }
    }

    /// A namespace came, went or changed its size: remembered for the log, and told if the host wants to know.
    pub fn namespace_changed(&mut self, nsid: u32) {
        self.logs.namespace_changed(nsid);
        self.events.raise(Event::NamespaceAttribute);
    }

    /// Looks whether critical warnings have appeared.
    pub fn see_health(&mut self, health: &Health) {
        self.events.see_warnings(health.critical_warning());
    }

    /// Whether somebody has to call [`see_health`](Self::see_health) now and then: the host wants to be told.
    pub fn wants_health(&self) -> bool {
        self.events.wants_warnings()
    }

    /// Looks at the ANA states of the namespaces: a change is told if the host wants to know. To be called when one
    /// may have changed; commands look only where they need it.
    pub fn observe_paths(&mut self, namespaces: &dyn Namespaces) {
        if self.kind == ControllerKind::Io && self.ana.observe(namespaces) {
            self.events.raise(Event::AnaChange);
        }
    }

    /// Something else happened.
    pub fn raise(&mut self, event: Event) {
        self.events.raise(event);
    }

    /// A command failed, on any queue.
    pub fn record_error(&mut self, record: &ErrorRecord) {
        self.logs.errors.record(record);
    }

    /// What [`AdminReply::AbortOther`] asked for is answered.
    pub fn finish_abort(&mut self) {
        self.aborts = self.aborts.checked_sub(1).expect("each abort ends once");
    }

    /// The next held request to answer now.
    pub fn take_event(&mut self) -> Option<EventCompletion> {
        self.events.take()
    }

    /// Looks at the keep-alive timer: `commands` is how many were received on all queues of the association.
    pub fn check_keep_alive(&mut self, now: Duration, commands: u64) -> KeepAliveVerdict {
        self.keep_alive.check(now, commands)
    }
}
