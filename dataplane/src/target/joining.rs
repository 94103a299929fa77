//! Who is let in: a Connect against what is exported, the proofs that a host owes, and what there is room for.

use std::sync::Arc;

use nvmeof::{
    controller::{ConnectRefusal, ConnectRequest, ControllerKind},
    tls::PskIdentity,
};

use super::{
    Shared,
    admission::Arrival,
    association::{Association, QueueHandle},
    place::Place,
    portal::Serves,
    secure,
    subsystem::TargetSubsystem,
};
use crate::limits;

/// A queue pair's place in an association.
pub(super) struct Joined {
    pub(super) association: Arc<Association>,
    pub(super) handle: Arc<QueueHandle>,
    pub(super) place: Place,
}

impl Shared {
    /// Lets a Connect in, or says why not.
    pub(super) fn join(
        &self,
        request: &ConnectRequest,
        secured: Option<&PskIdentity>,
        arrival: Arrival,
    ) -> Result<Joined, ConnectRefusal> {
        if request.qid != 0 {
            let association = self.controllers().by_id.get(&request.cntlid).cloned();
            // Where only discovery is served there are only its controllers.
            let association = association.filter(|association| {
                arrival.serves == Serves::Everything || association.kind == ControllerKind::Discovery
            });
            let association = association.ok_or(ConnectRefusal::unknown_controller())?;
            secure::check_join(&association, request, secured)?;
            let place = self.places.take(association.cntlid, request.qid, arrival.peer.ip());
            let place = place.ok_or(ConnectRefusal::busy())?;
            let handle = association.join(request)?;
            return Ok(Joined { association, handle, place });
        }
        // A name gets its proof before its exports and loses it after them: the proof must not change while the exports
        // are looked at.
        let (keys, requirements) = (self.keys.lock(), self.requirements());
        secure::check_connect(&keys, request, secured, self.discovery.is_named(&request.subsystem_nqn))?;
        let (kind, subsystem) = self.subsystem_for(request, arrival.serves)?;
        let host = &request.host.nqn;
        let is_required = requirements.contains_key(host) || self.requirement_of_node(host).is_some();
        let authenticates = kind == ControllerKind::Io && is_required;
        drop((keys, requirements));
        let mut controllers = self.controllers();
        if controllers.stopping || controllers.by_id.len() >= limits::CONTROLLERS {
            return Err(ConnectRefusal::busy());
        }
        let cntlid = controllers.next_id().ok_or(ConnectRefusal::busy())?;
        let place = self.places.take(cntlid, 0, arrival.peer.ip()).ok_or(ConnectRefusal::busy())?;
        let identity = (cntlid, controllers.next_instance());
        let mut association = Association::new(identity, kind, request, subsystem, arrival);
        association.secured = secured.is_some();
        association.authenticates = authenticates;
        let association = Arc::new(association);
        let handle = association.join(request)?;
        controllers.by_id.insert(cntlid, association.clone());
        Ok(Joined { association, handle, place })
    }

    /// The subsystem that a host names, if it may connect.
    fn subsystem_for(
        &self,
        request: &ConnectRequest,
        serves: Serves,
    ) -> Result<(ControllerKind, Arc<TargetSubsystem>), ConnectRefusal> {
        if self.discovery.is_named(&request.subsystem_nqn) {
            return Ok((ControllerKind::Discovery, self.discovery.subsystem.clone()));
        }
        let subsystem = match serves {
            Serves::Everything => self.subsystems().get(&request.subsystem_nqn).cloned(),
            Serves::Discovery => None,
        };
        let subsystem = subsystem.ok_or(ConnectRefusal::unknown_subsystem())?;
        if !subsystem.exports().admits(&request.host.nqn) {
            return Err(ConnectRefusal::host_not_allowed());
        }
        Ok((ControllerKind::Io, subsystem))
    }
}
