//! Connections to other nodes: one per node and core, shared by all replicas of the core.
//!
//! ```text
//! connecting --- controller and queue stand --> connected, each replica greets its counterpart --> up for that replica
//!     ^  \-- failed: again after a pause           |
//!     +-------- broken, or silent too long --------+
//! ```

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use nvmeof::{
    Status,
    command::{ReplicaBlocks, ReplicaTag},
    host::sqe,
    limits::TRANSFER_BYTES_MAX,
    transport::ICRequest,
    wire::Sqe,
};
use replication::{BlockRange, Command, CommandId, Event, Message, NodeId, Outcome, Payload, Session};
use uuid::Uuid;

use super::{
    Mirrors,
    content::Content,
    encoding,
    replica::Mirror,
    serve::{Envelope, Mail},
};
use crate::{
    host::{self, HostController, HostError, HostOptions, HostQueue},
    rt::{self, Buf, Signal},
    target::race,
};

/// Between two attempts to connect, or to find a replica that is not there yet.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest time for a connection to stand.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Commands in flight on one connection.
const ENTRIES: u16 = 256;

/// The way to one node from this core.
pub(super) struct PeerLink {
    node: NodeId,
    mirrors: Arc<Mirrors>,
    users: RefCell<BTreeMap<u32, User>>,
    connection: RefCell<Option<Rc<Connection>>>,
}

struct User {
    mirror: Weak<Mirror>,
    /// Its counterpart is there.
    up: bool,
}

struct Connection {
    controller: HostController,
    queue: Rc<HostQueue>,
    silence_max: Duration,
    is_broken: Cell<bool>,
    broke: Signal,
}

impl Connection {
    fn break_off(&self) {
        self.is_broken.set(true);
        self.broke.raise();
    }
}

thread_local! {
    /// The links of this core, by whose replicas they serve.
    static LINKS: RefCell<BTreeMap<(usize, NodeId), Weak<PeerLink>>> = RefCell::default();
}

impl PeerLink {
    /// The link to a node, which lives as long as replicas use it.
    pub(super) fn of(mirrors: &Arc<Mirrors>, node: NodeId) -> Rc<Self> {
        let key = (Arc::as_ptr(mirrors).addr(), node);
        LINKS.with_borrow_mut(|links| {
            links.retain(|_, link| link.strong_count() > 0);
            if let Some(link) = links.get(&key).and_then(Weak::upgrade) {
                return link;
            }
            let link = Rc::new(Self {
                node,
                mirrors: mirrors.clone(),
                users: RefCell::default(),
                connection: RefCell::default(),
            });
            links.insert(key, Rc::downgrade(&link));
            rt::spawn(keep_connected(Rc::downgrade(&link)));
            link
        })
    }

    /// A replica wants to speak with its counterpart there.
    pub(super) fn join(self: &Rc<Self>, mirror: &Rc<Mirror>) {
        let number = mirror.number();
        if self.users.borrow().contains_key(&number) {
            return;
        }
        self.users.borrow_mut().insert(number, User { mirror: Rc::downgrade(mirror), up: false });
        let connection = self.connection.borrow().clone();
        if let Some(connection) = connection {
            rt::spawn(greet(self.clone(), connection, number));
        }
    }

    pub(super) fn leave(&self, number: u32) {
        self.users.borrow_mut().remove(&number);
    }

    /// Sends what a primary says; without a connection it is lost.
    pub(super) fn send(self: &Rc<Self>, mirror: &Rc<Mirror>, message: Message, content: Option<Content>) {
        let number = mirror.number();
        let up = self.users.borrow().get(&number).is_some_and(|user| user.up);
        let Some(connection) = self.connection.borrow().clone().filter(|_| up) else { return };
        let (link, mirror) = (self.clone(), mirror.clone());
        rt::spawn(async move {
            let ended = match message {
                Message::Command { session, id, command: command @ (Command::Write(_) | Command::Flush) } => {
                    let outcome = link.change(&connection, number, (session, id), &command, content).await;
                    let done = |outcome| (Message::Done { session, id, outcome }, None);
                    outcome.map(|outcome| outcome.map(done))
                }
                Message::Command { session, id, command: Command::Fetch(range) } => {
                    let len_bytes = range.count * u64::from(mirror.volume.block_bytes());
                    link.fetch(&connection, number, (session, id), range, len_bytes).await
                }
                message => link.tell(&connection, number, &Envelope::Message(message)).await,
            };
            match ended {
                Ok(Some((message, fetched))) => {
                    if let (Message::Done { session, id, .. }, Some(blocks)) = (&message, fetched) {
                        let payload = Payload::Received { from: link.node, session: *session, id: *id };
                        mirror.keep_fetched(payload, blocks);
                    }
                    mirror.feed(Event::Message { from: link.node, message });
                }
                Ok(None) => {}
                Err(Gone::Replica) => link.replica_gone(&connection, number),
                Err(Gone::Connection) => connection.break_off(),
            }
        });
    }

