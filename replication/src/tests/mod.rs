//! The state machines, state by event.

mod expanding;
mod fencing;
mod forcing;
mod leading;
mod patience;
mod sets;
mod status;
mod wire;

use std::time::Duration;

use crate::{
    Action, BlockRange, Boot, Command, Config, Durable, Event, Grain, HostAnswer, HostRequest, Leadership,
    Membership, Message, NodeId, OpId, Outcome, Region, Replica, Role, Session, Standing, Stored, Superset,
    Work, WorkId,
};

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(0);
const GRANT: Duration = Duration::from_millis(100);
const EXTENTS: u64 = 4;
const GRAIN: Grain = Grain { blocks_per_extent: 2, extents_per_region: 2, runs_max: crate::RUNS_MAX };

/// A replica, its time, and work that it has not been told the end of.
struct Bench {
    replica: Replica,
    now: Duration,
    sent: Vec<(NodeId, Message)>,
    answers: Vec<(OpId, HostAnswer)>,
    released: Vec<OpId>,
    store: Vec<Membership>,
    held: Vec<(WorkId, Work)>,
    /// What was read from the drive.
    reads: Vec<BlockRange>,
    /// Work of these kinds is not ended at once.
    hold: fn(&Work) -> bool,
}

impl Bench {
    fn new(durable: Durable, boot: u64) -> Self {
        let config = Config {
            me: ME,
            incarnation: 1,
            boot: Boot(boot),
            grain: GRAIN,
            grant: GRANT,
            patience: Duration::from_millis(50),
            copies_max: 4,
            cheat: None,
        };
        Self {
            replica: Replica::new(config, durable, Duration::ZERO),
            now: Duration::ZERO,
            sent: Vec::new(),
            answers: Vec::new(),
            released: Vec::new(),
            store: Vec::new(),
            held: Vec::new(),
            reads: Vec::new(),
            hold: |_| false,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.on(Event::Tick);
    }

    fn on(&mut self, event: Event) {
        self.replica.on(self.now, event);
        for action in self.replica.take_actions() {
            if let Action::Work { work: Work::Read(range), .. } = &action {
                self.reads.push(*range);
            }
            match action {
                Action::Send { to, message, .. } => self.sent.push((to, message)),
                Action::Answer { op, answer } => self.answers.push((op, answer)),
                Action::CompareAndSet { target, .. } => self.store.push(target),
                Action::Work { id, work } if (self.hold)(&work) => self.held.push((id, work)),
                Action::Work { id, .. } => self.on(Event::WorkDone { id, outcome: Outcome::Ok }),
                Action::Release { op, .. } => self.released.push(op),
                Action::Lead(_) => {}
            }
        }
    }

    fn end_held(&mut self) {
        for (id, _) in std::mem::take(&mut self.held) {
            self.on(Event::WorkDone { id, outcome: Outcome::Ok });
        }
    }

    fn hear(&mut self, from: NodeId, message: Message) {
        self.on(Event::Message { from, message });
    }

    fn fence(&mut self, from: NodeId, number: u64, membership: &Membership) {
        let session = Session { incarnation: 1, number };
        self.hear(from, Message::Fence { session, membership: membership.clone() });
    }

    /// What was sent since the last look.
    fn sent(&mut self) -> Vec<(NodeId, Message)> {
        std::mem::take(&mut self.sent)
    }

    fn write(&mut self, op: u64) {
        let request = HostRequest::Write(BlockRange { first: 0, count: 1 });
        self.on(Event::Host { op: OpId(op), request });
    }

    fn read(&mut self, op: u64) {
        let request = HostRequest::Read(BlockRange { first: 0, count: 1 });
        self.on(Event::Host { op: OpId(op), request });
    }

    fn stored(&mut self, stored: Stored) {
        let target = self.store.pop().expect("something was asked for");
        self.on(Event::Stored { target, stored });
    }
}

/// Two members, led by node 0.
fn led_by_other() -> Membership {
    Membership::first(NodeId(0), [NodeId(0), ME])
}

/// Named primary in epoch 2 of {0, 1}; `intact` is its own copy, `peer` what the other says, if it obeys.
fn named(intact: bool, peer: Option<bool>) -> Bench {
    let mut durable = Durable::new(led_by_other(), Boot(1), EXTENTS);
    durable.record = Superset::from(Region(0)..Region(1));
    let mut bench = Bench::new(durable, if intact { 1 } else { 2 });
    bench.pass(GRANT * 2);
    if peer.is_some() {
        bench.on(Event::PeerUp(PEER));
    }
    bench.on(Event::Learned(led_by_other().led_by(ME)));
    if let Some(intact) = peer {
        let session = fence_session(&mut bench);
        let record = Superset::default();
        bench.hear(
            PEER,
            Message::Fenced {
                session,
                replica: Standing { intact, complete: true, record, extents: EXTENTS },
            },
        );
    }
    bench
}

fn fence_session(bench: &mut Bench) -> Session {
    let fence = bench.sent().into_iter().find_map(|(_, message)| match message {
        Message::Fence { session, .. } => Some(session),
        _ => None,
    });
    fence.expect("the peer is fenced")
}

/// Answers every command and grant until nothing is asked any more; whether blocks were fetched.
fn obey(bench: &mut Bench) -> bool {
    let mut fetched = false;
    loop {
        let sent = bench.sent();
        if sent.is_empty() {
            return fetched;
        }
        for (to, message) in sent {
            match message {
                Message::Command { session, id, command } => {
                    fetched |= matches!(command, Command::Fetch(_));
                    bench.hear(to, Message::Done { session, id, outcome: Outcome::Ok });
                }
                Message::GrantRequest { session, asked } => bench.hear(to, Message::Grant { session, asked }),
                _ => {}
            }
        }
    }
}

/// Leads {0, 1} in epoch 2, with everything equal.
fn leading() -> Bench {
    let mut bench = named(true, Some(true));
    obey(&mut bench);
    assert!(bench.replica.is_serving());
    bench
}

fn leadership(bench: &Bench) -> Leadership {
    match bench.replica.status().role {
        Role::Leading(leadership) => leadership,
        other => panic!("{other:?}"),
    }
}
