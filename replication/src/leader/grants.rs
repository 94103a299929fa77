//! Leave to read without asking (M3): the others will not follow another primary before the grant has run out.

use std::time::Duration;

use super::{Leader, link::LinkState};
use crate::{
    config::Cheat,
    membership::{NodeId, Session},
    message::Message,
    replica::Replica,
};

impl Leader {
    pub(super) fn ask_for_grants(&mut self, replica: &mut Replica) {
        let now = replica.now;
        for (peer, link) in &mut self.links {
            if link.state < LinkState::Fenced {
                continue;
            }
            if link.grant_renewal(&replica.config).is_some_and(|renewal| renewal <= now)
                && let Some(session) = link.session
            {
                link.asked = Some(now);
                replica.send(*peer, Message::GrantRequest { session, asked: now }, None);
            }
        }
    }

    pub(crate) fn granted(&mut self, replica: &mut Replica, from: NodeId, session: Session, asked: Duration) {
        let Some(link) = self.links.get_mut(&from) else { return };
        if link.session == Some(session) && link.asked == Some(asked) {
            link.asked = None;
            // Counted from before it was asked for: the peer counts from later on.
            link.granted_until = Some(asked + replica.config.grant_for_primary());
        }
    }

    /// Whether no counted peer can follow somebody else now.
    pub(super) fn may_read(&self, replica: &Replica) -> bool {
        let granted = |link: &super::Link| link.granted_until.is_some_and(|until| replica.now < until);
        replica.config.cheats(Cheat::NoGrants) || self.belonging().all(|(_, link)| granted(link))
    }

    /// Nothing is read any more: who leads next need not wait.
    pub(super) fn return_grants(&mut self, replica: &mut Replica) {
        for (peer, link) in &mut self.links {
            if let Some(session) = link.session {
                link.granted_until = None;
                replica.send(*peer, Message::GrantReturn { session }, None);
            }
        }
    }
}
