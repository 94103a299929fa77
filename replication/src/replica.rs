//! One replica of a volume: everything that happens to it enters here, everything that it wants leaves here.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use crate::{
    config::{Cheat, Config},
    durable::{Change, Durable},
    event::{Action, Event, HostAnswer, Payload, Stored, Work, WorkId},
    follower::{Asked, Fence, Follower},
    leader::{Leader, LeaderWork},
    membership::{Membership, NodeId},
    message::{Message, Outcome, Standing},
    range::BlockRange,
    tracker::Tracker,
};

/// A replica. Feed it events, then do what [`Self::take_actions`] says.
#[derive(Debug)]
pub struct Replica {
    pub(crate) config: Config,
    pub(crate) now: Duration,
    /// With all changes that were given to the drive.
    pub(crate) issued: Durable,
    /// With those that are durable.
    pub(crate) settled: Durable,
    pub(crate) tracker: Tracker,
    pub(crate) up: BTreeSet<NodeId>,
    pub(crate) follower: Follower,
    pub(crate) leader: Option<Leader>,
    /// A newer membership in which we lead, as soon as nobody reads under our grant any more.
    promoted: Option<Membership>,
    /// What we asked the store for, to lead again, or by force.
    pub(crate) reclaimed: Option<Membership>,
    /// What the store told last; none while nobody knows what it holds.
    pub(crate) heard: Option<Membership>,
    /// Members that are off for good, by an operator's word.
    pub(crate) dead: BTreeSet<NodeId>,
    /// Writes to this node's drive that are under way.
    pub(crate) executing: usize,
    /// An adoption is on its way to the drive.
    pub(crate) adopting: bool,
    work: BTreeMap<WorkId, (Work, Then)>,
    last_work: u64,
    actions: Vec<Action>,
}

/// What follows when a piece of work is done.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    Nothing,
    TakeOver(Membership),
    Fenced(Fence),
    /// A primary's command.
    Asked(Asked),
    /// A primary wants these blocks, which lay beyond the volume's end.
    Fetch(Asked, BlockRange),
    Lead(LeaderWork),
}

impl Replica {
    /// A replica whose process has just started. `now` is the time since the machine's boot.
    pub fn new(config: Config, durable: Durable, now: Duration) -> Self {
        let holder = durable.membership.primary;
        // It may have granted just before it stopped.
        let granted = (holder != config.me).then(|| (holder, now + config.grant_for_replica()));
        Self {
            config,
            now,
            issued: durable.clone(),
            settled: durable,
            tracker: Tracker::default(),
            up: BTreeSet::new(),
            follower: Follower { granted, ..Follower::default() },
            leader: None,
            promoted: None,
            reclaimed: None,
            heard: None,
            dead: BTreeSet::new(),
            executing: 0,
            adopting: false,
            work: BTreeMap::new(),
            last_work: 0,
            actions: Vec::new(),
        }
    }

    /// Something happened, at a time not before the last one.
    pub fn on(&mut self, now: Duration, event: Event) {
        debug_assert!(now >= self.now, "time never goes back");
        self.now = now;
        match event {
            Event::Tick => {}
            Event::PeerUp(peer) => {
                self.up.insert(peer);
                self.lead(|replica, leader| leader.peer_up(replica, peer));
            }
            Event::PeerDown(peer) => {
                self.up.remove(&peer);
                self.lead(|replica, leader| leader.peer_down(replica, peer));
            }
            Event::Message { from, message } => self.message(from, message),
            Event::WorkDone { id, outcome } => self.work_done(id, outcome),
            Event::Learned(membership) => self.learned(membership),
            Event::Stored { target, stored } => self.stored(target, stored),
            Event::Host { op, request } => {
                if self.leader.is_none() {
                    self.act(Action::Answer { op, answer: HostAnswer::Path });
                    self.act(Action::Release { op, blocks: None });
                }
                self.lead(|replica, leader| leader.host(replica, op, request));
            }
            Event::Expanded { extents } => self.expand(extents),
            Event::Force { dead } => self.force(dead),
            Event::HandOver(to) => self.lead(|_, leader| leader.hand_over(to)),
        }
        self.try_fence();
        self.try_take_over();
        self.try_force();
        self.lead(|replica, leader| leader.progress(replica));
    }

