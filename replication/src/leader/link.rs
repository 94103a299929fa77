//! The leader's view of one peer.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Leader, Phase};
use crate::{
    config::Config,
    membership::{Epoch, NodeId, Session},
    message::{Message, Standing},
    range::{Extent, Superset},
    replica::Replica,
};

/// How far a peer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LinkState {
    /// No connection.
    Down,
    /// Asked to obey.
    Fencing,
    /// It obeys, and nobody knows yet what it lacks.
    Fenced,
    /// It is sent what it lacks, and everything that hosts write.
    Copying,
    /// It flushes before it joins.
    Flushing,
    /// It notes that it is equal.
    Certifying,
    /// It has everything.
    Equal,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) state: LinkState,
    /// When it came to this state.
    pub(super) since: Duration,
    /// When it was last seen to get on: equal, or taking a copy; or when it began to be waited for. A connection that
    /// comes and goes, and a peer that only obeys, are no progress: hosts would wait for ever.
    pub(super) got_on: Duration,
    pub(super) session: Option<Session>,
    /// Of the set that the session's fence spoke of.
    pub(super) fence_epoch: Epoch,
    /// Of the newest set that it knows.
    pub(super) epoch: Epoch,
    /// An adoption is on its way.
    pub(super) telling: Epoch,
    pub(super) standing: Option<Standing>,
    /// Extents that may differ. Known only once it was fenced by this leader.
    pub(super) todo: Option<Superset<Extent>>,
    pub(super) copying: BTreeSet<Extent>,
    /// When copies go on after this node's drive could not read one.
    pub(super) resume_at: Duration,
    /// It may not accept another primary before then (our time).
    pub(super) granted_until: Option<Duration>,
    /// A grant was asked for and not answered.
    pub(super) asked: Option<Duration>,
    /// Its drive fails: it shall leave, and is not asked again before it reconnects.
    pub(super) bad: bool,
}

impl Link {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            state: LinkState::Down,
            since: now,
            got_on: now,
            session: None,
            fence_epoch: Epoch::default(),
            epoch: Epoch::default(),
            telling: Epoch::default(),
            standing: None,
            todo: None,
            copying: BTreeSet::new(),
            resume_at: Duration::ZERO,
            granted_until: None,
            asked: None,
            bad: false,
        }
    }

    pub(super) fn enter(&mut self, state: LinkState, now: Duration) {
        self.state = state;
        self.since = now;
    }

    /// When it has been waited for long enough.
    pub(super) fn overdue_at(&self, config: &Config) -> Duration {
        if self.bad { Duration::ZERO } else { self.got_on + config.patience }
    }

    /// When to ask for the next grant: halfway through the present one, or when the last request was not answered.
    pub(super) fn grant_renewal(&self, config: &Config) -> Option<Duration> {
        if self.state < LinkState::Fenced {
            return None;
        }
        let half = config.grant / 2;
        let unanswered = self.asked.map(|asked| asked + half);
        let renewal = self.granted_until.map_or(Duration::ZERO, |until| until.saturating_sub(half));
        Some(unanswered.unwrap_or(renewal))
    }
}

impl Leader {
    pub(crate) fn peer_up(&mut self, replica: &mut Replica, peer: NodeId) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.bad = false;
        }
        self.disconnect(replica, peer);
        self.connect(replica, peer);
    }

    pub(crate) fn peer_down(&mut self, replica: &mut Replica, peer: NodeId) {
        self.disconnect(replica, peer);
    }

    /// What was sent may or may not have arrived.
    fn disconnect(&mut self, replica: &mut Replica, peer: NodeId) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        // One that obeys waits for us until we lead.
        let waits = link.state == LinkState::Fenced && self.phase != Phase::Leading;
        if waits || link.state == LinkState::Equal {
            link.got_on = replica.now;
        }
        if link.state != LinkState::Down {
            link.enter(LinkState::Down, replica.now);
        }
        link.session = None;
        link.asked = None;
        link.telling = Epoch::default();
        for extent in std::mem::take(&mut link.copying) {
            self.ops.claims.release_copy(extent);
        }
        self.outstanding.retain(|_, (to, _)| *to != peer);
        self.ops.peer_lost(peer);
        self.fetch_lost(peer);
    }

    /// It left the set: what it lacks is judged anew when it comes back.
    pub(super) fn forget(&mut self, replica: &mut Replica, peer: NodeId) {
        self.disconnect(replica, peer);
        self.links.retain(|other, link| *other != peer || link.bad);
    }

    /// Its drive failed: it leaves the set (M5).
    pub(super) fn peer_failed(&mut self, replica: &mut Replica, peer: NodeId) {
        self.disconnect(replica, peer);
        if let Some(link) = self.links.get_mut(&peer) {
            link.bad = true;
        }
    }

    /// Fences a peer, under a new session.
    pub(super) fn connect(&mut self, replica: &mut Replica, peer: NodeId) {
        let member = self.membership.in_sync.contains(&peer);
        if !replica.up.contains(&peer) || !member && self.phase != Phase::Leading {
            return;
        }
        self.last_session += 1;
        let number = self.last_session;
        // Sessions of one process are told apart over all its leaderships by their epochs.
        let session =
            Session { incarnation: replica.config.incarnation, number: session_number(self.epoch(), number) };
        let link = self.links.entry(peer).or_insert_with(|| Link::new(replica.now));
        if link.bad {
            return;
        }
        link.enter(LinkState::Fencing, replica.now);
        link.session = Some(session);
        link.fence_epoch = self.membership.epoch;
        let membership = self.membership.clone();
        replica.send(peer, Message::Fence { session, membership }, None);
    }

    /// Replicas that are connected, and were not spoken to: they may have something to catch up with.
    pub(super) fn meet_strangers(&mut self, replica: &mut Replica) {
        let unmet = |peer: &NodeId| self.links.get(peer).is_none_or(|l| l.state == LinkState::Down && !l.bad);
        for peer in replica.up.iter().copied().filter(unmet).collect::<Vec<_>>() {
            self.connect(replica, peer);
        }
    }
}

/// Greater for later epochs and for later connections of one.
fn session_number(epoch: Epoch, number: u64) -> u64 {
    (epoch.0 << 32) | number
}
