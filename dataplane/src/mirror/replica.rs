//! One replica at home: what happens goes into the state machine, what it wants is done.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use futures_channel::oneshot;
use replication::{
    Action, Boot, CommandId, Config, Durable, Event, Grain, HostAnswer, Membership, Message, NodeId, OpId,
    Outcome, Payload, RUNS_MAX, Session, WorkId,
};

use super::{
    META_BYTES, MirrorHandle, Mirrors, NewReplica, ReplicaIdentity, ReplicaInfo,
    content::Content,
    durable::DurableLog,
    host_io::Answered,
    peers::PeerLink,
    serve::{Mailbox, PeerOutcome},
    set_change::SetChange,
};
use crate::{
    engine::EngineError,
    rt::{self, CoreId, Nanos},
    target::Target,
    volume::Volume,
};

/// What is copied to a replica that misses it.
const EXTENT_BYTES: u64 = 64 << 10;
/// What is recorded before the first write into it.
const REGION_BYTES: u64 = 4 << 20;
/// Extents on their way to one replica: 1 MiB keeps a fast network busy and hosts' writes waiting for little.
const COPIES_MAX: usize = 16;

/// A replica that lives on this core.
pub(crate) struct Mirror {
    handle: MirrorHandle,
    mirrors: Arc<Mirrors>,
    target: Target,
    /// With the fields' part that hosts do not see.
    pub(super) volume: Volume,
    pub(super) log: DurableLog,
    machine: RefCell<replication::Replica>,
    links: RefCell<BTreeMap<NodeId, Rc<PeerLink>>>,
    /// Where a primary hears from us.
    mailboxes: RefCell<BTreeMap<NodeId, Arc<Mailbox>>>,
    /// Content that the machine may speak of.
    pub(super) contents: RefCell<BTreeMap<Payload, Content>>,
    pub(super) answers: RefCell<BTreeMap<OpId, oneshot::Sender<Answered>>>,
    /// Other nodes' commands that are executed, oldest session first.
    pub(super) commands: RefCell<BTreeMap<(NodeId, CommandId, Session), oneshot::Sender<PeerOutcome>>>,
    pub(super) next_op: Cell<u64>,
    /// Why this node's drive failed last.
    last_error: RefCell<Option<EngineError>>,
    leads: Cell<bool>,
    telling: Cell<bool>,
    tick_at: Cell<Option<Nanos>>,
    ended: Cell<bool>,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mirror({})", self.handle.volume())
    }
}

/// The grains of a volume.
fn grain(volume: &Volume) -> Grain {
    let block_bytes = u64::from(volume.block_bytes());
    Grain {
        blocks_per_extent: EXTENT_BYTES / block_bytes,
        extents_per_region: REGION_BYTES / EXTENT_BYTES,
        runs_max: RUNS_MAX,
    }
}

/// How many of them hosts may come to see.
fn extents(volume: &Volume) -> u64 {
    (volume.size_bytes() - META_BYTES) / EXTENT_BYTES
}

/// The boot since which the volume's drives have lost nothing.
fn boot(volume: &Volume) -> Boot {
    let ids: Vec<u8> = volume.parts().flat_map(|part| part.boot_id()).collect();
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    Boot(ids.iter().fold(0xCBF2_9CE4_8422_2325, fnv))
}

/// Makes a volume that nobody uses yet a replica, durably.
pub(crate) async fn format(volume: &Volume, new: NewReplica) -> Result<(), EngineError> {
    let fields = if new.complete {
        Durable::new(new.membership, boot(volume), extents(volume))
    } else {
        Durable::blank(new.membership, extents(volume))
    };
    DurableLog::format(volume, fields).await?;
    // The last step: until now it is a volume like any other, and nobody's.
    volume.set_attachment(&new.identity.encode()).await
}

