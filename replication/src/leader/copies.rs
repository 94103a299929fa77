//! Making a peer equal: the recently written after a takeover or a loss of power, the missed after an absence.

use super::{Leader, LeaderWork, Link, LinkState, Phase, Purpose};
use crate::{
    config::Cheat,
    event::{Payload, Work, WorkId},
    membership::{NodeId, Session},
    message::Command,
    range::{BlockRange, Extent, Superset},
    replica::Replica,
};

impl Leader {
    /// What do the peers lack that obey? Judged when this drive has room for all that they have.
    pub(super) fn judge_fenced(&mut self, replica: &mut Replica) {
        let fits = |link: &Link| {
            let standing = link.standing.as_ref().filter(|_| link.state == LinkState::Fenced);
            standing.is_some_and(|standing| standing.extents <= replica.settled.extents)
        };
        let fenced = self.links.iter().filter(|(_, link)| fits(link));
        for peer in fenced.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.begin_copies(replica, peer);
        }
    }

    /// A peer obeys, and this replica leads: what does it lack?
    fn begin_copies(&mut self, replica: &mut Replica, peer: NodeId) {
        let grain = replica.config.grain;
        let counts = self.belongs(peer);
        let link = self.links.get_mut(&peer).expect("it was fenced");
        let standing = link.standing.as_ref().expect("it was fenced");
        let intact = standing.intact;
        let theirs = || grain.extents_of(&standing.record);
        let recent = || {
            let mut recent = theirs();
            recent.extend(&grain.extents_of(&replica.issued.record), grain.runs_max);
            recent
        };
        let mut todo = if !counts {
            match replica.issued.missing.get(&peer).filter(|_| standing.complete) {
                Some(missed) => {
                    let mut lacks = missed.clone();
                    lacks.extend(&theirs(), grain.runs_max);
                    lacks
                }
                None => Superset::from(Extent(0)..Extent(replica.settled.extents)),
            }
        } else if let Some(mut todo) = link.todo.take() {
            if !intact {
                todo.extend(&recent(), grain.runs_max);
            }
            todo
        } else if replica.config.cheats(Cheat::NoEqualize) && standing.complete {
            Superset::default()
        } else {
            recent()
        };
        // Beyond what we and it have, neither was ever written.
        todo.remove(&(Extent(replica.settled.extents)..Extent(u64::MAX)));
        link.todo = Some(todo);
        link.enter(LinkState::Copying, replica.now);
        if !intact {
            self.ops.peer_forgot(peer);
        }
    }

    /// Begins copies, a few at a time, and goes on when there is nothing left to copy.
    pub(super) fn pump_copies(&mut self, replica: &mut Replica) {
        let copying = self.links.iter().filter(|(_, link)| link.state == LinkState::Copying);
        for peer in copying.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            let link = self.links.get_mut(&peer).expect("listed");
            let (Some(session), Some(todo)) = (link.session, &link.todo) else { continue };
            if todo.is_empty() {
                self.all_copied(replica, peer);
                continue;
            }
            if replica.now < link.resume_at {
                continue;
            }
            let free = replica.config.copies_max.saturating_sub(link.copying.len());
            let waiting = todo.iter().filter(|extent| !link.copying.contains(extent));
            let claims = &mut self.ops.claims;
            let chosen: Vec<Extent> =
                waiting.filter(|e| claims.take_copy(*e, &replica.config.grain)).take(free).collect();
            for extent in chosen {
                link.copying.insert(extent);
                let range = replica.config.grain.blocks_of(extent);
                Self::start(replica, Work::Read(range), LeaderWork::CopyRead(peer, session, extent));
            }
        }
    }

    pub(super) fn copy_read(
        &mut self,
        replica: &mut Replica,
        (peer, session): (NodeId, Session),
        extent: Extent,
        work: WorkId,
    ) {
        // Of a connection before: its claim was let go when that broke.
        if self.links.get(&peer).and_then(|link| link.session) == Some(session) {
            let command = Command::Write(replica.config.grain.blocks_of(extent));
            self.command(replica, peer, Purpose::Copy(extent), command, Some(Payload::Work(work)));
        }
    }

    /// This node's drive could not write what peers write. Members will do without this drive; but those that are to join
    /// would not be equal: they are sent what is here, again if they had everything else.
    pub(super) fn write_failed(&mut self, replica: &Replica, range: BlockRange) {
        let grain = replica.config.grain;
        let joining = self.links.iter_mut().filter(|(peer, _)| !self.membership.in_sync.contains(peer));
        for (peer, link) in joining {
            if let Some(todo) = &mut link.todo {
                todo.insert(&grain.extents(range), grain.runs_max);
            }
            if link.state > LinkState::Copying {
                link.enter(LinkState::Copying, replica.now);
                let last_step = |purpose| matches!(purpose, Purpose::JoinFlush | Purpose::Certify);
                self.outstanding.retain(|_, (to, purpose)| to != peer || !last_step(*purpose));
            }
        }
    }

    /// This node's drive could not read it: tried again, but not at once, and for ever.
    pub(super) fn copy_unread(
        &mut self,
        replica: &Replica,
        (peer, session): (NodeId, Session),
        extent: Extent,
    ) {
        let Some(link) = self.links.get_mut(&peer).filter(|link| link.session == Some(session)) else {
            return;
        };
        link.resume_at = replica.now + replica.config.patience;
        if link.copying.remove(&extent) {
            self.ops.claims.release_copy(extent);
        }
    }

    pub(super) fn copied(&mut self, replica: &Replica, peer: NodeId, extent: Extent) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.got_on = replica.now;
        if link.copying.remove(&extent) {
            self.ops.claims.release_copy(extent);
        }
        if let Some(todo) = &mut link.todo {
            todo.remove(&extent.run());
        }
    }

    /// Members note that they are equal; others flush before, when they have all that was answered without them.
    fn all_copied(&mut self, replica: &mut Replica, peer: NodeId) {
        if self.belongs(peer) {
            self.certify(replica, peer);
        } else if !self.ops.lags(peer) {
            self.enter(replica, peer, LinkState::Flushing);
            self.command(replica, peer, Purpose::JoinFlush, Command::Flush, None);
        }
    }

    pub(super) fn certify(&mut self, replica: &mut Replica, peer: NodeId) {
        self.enter(replica, peer, LinkState::Certifying);
        let missing = replica.issued.missing.iter().filter(|(node, _)| **node != peer);
        let missing = missing.map(|(node, extents)| (*node, extents.clone())).collect();
        self.command(replica, peer, Purpose::Certify, Command::Certify { missing }, None);
    }

    pub(super) fn certified(&mut self, replica: &Replica, peer: NodeId) {
        debug_assert_eq!(self.phase, Phase::Leading);
        self.enter(replica, peer, LinkState::Equal);
    }

    fn enter(&mut self, replica: &Replica, peer: NodeId, state: LinkState) {
        self.links.get_mut(&peer).expect("it was copied to").enter(state, replica.now);
    }
}