    async fn change(
        &self,
        connection: &Connection,
        number: u32,
        (session, id): (Session, CommandId),
        command: &Command,
        content: Option<Content>,
    ) -> Result<Option<Outcome>, Gone> {
        let tag = tag(session, id);
        let (sqe, payload) = match (command, content) {
            (Command::Write(range), Some(Content::Data(buf))) => {
                (sqe::replica_write(number, tag, blocks(*range)), host::Payload::Out(buf))
            }
            (Command::Write(range), Some(Content::Zeros(zeroing))) => {
                let sqe = sqe::replica_write_zeroes(number, tag, blocks(*range), zeroing);
                (sqe, host::Payload::None)
            }
            (Command::Flush, None) => (sqe::replica_flush(number, tag), host::Payload::None),
            _ => unreachable!("writes come with their content, for as long as the machine speaks of it"),
        };
        Ok(outcome(connection.status(sqe, payload).await?))
    }

    async fn fetch(
        &self,
        connection: &Connection,
        number: u32,
        (session, id): (Session, CommandId),
        range: BlockRange,
        len_bytes: u64,
    ) -> Result<Option<(Message, Option<Content>)>, Gone> {
        let sqe = sqe::replica_fetch(number, tag(session, id), blocks(range));
        let len_bytes = u32::try_from(len_bytes).expect("an extent is small");
        let answer = connection.queue.command(sqe, host::Payload::In(len_bytes)).await;
        let answer = answer.map_err(|_| Gone::Connection)?;
        let Some(outcome) = outcome(judge(answer.status())?) else { return Ok(None) };
        if outcome == Outcome::Ok && !(answer.intact && answer.received == len_bytes) {
            return Err(Gone::Connection);
        }
        let blocks = answer.data.filter(|_| outcome == Outcome::Ok).map(Content::of_blocks);
        Ok(Some((Message::Done { session, id, outcome }, blocks)))
    }

    /// A message; its answer, if it has one, comes by mail.
    async fn tell<T>(
        &self,
        connection: &Connection,
        number: u32,
        envelope: &Envelope,
    ) -> Result<Option<T>, Gone> {
        let bytes = encoding::encode(envelope);
        let buf = Buf::copy_of(&bytes).await;
        let status = connection.status(sqe::replica_send(number), host::Payload::Out(buf)).await?;
        if status.is_success() { Ok(None) } else { Err(Gone::Connection) }
    }

    /// The counterpart of one replica is not there any more; it may come back.
    fn replica_gone(self: &Rc<Self>, connection: &Rc<Connection>, number: u32) {
        let was_up = {
            let mut users = self.users.borrow_mut();
            users.get_mut(&number).is_some_and(|user| std::mem::replace(&mut user.up, false))
        };
        if was_up {
            self.feed(number, Event::PeerDown(self.node));
            rt::spawn(greet(self.clone(), connection.clone(), number));
        }
    }

    fn feed(&self, number: u32, event: Event) {
        let mirror = self.users.borrow().get(&number).and_then(|user| user.mirror.upgrade());
        if let Some(mirror) = mirror {
            mirror.feed(event);
        }
    }

    async fn connect(&self) -> Result<Connection, HostError> {
        let cluster = self.mirrors.cluster.load_full();
        let (Some(peer), Some(cluster)) = (self.mirrors.peer(self.node), cluster) else {
            return Err(HostError::Closed);
        };
        let options = HostOptions {
            address: peer.address,
            subsystem: self.mirrors.subsystem_nqn(self.node),
            host: self.mirrors.host_nqn(cluster.me),
            host_id: Uuid::from_u128(u128::from(cluster.me.0) + 1),
            digests: ICRequest::default(),
            kato_ms: 2 * cluster.timing.silence_max.as_millis() as u32,
            io_queues: 1,
            credentials: peer.credentials,
            tls: None,
        };
        let controller = HostController::connect(options).await?;
        let entries = u32::from(ENTRIES).min(controller.queue_entries_max()) as u16;
        let queue = controller.io_queue(1, entries).await?;
        Ok(Connection {
            controller,
            queue,
            silence_max: cluster.timing.silence_max,
            is_broken: Cell::new(false),
            broke: Signal::default(),
        })
    }
}

/// What is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Connection,
    /// The other node has no such replica now.
    Replica,
}

impl Connection {
    async fn status(&self, sqe: Sqe, payload: host::Payload) -> Result<Status, Gone> {
        let answer = self.queue.command(sqe, payload).await.map_err(|_| Gone::Connection)?;
        judge(answer.status())
    }
}

/// A replica's answer, or what it says about the connection.
fn judge(status: Status) -> Result<Status, Gone> {
    match status {
        Status::SUCCESS | Status::REPLICA_REFUSED | Status::WRITE_FAULT => Ok(status),
        Status::INVALID_NAMESPACE_OR_FORMAT => Err(Gone::Replica),
        _ => Err(Gone::Connection),
    }
}