/// Opens a replica at its home, which is this core, and connects it with the nodes that hold others.
pub(crate) async fn open(
    target: Target,
    volume: Volume,
    identity: ReplicaIdentity,
    peers: Vec<NodeId>,
    usable_bytes: u64,
) -> Result<MirrorHandle, EngineError> {
    let mirrors = target.mirrors().clone();
    let timing = mirrors.timing();
    let grain = grain(&volume);
    let log = DurableLog::open(&volume, identity.me, grain).await?;
    let config = Config {
        me: identity.me,
        incarnation: log.incarnation(),
        boot: boot(&volume),
        grain,
        grant: timing.grant,
        patience: timing.patience,
        copies_max: COPIES_MAX,
        cheat: None,
    };
    let machine = replication::Replica::new(config, log.fields(), since_boot());
    let handle = MirrorHandle::new(volume.uuid(), identity, rt::core_id());
    handle.set_usable_bytes(usable_bytes);
    let mirror = Rc::new(Mirror {
        handle: handle.clone(),
        mirrors: mirrors.clone(),
        target,
        volume,
        log,
        machine: RefCell::new(machine),
        links: RefCell::default(),
        mailboxes: RefCell::default(),
        contents: RefCell::default(),
        answers: RefCell::default(),
        commands: RefCell::default(),
        next_op: Cell::new(1),
        last_error: RefCell::default(),
        leads: Cell::new(false),
        telling: Cell::new(false),
        tick_at: Cell::new(None),
        ended: Cell::new(false),
    });
    handle.settle(mirror.clone());
    mirrors.insert(handle.clone());
    // It may have grown just before its process died.
    mirror.expanded();
    mirror.set_peers(peers);
    Ok(handle)
}

/// The core that a replica lives on.
pub(crate) fn home_of(identity: ReplicaIdentity, cores: usize) -> CoreId {
    CoreId((identity.number as usize % cores) as u16)
}

/// The replica's clock, of which only differences count.
fn since_boot() -> Duration {
    Duration::from_nanos(rt::now().0)
}

impl Mirror {
    pub(super) fn volume_uuid(&self) -> uuid::Uuid {
        self.handle.volume()
    }

    /// What hosts see of it.
    pub(super) fn usable_bytes(&self) -> u64 {
        self.handle.usable_bytes().min(self.size_bytes())
    }

    pub(super) fn number(&self) -> u32 {
        self.handle.identity().number
    }

    /// As far as this replica goes: hosts may see less of it.
    pub(super) fn size_bytes(&self) -> u64 {
        self.volume.size_bytes() - META_BYTES
    }

    pub(crate) fn info(&self) -> ReplicaInfo {
        let machine = self.machine.borrow();
        ReplicaInfo { volume: self.volume_uuid(), identity: self.handle.identity(), status: machine.status() }
    }

    /// The volume is larger than before.
    pub(crate) fn expanded(self: &Rc<Self>) {
        self.feed(Event::Expanded { extents: extents(&self.volume) });
    }

    /// From now on these other nodes hold replicas of the volume, or may come to.
    pub(crate) fn set_peers(self: &Rc<Self>, peers: Vec<NodeId>) {
        let gone: Vec<_> = {
            let mut links = self.links.borrow_mut();
            let gone = links.extract_if(.., |node, _| !peers.contains(node)).collect();
            for node in peers {
                if node != self.handle.identity().me && !links.contains_key(&node) {
                    links.insert(node, PeerLink::of(&self.mirrors, node));
                }
            }
            gone
        };
        for (node, link) in gone {
            link.leave(self.number());
            self.feed(Event::PeerDown(node));
        }
        let links: Vec<_> = self.links.borrow().values().cloned().collect();
        for link in links {
            link.join(self);
        }
    }

    /// Something happened.
    pub(super) fn feed(self: &Rc<Self>, event: Event) {
        if self.ended.get() {
            return;
        }
        let read = if let Event::WorkDone { id, .. } = event { Some(id) } else { None };
        let actions = {
            let mut machine = self.machine.borrow_mut();
            machine.on(since_boot(), event);
            machine.take_actions()
        };
        for action in actions {
            self.act(action);
        }
        self.forget_unwanted(read);
        self.set_timer();
    }

