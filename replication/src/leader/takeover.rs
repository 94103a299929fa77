//! From being named to leading: nobody else acts any more, and this copy has everything that was acknowledged.

use super::{Leader, LeaderWork, Phase, Purpose, link::LinkState};
use crate::{
    durable::Change,
    event::{Payload, Work},
    membership::{NodeId, Session},
    message::{Command, CommandId, Outcome},
    range::Extent,
    replica::{Replica, Then},
};

impl Leader {
    /// ```text
    /// Fencing, copy intact      every member obeys (others are removed in time)   -> Leading
    /// Fencing, copy not intact  an intact member obeys                            -> Catching
    ///                           every member obeys, and none is intact            -> Certifying
    /// Catching                  everything is fetched                             -> Certifying
    ///                           the source was lost                               -> Fencing
    /// Certifying                durable                                           -> Fencing, intact
    /// ```
    pub(super) fn take_over(&mut self, replica: &mut Replica) {
        match self.phase {
            Phase::Fencing if replica.is_intact() => {
                if self.members_fenced() {
                    self.phase = Phase::Leading;
                }
            }
            Phase::Fencing => {
                let intact =
                    |link: &super::Link| link.standing.as_ref().is_some_and(|standing| standing.intact);
                let source = self.fenced_peers().into_iter().find(|peer| intact(&self.links[peer]));
                if let Some(source) = source {
                    self.catch_up(replica, source);
                } else if self.members_fenced() {
                    // All lost power: what each has flushed is all that was promised, and this copy has it.
                    self.certify_own(replica);
                }
            }
            Phase::Catching(source) => self.pump_fetches(replica, source),
            Phase::Certifying | Phase::Leading => {}
        }
    }

    fn fenced_peers(&self) -> Vec<NodeId> {
        let fenced = self.belonging().filter(|(_, link)| link.state == LinkState::Fenced);
        fenced.map(|(peer, _)| peer).collect()
    }

    fn members_fenced(&self) -> bool {
        self.belonging().all(|(_, link)| link.state >= LinkState::Fenced)
    }

    fn catch_up(&mut self, replica: &mut Replica, source: NodeId) {
        let grain = replica.config.grain;
        let standing = self.links[&source].standing.as_ref().expect("it was fenced");
        let mut regions = replica.issued.record.clone();
        regions.extend(&standing.record, grain.runs_max);
        self.to_fetch = grain.extents_of(&regions);
        // Beyond what we and it have, neither was ever written.
        self.to_fetch.remove(&(Extent(replica.issued.extents)..Extent(u64::MAX)));
        self.fetching.clear();
        self.phase = Phase::Catching(source);
        self.pump_fetches(replica, source);
    }

    fn pump_fetches(&mut self, replica: &mut Replica, source: NodeId) {
        if self.to_fetch.is_empty() {
            self.certify_own(replica);
            return;
        }
        let free = replica.config.copies_max.saturating_sub(self.fetching.len());
        let chosen: Vec<Extent> =
            self.to_fetch.iter().filter(|e| !self.fetching.contains(e)).take(free).collect();
        for extent in chosen {
            self.fetching.insert(extent);
            let command = Command::Fetch(replica.config.grain.blocks_of(extent));
            self.command(replica, source, Purpose::Fetch(extent), command, None);
        }
    }

    /// An extent's blocks came with the answer.
    pub(super) fn fetched(
        &mut self,
        replica: &mut Replica,
        (from, session, id): (NodeId, Session, CommandId),
        extent: Extent,
    ) {
        let range = replica.config.grain.blocks_of(extent);
        let then = Then::Lead(LeaderWork::FetchMarked(from, session, id, extent));
        if replica.mark(range, then).is_some() {
            self.write_fetched(replica, (from, session, id), extent);
        }
    }

    pub(super) fn write_fetched(
        &mut self,
        replica: &mut Replica,
        (from, session, id): (NodeId, Session, CommandId),
        extent: Extent,
    ) {
        let range = replica.config.grain.blocks_of(extent);
        let payload = Payload::Received { from, session, id };
        Self::start(replica, Work::Write { range, payload }, LeaderWork::FetchWritten(extent));
    }

    pub(super) fn fetch_written(&mut self, extent: Extent, outcome: Outcome) {
        self.fetching.remove(&extent);
        if outcome == Outcome::Ok {
            self.to_fetch.remove(&extent.run());
        }
    }

    /// The intact member that is fetched from.
    pub(super) fn source(&self) -> Option<NodeId> {
        match self.phase {
            Phase::Catching(source) => Some(source),
            Phase::Fencing | Phase::Certifying | Phase::Leading => None,
        }
    }

    /// The member that was fetched from went away: begin again with whoever is left.
    pub(super) fn fetch_lost(&mut self, peer: NodeId) {
        if self.phase == Phase::Catching(peer) {
            self.phase = Phase::Fencing;
        }
    }

    fn certify_own(&mut self, replica: &mut Replica) {
        self.phase = Phase::Certifying;
        let (boot, missing) = (replica.config.boot, replica.issued.missing.clone());
        replica.persist(Change::Certify { boot, missing }, Then::Lead(LeaderWork::Certified));
    }

    pub(super) fn own_certified(&mut self) {
        if self.phase == Phase::Certifying {
            self.phase = Phase::Fencing;
        }
    }
}