/// `None`: it was refused, and the reason comes by mail.
fn outcome(status: Status) -> Option<Outcome> {
    match status {
        Status::REPLICA_REFUSED => None,
        status if status.is_success() => Some(Outcome::Ok),
        _ => Some(Outcome::Failed),
    }
}

fn tag(session: Session, id: CommandId) -> ReplicaTag {
    ReplicaTag { incarnation: session.incarnation, session: session.number, command: id.0 }
}

fn blocks(range: BlockRange) -> ReplicaBlocks {
    let blocks = u32::try_from(range.count).expect("no command of a host is longer");
    ReplicaBlocks { lba: range.first, blocks }
}

/// Connects, again and again, for as long as replicas use the link.
async fn keep_connected(link: Weak<PeerLink>) {
    let mut was_told = false;
    loop {
        {
            let Some(link) = link.upgrade() else { return };
            let attempt = race(link.connect(), rt::sleep(CONNECT_MAX)).await;
            match attempt.first() {
                Some(Ok(connection)) => {
                    tracing::info!(node = link.node.0, "connected to another node");
                    was_told = false;
                    serve(&link, Rc::new(connection)).await;
                }
                Some(Err(error)) if !std::mem::replace(&mut was_told, true) => {
                    tracing::warn!(node = link.node.0, %error, "another node cannot be reached");
                }
                Some(Err(_)) | None => {}
            }
        }
        rt::sleep(PAUSE).await;
    }
}

/// A connection's life.
async fn serve(link: &Rc<PeerLink>, connection: Rc<Connection>) {
    *link.connection.borrow_mut() = Some(connection.clone());
    rt::spawn(receive(link.clone(), connection.clone()));
    rt::spawn(heartbeat(connection.clone()));
    let numbers: Vec<_> = link.users.borrow().keys().copied().collect();
    for number in numbers {
        rt::spawn(greet(link.clone(), connection.clone(), number));
    }
    // A link that nobody uses any more ends with its connection.
    let is_over = || (connection.is_broken.get() || link.users.borrow().is_empty()).then_some(());
    loop {
        let broke = connection.broke.wait_until(is_over);
        if race(broke, rt::sleep(connection.silence_max)).await.first().is_some() {
            break;
        }
    }
    connection.break_off();
    *link.connection.borrow_mut() = None;
    let mut downs = Vec::new();
    for (number, user) in link.users.borrow_mut().iter_mut() {
        if std::mem::replace(&mut user.up, false) {
            downs.push(*number);
        }
    }
    for number in downs {
        link.feed(number, Event::PeerDown(link.node));
    }
}

/// Asks whether the counterpart of a replica is there until it is.
async fn greet(link: Rc<PeerLink>, connection: Rc<Connection>, number: u32) {
    while !connection.is_broken.get() {
        let mirror = link.users.borrow().get(&number).and_then(|user| user.mirror.upgrade());
        let Some(mirror) = mirror else { return };
        let hello = Envelope::Hello(mirror.volume_uuid());
        match link.tell::<()>(&connection, number, &hello).await {
            Ok(_) if connection.is_broken.get() => return,
            Ok(_) => {
                let is_new = match link.users.borrow_mut().get_mut(&number) {
                    Some(user) => !std::mem::replace(&mut user.up, true),
                    None => false,
                };
                if is_new {
                    mirror.feed(Event::PeerUp(link.node));
                }
                return;
            }
            Err(Gone::Connection) => return connection.break_off(),
            Err(Gone::Replica) => {}
        }
        drop(mirror);
        rt::sleep(PAUSE).await;
    }
}

/// Reads the mail.
async fn receive(link: Rc<PeerLink>, connection: Rc<Connection>) {
    while !connection.is_broken.get() {
        let payload = host::Payload::In(TRANSFER_BYTES_MAX);
        let Ok(answer) = connection.queue.command(sqe::replica_receive(), payload).await else { break };
        let data = answer.data.filter(|_| answer.cqe.status().is_success() && answer.intact);
        let mail = data.and_then(|data| encoding::decode::<Mail>(&data[..answer.received as usize]).ok());
        let Some(Mail { number, message }) = mail else { break };
        link.feed(number, Event::Message { from: link.node, message });
    }
    connection.break_off();
}

/// Makes sure that the other node still answers, and shows it that we are there.
async fn heartbeat(connection: Rc<Connection>) {
    while !connection.is_broken.get() {
        let beat = connection.controller.admin().command(sqe::keep_alive(), host::Payload::None);
        match race(beat, rt::sleep(connection.silence_max)).await.first() {
            Some(Ok(answer)) if answer.status().is_success() => {}
            _ => break,
        }
        rt::sleep(connection.silence_max / 4).await;
    }
    connection.break_off();
}