    fn act(self: &Rc<Self>, action: Action) {
        match action {
            Action::Send { to, message, payload } => self.send(to, message, payload),
            Action::Work { id, work } => self.begin_work(id, work),
            Action::CompareAndSet { expected, target } => {
                let change = SetChange { volume: self.volume_uuid(), expected, target };
                self.mirrors.set_changes.ask(change);
            }
            Action::Answer { op, answer } => self.answer(op, answer),
            Action::Release { op, blocks } => {
                let mut contents = self.contents.borrow_mut();
                contents.remove(&Payload::Host(op));
                if let Some(blocks) = blocks {
                    contents.remove(&Payload::Work(blocks));
                }
            }
            Action::Lead(leads) => {
                self.leads.set(leads);
                self.tell_hosts();
            }
        }
    }

    fn answer(&self, op: OpId, answer: HostAnswer) {
        let blocks = match answer {
            HostAnswer::Done(Some(work)) => match self.contents.borrow_mut().remove(&Payload::Work(work)) {
                Some(Content::Data(buf)) => Some(buf),
                _ => unreachable!("blocks that were read are data, and kept until the answer"),
            },
            HostAnswer::Done(None) | HostAnswer::Path | HostAnswer::Media => None,
        };
        if let Some(waits) = self.answers.borrow_mut().remove(&op) {
            // Whoever asked may be gone.
            let _ = waits.send((answer, blocks));
        }
    }

    fn send(self: &Rc<Self>, to: NodeId, message: Message, payload: Option<Payload>) {
        match message {
            Message::Fence { .. }
            | Message::Command { .. }
            | Message::GrantRequest { .. }
            | Message::GrantReturn { .. }
            | Message::Flushed { .. } => {
                let content = payload.and_then(|payload| self.content(payload));
                let link = self.links.borrow().get(&to).cloned();
                if let Some(link) = link {
                    link.send(self, message, content);
                }
            }
            Message::Done { session, id, outcome } => {
                let waits = self.commands.borrow_mut().remove(&(to, id, session));
                match waits {
                    Some(waits) => {
                        let content = payload.and_then(|payload| self.content(payload));
                        // Its connection may be gone.
                        let _ = waits.send(PeerOutcome::Ended(outcome, content));
                    }
                    None => self.mail(to, &Message::Done { session, id, outcome }),
                }
            }
            Message::Refused { of, .. } => {
                if let Some(id) = of {
                    self.refuse(to, id);
                }
                self.mail(to, &message);
            }
            Message::Fenced { .. } | Message::Grant { .. } => self.mail(to, &message),
        }
    }

    /// Of several sessions it is the oldest that is not obeyed.
    fn refuse(&self, to: NodeId, id: CommandId) {
        let mut commands = self.commands.borrow_mut();
        let least = Session { incarnation: 0, number: 0 };
        let oldest = commands.range((to, id, least)..).next().map(|(key, _)| *key);
        if let Some(key) = oldest.filter(|key| (key.0, key.1) == (to, id))
            && let Some(waits) = commands.remove(&key)
        {
            let _ = waits.send(PeerOutcome::Refused);
        }
    }

    fn mail(&self, to: NodeId, message: &Message) {
        let mailbox = self.mailboxes.borrow().get(&to).cloned();
        if let Some(mailbox) = mailbox {
            mailbox.put(self.number(), message);
        }
    }

    /// Another node hears us there.
    pub(super) fn hears_at(&self, node: NodeId, mailbox: Arc<Mailbox>) {
        self.mailboxes.borrow_mut().insert(node, mailbox);
    }

    /// A primary speaks to us, and hears us there.
    pub(super) fn hear(self: &Rc<Self>, from: NodeId, mailbox: Arc<Mailbox>, message: Message) {
        self.hears_at(from, mailbox);
        self.feed(Event::Message { from, message });
    }

