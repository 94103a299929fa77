//! What a controller's host was told of its namespaces: under which NSIDs it may believe to have one.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nvmeof::{
    command::{AdminCommand, Identify},
    controller::Namespaces,
    wire::opcode::Cns,
};

/// Of one controller. Grows and shrinks by what Identify answers, so that an NSID that went is forgotten only when the
/// host has looked (H2): Linux drops a namespace when the list that it reads no longer has it, and until then refuses
/// another one under its NSID.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<ShownNsids>);

#[derive(Debug, Default)]
pub(super) struct ShownNsids(BTreeSet<u32>);

impl Shown {
    /// To be held from before the exports are looked at until the answer is noted: who changed them and then asks here
    /// hears of every answer that was made from those before.
    pub(super) fn lock(&self) -> MutexGuard<'_, ShownNsids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn nsids(&self) -> BTreeSet<u32> {
        self.lock().0.clone()
    }
}

impl ShownNsids {
    /// The command was answered with success from these namespaces.
    pub(super) fn answered(&mut self, command: &AdminCommand, namespaces: &dyn Namespaces) {
        let AdminCommand::Identify(Identify { cns, nsid, .. }) = *command else { return };
        match cns {
            // A list has room for all NSIDs that there can be.
            Cns::ACTIVE_NAMESPACES | Cns::COMMAND_SET_ACTIVE_NAMESPACES => {
                self.0.retain(|&shown| shown <= nsid);
                self.0.extend(namespaces.nsids().into_iter().filter(|&listed| listed > nsid));
            }
            Cns::NAMESPACE | Cns::INDEPENDENT_NAMESPACE | Cns::NAMESPACE_DESCRIPTORS => {
                if namespaces.get(nsid).is_some() {
                    self.0.insert(nsid);
                } else {
                    self.0.remove(&nsid);
                }
            }
            _ => {}
        }
    }
}