    /// What to do now, in this order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        mem::take(&mut self.actions)
    }

    /// When [`Event::Tick`] is due, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Duration> {
        let waits = self.follower.fence.is_some() || self.promoted.is_some();
        let grant = self.follower.granted.filter(|_| waits).map(|(_, until)| until);
        let leader = self.leader.as_ref().and_then(|leader| leader.next_deadline(self));
        [grant, leader].into_iter().flatten().min()
    }

    /// The newest membership that this replica took part in, durably.
    pub fn membership(&self) -> &Membership {
        &self.settled.membership
    }

    /// Whether it leads, and answers hosts.
    pub fn is_serving(&self) -> bool {
        self.leader.as_ref().is_some_and(Leader::is_announced)
    }

    /// Whether it leads, or is about to: only then are blocks used that came with the answer to a fetch.
    pub fn is_leading(&self) -> bool {
        self.leader.is_some()
    }

    /// Whether a host will be answered with blocks that were read.
    pub fn holds(&self, blocks: WorkId) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.holds(blocks))
    }

    /// Whether nothing that it acknowledged since it was last equal to a primary can have been lost.
    pub(crate) fn is_intact(&self) -> bool {
        self.settled.certified == Some(self.config.boot)
            || self.settled.certified.is_some() && self.config.cheats(Cheat::NoIncarnation)
    }

    /// Whether it is to lead, as soon as nobody else may read by its word.
    pub(crate) fn is_named(&self) -> bool {
        self.promoted.is_some()
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing {
            intact: self.is_intact(),
            complete: self.settled.complete,
            record: self.issued.record.clone(),
            extents: self.issued.extents,
        }
    }

    fn message(&mut self, from: NodeId, message: Message) {
        match message {
            Message::Fence { session, membership } => self.fence_asked(Fence { from, session, membership }),
            Message::Command { session, id, command } => self.command(Asked { from, session, id }, command),
            Message::GrantRequest { session, asked } => self.grant_asked(from, session, asked),
            Message::GrantReturn { session } => self.grant_returned(from, session),
            Message::Flushed { session, flush, except } => {
                self.flushed_everywhere(from, session, flush, &except);
            }
            Message::Refused { newer, of: _ } => self.refused(&newer),
            Message::Fenced { session, replica: standing } => {
                self.lead(|replica, leader| leader.fenced(replica, from, session, standing));
            }
            Message::Done { session, id, outcome } => {
                self.lead(|replica, leader| leader.command_done(replica, from, (session, id), outcome));
            }
            Message::Grant { session, asked } => {
                self.lead(|replica, leader| leader.granted(replica, from, session, asked));
            }
        }
    }

    /// A peer has taken part in something newer: whoever leads it, it is not this leader.
    fn refused(&mut self, newer: &Membership) {
        if self.leader.as_ref().is_some_and(|leader| newer.epoch > leader.epoch()) {
            self.step_down();
        }
    }

    fn learned(&mut self, membership: Membership) {
        self.hear_of(&membership);
        if self.leader.as_ref().is_some_and(|leader| leader.knows(&membership)) {
            self.lead(|replica, leader| leader.learned(replica, &membership));
            return;
        }
        if membership.epoch < self.issued.membership.epoch {
            return;
        }
        if membership.epoch > self.issued.membership.epoch {
            self.step_down();
            if membership.primary == self.config.me {
                self.promoted = Some(membership);
            }
        } else if membership.primary == self.config.me && self.leader.is_none() && !self.adopting {
            self.reclaim(&membership);
        }
    }

    /// Leads again what it led before its process stopped, or before it gave up: under a new epoch, so that nothing
    /// that it asked the store for in its former life can be stored any more.
    fn reclaim(&mut self, membership: &Membership) {
        if self.reclaimed.is_none() && self.promoted.is_none() {
            let target = membership.led_by(self.config.me);
            self.act(Action::CompareAndSet { expected: membership.epoch, target: target.clone() });
            self.reclaimed = Some(target);
        }
    }

    fn stored(&mut self, target: Membership, stored: Stored) {
        if self.reclaimed.as_ref() != Some(&target) {
            self.lead(|replica, leader| leader.stored(replica, &target, stored));
            return;
        }
        self.reclaimed = None;
        match stored {
            Stored::Ok => self.learned(target),
            Stored::Conflict(current) => self.learned(current),
            // The next look at the store tells.
            Stored::Unknown => self.heard = None,
        }
    }

    /// Leads the newest membership that says so, once the grants that we gave have ended and nothing that a former
    /// primary asked for is under way any more.
    fn try_take_over(&mut self) {
        let Some(membership) = &self.promoted else { return };
        if membership.epoch < self.issued.membership.epoch || self.leader.is_some() {
            self.promoted = None;
            return;
        }
        if self.adopting || self.grants_to_another(self.config.me) {
            return;
        }
        self.follower.session = None;
        if self.executing > 0 {
            return;
        }
        let membership = membership.clone();
        self.promoted = None;
        self.adopting = true;
        self.persist(Change::Adopt(membership.clone()), Then::TakeOver(membership));
    }

    /// Stops leading at once: hosts try elsewhere.
    pub(crate) fn step_down(&mut self) {
        if let Some(mut leader) = self.leader.take() {
            leader.end(self);
        }
    }

    /// Runs something of the leader's, if we lead.
    pub(crate) fn lead(&mut self, run: impl FnOnce(&mut Self, &mut Leader)) {
        let Some(mut leader) = self.leader.take() else { return };
        run(self, &mut leader);
        if leader.has_resigned() {
            leader.end(self);
        } else {
            self.leader = Some(leader);
        }
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn send(&mut self, to: NodeId, message: Message, payload: Option<Payload>) {
        self.act(Action::Send { to, message, payload });
    }

    pub(crate) fn start_work(&mut self, work: Work, then: Then) -> WorkId {
        self.last_work += 1;
        let id = WorkId(self.last_work);
        if matches!(work, Work::Write { .. }) {
            self.executing += 1;
        }
        self.work.insert(id, (work.clone(), then));
        self.act(Action::Work { id, work });
        id
    }

    pub(crate) fn persist(&mut self, change: Change, then: Then) {
        self.issued.apply(&change, self.config.me, &self.config.grain);
        self.start_work(Work::Persist(change), then);
    }

    /// The volume is at least so large.
    pub(crate) fn expand(&mut self, extents: u64) {
        if extents > self.issued.extents {
            self.persist(Change::Expand(extents), Then::Nothing);
        }
    }

    /// Makes sure that a range is recorded before it is written; `then` follows when it is.
    pub(crate) fn mark(&mut self, range: BlockRange, then: Then) -> Option<Then> {
        let grain = &self.config.grain;
        if self.issued.covers(range, grain) && self.settled.covers(range, grain) {
            return Some(then);
        }
        self.persist(Change::Mark(range), then);
        None
    }

    fn work_done(&mut self, id: WorkId, outcome: Outcome) {
        let Some((work, then)) = self.work.remove(&id) else { return };
        match &work {
            Work::Persist(change) => self.settled.apply(change, self.config.me, &self.config.grain),
            Work::Write { .. } => self.executing -= 1,
            Work::Read(_) | Work::Flush => {}
        }
        match then {
            Then::Nothing => {}
            Then::Fenced(fence) => self.fence_adopted(fence),
            Then::Fetch(asked, range) => self.fetch(asked, range),
            Then::Asked(asked) => self.asked_done(asked, &work, id, outcome),
            Then::TakeOver(membership) => {
                self.adopting = false;
                self.leader = Some(Leader::new(membership));
                self.lead(|replica, leader| leader.begin(replica));
            }
            Then::Lead(kind) => {
                if let Some(unfinished) = kind.written()
                    && self.leader.is_none()
                {
                    self.tracker.write_ended(unfinished, &self.config.grain);
                }
                self.lead(|replica, leader| leader.work_done(replica, kind, id, outcome));
            }
        }
    }
}