    /// Content for one use. What hosts brought is used several times, everything else once.
    pub(super) fn content(&self, payload: Payload) -> Option<Content> {
        let mut contents = self.contents.borrow_mut();
        match payload {
            Payload::Host(_) => contents.get_mut(&payload).map(Content::share),
            Payload::Work(_) | Payload::Received { .. } => contents.remove(&payload),
        }
    }

    fn forget_unwanted(&self, read: Option<WorkId>) {
        let machine = self.machine.borrow();
        let mut contents = self.contents.borrow_mut();
        if let Some(read) = read.filter(|read| !machine.holds(*read)) {
            contents.remove(&Payload::Work(read));
        }
    }

    /// What was fetched is of no use to who does not lead.
    pub(super) fn keep_fetched(self: &Rc<Self>, payload: Payload, content: Content) {
        if self.machine.borrow().is_leading() {
            self.contents.borrow_mut().insert(payload, content);
        }
    }

    pub(super) fn work_ended(self: &Rc<Self>, id: WorkId, result: Result<(), EngineError>) {
        let outcome = match result {
            Ok(()) => Outcome::Ok,
            Err(error) => {
                tracing::warn!(volume = %self.volume_uuid(), %error, "a replica's drive failed");
                *self.last_error.borrow_mut() = Some(error);
                Outcome::Failed
            }
        };
        self.feed(Event::WorkDone { id, outcome });
    }

    pub(super) fn last_error(&self) -> EngineError {
        self.last_error.borrow().clone().unwrap_or(EngineError::Offline)
    }

    fn set_timer(self: &Rc<Self>) {
        let Some(deadline) = self.machine.borrow().next_deadline() else { return };
        // The machine's own time is exact, a timer may be a little early.
        let at =
            Nanos(u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX)).after(Duration::from_micros(100));
        if self.tick_at.get().is_some_and(|set| set <= at) {
            return;
        }
        self.tick_at.set(Some(at));
        rt::spawn(tick(Rc::downgrade(self), at));
    }

    /// Brings hosts' paths to what was said last, one change at a time.
    fn tell_hosts(self: &Rc<Self>) {
        if self.telling.replace(true) {
            return;
        }
        let mirror = self.clone();
        rt::spawn(async move {
            loop {
                let leads = mirror.leads.get();
                mirror.target.set_leading(mirror.volume_uuid(), leads).await;
                if leads == mirror.leads.get() {
                    break;
                }
            }
            mirror.telling.set(false);
        });
    }

    /// Stops at once, as if the process had died: for good, until it is opened again.
    pub(crate) fn end(self: &Rc<Self>) {
        if self.ended.replace(true) {
            return;
        }
        self.handle.unsettle();
        self.mirrors.remove(self.volume_uuid());
        for (_, link) in std::mem::take(&mut *self.links.borrow_mut()) {
            link.leave(self.number());
        }
        // Who waits hears that it ended.
        self.answers.borrow_mut().clear();
        self.commands.borrow_mut().clear();
        self.contents.borrow_mut().clear();
        self.leads.set(false);
        self.tell_hosts();
    }

    /// The store told of a membership.
    pub(crate) fn learned(self: &Rc<Self>, membership: Membership) {
        self.feed(Event::Learned(membership));
    }

    /// The store answered a question.
    pub(crate) fn stored(self: &Rc<Self>, target: Membership, stored: replication::Stored) {
        self.mirrors.set_changes.answered(self.volume_uuid(), &target);
        self.feed(Event::Stored { target, stored });
    }

    pub(crate) fn hand_over(self: &Rc<Self>, to: NodeId) {
        self.feed(Event::HandOver(to));
    }
}

async fn tick(mirror: Weak<Mirror>, at: Nanos) {
    rt::sleep(at.since(rt::now())).await;
    let Some(mirror) = mirror.upgrade() else { return };
    if mirror.tick_at.get() == Some(at) {
        mirror.tick_at.set(None);
        mirror.feed(Event::Tick);
    }
}
