//! One simulated cluster: everything that happens is an event in one queue, under one seed.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use replication::{
    Action, Boot, Change, Cheat, Config, Durable, Epoch, Event, Grain, HostAnswer, Membership, Message,
    NodeId, OpId, Outcome, Payload, Stored, Work, WorkId,
};

use crate::{
    checker,
    disk::{FlushPoint, Value},
    hosts::Operation,
    network::Network,
    node::{EXTENTS_MAX, GRAIN, Node},
    rng::Rng,
    store::Store,
};

pub(crate) const MS: u64 = 1000;
/// Faults happen until then; after it the cluster must come to rest.
pub(crate) const FAULTS_END: u64 = 1500 * MS;
pub(crate) const HOSTS_END: u64 = 2500 * MS;
const END: u64 = 4500 * MS;

#[derive(Debug, Clone, Copy)]
pub(crate) struct WorldConfig {
    pub(crate) seed: u64,
    pub(crate) cheat: Option<Cheat>,
}

/// What happened, to see that it happens at all.
#[derive(Debug, Default, Clone)]
pub(crate) struct Summary {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) flushes: u64,
    pub(crate) takeovers: u64,
    pub(crate) kills: u64,
    pub(crate) power_cuts: u64,
    pub(crate) eras: u64,
    /// Sets from which the dead were forced.
    pub(crate) forced: u64,
    /// Volumes whose last replica in sync is dead.
    pub(crate) lost: u64,
    pub(crate) joins: u64,
    pub(crate) losses: u64,
    pub(crate) copies: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.flushes += other.flushes;
        self.takeovers += other.takeovers;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.eras += other.eras;
        self.forced += other.forced;
        self.lost += other.lost;
        self.joins += other.joins;
        self.losses += other.losses;
        self.copies += other.copies;
    }
}

#[derive(Debug, Clone)]
pub(crate) enum SimEvent {
    /// Something happens to a process, if it is still that one.
    Happens {
        node: NodeId,
        life: u64,
        event: Event,
        blocks: Option<(Payload, Vec<Value>)>,
    },
    WorkEnds {
        node: NodeId,
        life: u64,
        id: WorkId,
        work: Work,
        flush: Option<FlushPoint>,
    },
    StoreAsked {
        node: NodeId,
        life: u64,
        expected: Epoch,
        target: Membership,
        heard: bool,
    },
    Break {
        a: NodeId,
        b: NodeId,
        connection: u64,
    },
    Reconnect,
    Poll,
    Manage,
    Operate,
    Fault,
    Heal,
    Restart(NodeId),
    HostActs(usize),
    HostHears {
        op: OpId,
        answer: HostAnswer,
        values: Vec<Value>,
    },
    HostGivesUp(OpId),
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, SimEvent>,
    sequence: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) store: Store,
    /// Of the volume, as it was ordered.
    pub(crate) extents: u64,
    pub(crate) operations: Vec<Operation>,
    /// When all replicas in sync had lost power.
    pub(crate) eras: Vec<u64>,
    suspected: u32,
    config: Config,
    pub(crate) summary: Summary,
    pub(crate) error: Option<String>,
    trace: bool,
}

const HOSTS: usize = 4;

impl World {
    pub(crate) fn new(config: WorldConfig) -> Self {
        let mut rng = Rng::new(config.seed);
        let count = rng.range(3..6) as u16;
        let members = rng.range(1..u64::from(count.min(3)) + 1) as u16;
        let membership = Membership::first(NodeId(0), (0..members).map(NodeId));
        // Sets with so few runs are joined all the time.
        let runs_max = [1, 2, GRAIN.runs_max, GRAIN.runs_max][(config.seed % 4) as usize];
        let grain = Grain { runs_max, ..GRAIN };
        let extents = if config.seed % 4 == 2 { 1 } else { EXTENTS_MAX - config.seed / 4 % 4 };
        let mut nodes = Vec::new();
        for id in (0..count).map(NodeId) {
            let is_member = membership.in_sync.contains(&id);
            let fields = if is_member {
                Durable::new(membership.clone(), Boot(1), extents)
            } else {
                Durable::blank(membership.clone(), extents)
            };
            nodes.push(Node::new(id, fields, grain, rng.range(990_000..1_010_000)));
        }
        let replica = Config {
            me: NodeId(0),
            incarnation: 0,
            boot: Boot(0),
            grain,
            grant: Duration::from_millis(40),
            patience: Duration::from_millis(25),
            copies_max: 2,
            cheat: config.cheat,
        };
        Self {
            seed: config.seed,
            rng,
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            nodes,
            network: Network::default(),
            store: Store { membership, reachable: true },
            extents,
            operations: Vec::new(),
            eras: Vec::new(),
            suspected: 0,
            config: replica,
            summary: Summary::default(),
            error: None,
            trace: std::env::var("BASALT_CLUSTER_TRACE").is_ok(),
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<Summary, String> {
        for id in self.node_ids() {
            self.at(0, SimEvent::Restart(id));
        }
        for event in
            [SimEvent::Reconnect, SimEvent::Poll, SimEvent::Manage, SimEvent::Operate, SimEvent::Fault]
        {
            self.at(MS, event);
        }
        for host in 0..HOSTS {
            self.at(20 * MS, SimEvent::HostActs(host));
        }
        self.at(FAULTS_END, SimEvent::Heal);
        while let Some(Reverse((time, sequence))) = self.queue.pop() {
            if time > END {
                break;
            }
            self.now = time;
            let event = self.events.remove(&sequence).unwrap();
            if let Some(until) = self.sleeps_until(&event) {
                // In the order in which it would have happened.
                self.events.insert(sequence, event);
                self.queue.push(Reverse((until, sequence)));
                continue;
            }
            self.happen(event);
            if let Some(error) = self.error.take() {
                return Err(error);
            }
        }
        self.check_rest()?;
        checker::check(&self.operations, &self.eras)?;
        Ok(self.summary)
    }

    pub(crate) fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    pub(crate) fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[usize::from(id.0)]
    }

    pub(crate) fn at(&mut self, time: u64, event: SimEvent) {
        self.sequence += 1;
        self.events.insert(self.sequence, event);
        self.queue.push(Reverse((time.max(self.now), self.sequence)));
    }

    pub(crate) fn soon(&mut self, most: u64, event: SimEvent) {
        let at = self.now + self.rng.range(50..most);
        self.at(at, event);
    }

    pub(crate) fn happens(&mut self, node: NodeId, most: u64, event: Event) {
        let life = self.node(node).incarnation;
        self.soon(most, SimEvent::Happens { node, life, event, blocks: None });
    }

    /// A paused process does nothing; what would have happened to it happens after.
    fn sleeps_until(&self, event: &SimEvent) -> Option<u64> {
        let (SimEvent::Happens { node, .. } | SimEvent::WorkEnds { node, .. }) = event else { return None };
        Some(self.nodes[usize::from(node.0)].paused_until).filter(|until| *until > self.now)
    }

    fn happen(&mut self, event: SimEvent) {
        match event {
            SimEvent::Happens { node, life, event, blocks } => {
                // A connection that came after has said it already.
                let stale =
                    matches!(event, Event::PeerDown(peer) if self.network.connection(node, peer).is_some());
                if self.node(node).incarnation == life && !stale {
                    if let Some((payload, blocks)) = blocks {
                        self.node(node).memory.insert(payload, blocks);
                    }
                    if event == Event::Tick {
                        self.node(node).tick_at = None;
                    }
                    self.feed(node, event);
                }
            }
            SimEvent::WorkEnds { node, life, id, work, flush } => {
                if self.node(node).incarnation == life {
                    self.work_ends(node, id, &work, flush.as_ref());
                }
            }
            SimEvent::StoreAsked { node, life, expected, target, heard } => {
                let stored = self.change_store(expected, target.clone());
                if heard && self.node(node).incarnation == life {
                    self.happens(node, MS, Event::Stored { target, stored });
                }
            }
            SimEvent::Break { a, b, connection } => {
                if self.network.disconnect(a, b, connection) {
                    self.happens(a, 10 * MS, Event::PeerDown(b));
                    self.happens(b, 10 * MS, Event::PeerDown(a));
                }
            }
            SimEvent::Reconnect => self.reconnect(),
            SimEvent::Poll => {
                if self.store.reachable {
                    self.tell_all();
                }
                self.soon(20 * MS, SimEvent::Poll);
            }
            SimEvent::Manage => self.manage(),
            SimEvent::Operate => self.operate(),
            SimEvent::Fault => {
                if self.now < FAULTS_END {
                    self.fault();
                    self.soon(60 * MS, SimEvent::Fault);
                }
            }
            SimEvent::Heal => self.heal(),
            SimEvent::Restart(id) => {
                let (now, config) = (self.now, self.config);
                if !self.node(id).dead {
                    self.node(id).start(now, config);
                }
            }
            SimEvent::HostActs(host) => self.host_acts(host),
            SimEvent::HostHears { op, answer, values } => self.host_hears(op, answer, values),
            SimEvent::HostGivesUp(op) => self.host_gives_up(op),
        }
    }

    fn change_store(&mut self, expected: Epoch, target: Membership) -> Stored {
        let before = self.store.membership.clone();
        let stored = self.store.compare_and_set(expected, target);
        if stored == Stored::Ok {
            let after = self.store.membership.clone();
            if self.trace {
                println!("{:>8} store {before:?} -> {after:?}", self.now);
            }
            let dead = before.in_sync.difference(&after.in_sync).any(|left| self.node(*left).dead);
            let intact = self.node(after.primary).is_intact();
            self.summary.forced += u64::from(dead && !intact);
            self.power_was_lost();
            self.summary.takeovers += u64::from(before.primary != after.primary);
            self.summary.joins += u64::from(after.in_sync.len() > before.in_sync.len());
            self.summary.losses += u64::from(after.in_sync.len() < before.in_sync.len());
            if self.store.reachable {
                self.tell_all();
            }
        }
        stored
    }

    fn tell_all(&mut self) {
        for id in self.node_ids() {
            if self.node(id).storeless {
                continue;
            }
            let membership = self.store.membership.clone();
            self.happens(id, 3 * MS, Event::Learned(membership));
            // Some hear of it much later than others.
            if self.node(id).disk.fields.extents < self.extents && self.rng.once_in(10) {
                let extents = self.extents;
                self.happens(id, 3 * MS, Event::Expanded { extents });
            }
        }
    }

    fn reconnect(&mut self) {
        for a in self.node_ids() {
            for b in self.node_ids() {
                let up = self.node(a).replica.is_some() && self.node(b).replica.is_some();
                let asleep = [a, b].map(|id| self.nodes[usize::from(id.0)].paused_until > self.now);
                let free = self.network.connection(a, b).is_none();
                let hear = self.network.hears(a, b) && self.network.hears(b, a);
                if a < b && up && free && hear && asleep != [true, true] {
                    self.network.connect(a, b);
                    self.happens(a, MS, Event::PeerUp(b));
                    self.happens(b, MS, Event::PeerUp(a));
                    // The machine of a paused process accepts connections, and then nothing more is heard.
                    if asleep != [false, false] {
                        self.break_soon(a, b);
                    }
                }
            }
        }
        self.soon(20 * MS, SimEvent::Reconnect);
    }

    /// The manager: names another primary when the present one seems dead; sometimes it errs.
    fn manage(&mut self) {
        let membership = self.store.membership.clone();
        let primary = &self.nodes[usize::from(membership.primary.0)];
        let heard = self.nodes.iter().filter(|node| self.network.hears(primary.id, node.id)).count();
        let well =
            primary.replica.is_some() && primary.paused_until <= self.now && heard * 2 > self.nodes.len();
        self.suspected = if well { 0 } else { self.suspected + 1 };
        let errs = self.now < FAULTS_END && self.rng.once_in(30);
        if self.store.reachable && (self.suspected > 2 || errs) {
            let fit = |id: &NodeId| {
                let node = &self.nodes[usize::from(id.0)];
                node.replica.is_some() && node.paused_until <= self.now
            };
            let heirs: Vec<_> = membership.peers().filter(fit).collect();
            if let Some(heir) = self.rng.choose(&heirs).copied() {
                self.suspected = 0;
                self.change_store(membership.epoch, membership.led_by(heir));
            }
        }
        self.soon(20 * MS, SimEvent::Manage);
    }

    pub(crate) fn hand_over(&mut self, to: NodeId) {
        let primary = self.store.membership.primary;
        self.happens(primary, MS, Event::HandOver(to));
    }

    /// Gives a replica an event, and does what it wants.
    fn feed(&mut self, id: NodeId, event: Event) {
        if self.trace && !matches!(event, Event::Tick) {
            println!("{:>8} {} <- {event:?}", self.now, id.0);
        }
        let now = self.now;
        let node = self.node(id);
        let time = node.time(now);
        let Some(replica) = &mut node.replica else { return };
        let read = if let Event::WorkDone { id, .. } = event { Some(id) } else { None };
        replica.on(time, event);
        let actions = replica.take_actions();
        let deadline = replica.next_deadline();
        for action in actions {
            if self.trace {
                println!("{:>8} {} -> {action:?}", self.now, id.0);
            }
            self.act(id, action);
        }
        self.forget_unwanted(id, read);
        if let Some(deadline) = deadline {
            let node = self.node(id);
            let at = node.when(deadline).max(now + 1);
            if node.tick_at.is_none_or(|tick| tick > at) {
                node.tick_at = Some(at);
                let life = node.incarnation;
                self.at(at, SimEvent::Happens { node: id, life, event: Event::Tick, blocks: None });
            }
        }
    }

    /// Blocks are kept no longer than the replica says, so that a use of them that comes later is noticed.
    fn forget_unwanted(&mut self, id: NodeId, read: Option<WorkId>) {
        let node = self.node(id);
        let Some(replica) = &node.replica else { return };
        if let Some(read) = read.filter(|read| !replica.holds(*read)) {
            node.memory.remove(&Payload::Work(read));
        }
    }

    fn act(&mut self, id: NodeId, action: Action) {
        let life = self.node(id).incarnation;
        match action {
            Action::Send { to, message, payload } => self.send(id, to, message, payload),
            Action::Work { id: work_id, work } => self.work_begins(id, work_id, work),
            Action::CompareAndSet { expected, target } => {
                let answered = self.store.reachable && !self.node(id).storeless;
                // Nobody hears of a store that is away, and yet it may do what it was asked, much later.
                if answered || self.rng.once_in(3) {
                    let most = if answered { 2 * MS } else { 60 * MS };
                    let asked = SimEvent::StoreAsked {
                        node: id,
                        life,
                        expected,
                        target: target.clone(),
                        heard: answered,
                    };
                    self.soon(most, asked);
                }
                if !answered {
                    self.happens(id, 20 * MS, Event::Stored { target, stored: Stored::Unknown });
                }
            }
            Action::Answer { op, answer } => {
                let mut values = Vec::new();
                if let HostAnswer::Done(Some(work)) = answer {
                    values = self.node(id).memory[&Payload::Work(work)].clone();
                }
                if let HostAnswer::Done(None) = answer {
                    self.check_answer(id, op);
                }
                self.soon(MS, SimEvent::HostHears { op, answer, values });
            }
            Action::Release { op, blocks } => {
                let node = self.node(id);
                node.memory.remove(&Payload::Host(op));
                if let Some(blocks) = blocks {
                    node.memory.remove(&Payload::Work(blocks));
                }
            }
            Action::Lead(leads) => self.node(id).leads = leads,
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message, payload: Option<Payload>) {
        if self.network.connection(from, to).is_none() {
            return;
        }
        if !self.network.hears(from, to) {
            self.break_soon(from, to);
            return;
        }
        let blocks = payload.map(|payload| {
            let (Message::Command { session, id, .. } | Message::Done { session, id, .. }) = message else {
                unreachable!("only commands and their answers carry blocks")
            };
            let blocks = self.node(from).memory[&payload].clone();
            (Payload::Received { from, session, id }, blocks)
        });
        self.summary.copies += u64::from(matches!(payload, Some(Payload::Work(_))));
        let life = self.node(to).incarnation;
        let event = Event::Message { from, message };
        // Now and then a queue is slow: its messages may outlive their connection.
        let most = if self.rng.once_in(50) { 50 * MS } else { MS };
        self.soon(most, SimEvent::Happens { node: to, life, event, blocks });
    }

    fn work_begins(&mut self, id: NodeId, work_id: WorkId, work: Work) {
        let now = self.now;
        let slow = self.node(id).slow;
        // Now and then a drive takes its time.
        let most = if slow || self.rng.once_in(40) { 40 * MS } else { MS / 2 };
        let latency = self.rng.range(20..most);
        let node = self.node(id);
        if let Work::Write { range, .. } | Work::Read(range) = &work {
            assert!(range.blocks().end <= node.blocks(), "{} works on {range:?} of {}", id.0, node.blocks());
        }
        let mut at = now + latency;
        let mut flush = None;
        match &work {
            Work::Persist(change) => {
                node.disk.change_begins(work_id, change.clone());
                at = at.max(node.last_change_at);
                node.last_change_at = at;
            }
            Work::Write { range, payload } => {
                let values = match payload {
                    // Such blocks are written once.
                    Payload::Received { .. } => node.memory.remove(payload).expect("they came"),
                    Payload::Host(_) | Payload::Work(_) => node.memory[payload].clone(),
                };
                assert_eq!(values.len() as u64, range.count);
                node.writing.insert(work_id, (*range, values));
            }
            Work::Flush => flush = Some(node.disk.flush_begins()),
            Work::Read(_) => {}
        }
        let life = node.incarnation;
        self.at(at, SimEvent::WorkEnds { node: id, life, id: work_id, work, flush });
    }

    fn work_ends(&mut self, id: NodeId, work_id: WorkId, work: &Work, flush: Option<&FlushPoint>) {
        let mut outcome = Outcome::Ok;
        let fails = self.node(id).disk.failing && self.rng.once_in(2);
        let node = self.node(id);
        match work {
            Work::Persist(_) => node.disk.change_ends(work_id, id, &node.grain),
            Work::Write { .. } => {
                let (range, values) = node.writing.remove(&work_id).unwrap();
                if fails {
                    outcome = Outcome::Failed;
                } else {
                    if self.trace {
                        println!("{:>8} {} disk {range:?} = {values:?}", self.now, id.0);
                    }
                    for (block, value) in range.blocks().zip(values) {
                        self.node(id).disk.write(block, value);
                    }
                }
            }
            Work::Flush => node.disk.flush_ends(flush.unwrap()),
            Work::Read(_) if fails => outcome = Outcome::Failed,
            Work::Read(range) => {
                let values = range.blocks().map(|block| node.disk.read(block)).collect();
                node.memory.insert(Payload::Work(work_id), values);
            }
        }
        if let Work::Persist(Change::Certify { .. }) = work {
            debug_assert!(self.node(id).is_intact());
        }
        self.feed(id, Event::WorkDone { id: work_id, outcome });
    }
}
