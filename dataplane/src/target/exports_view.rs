//! What a queue pair sees of its subsystem: looked up once, kept until something changes.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use nvmeof::Status;

use super::{
    association::Association,
    qos::Lane,
    subsystem::{Exports, TargetNamespace},
};
use crate::rt::{self, CoreId};

/// A core's own snapshot of what its host may use.
#[derive(Debug)]
pub(super) struct ExportsView {
    core: CoreId,
    generation: u64,
    exports: Arc<Exports>,
    allowed: bool,
    /// To limited volumes, by index of their namespace; made at the first command.
    lanes: RefCell<BTreeMap<usize, Rc<Lane>>>,
}

impl ExportsView {
    pub(super) fn of(association: &Association) -> Self {
        // The number first: a change between both lines is then seen next time.
        let generation = association.subsystem.generation();
        let exports = association.subsystem.exports();
        let allowed = !exports.visible_to(&association.host.nqn).is_empty();
        Self { core: rt::core_id(), generation, exports, allowed, lanes: RefCell::default() }
    }

    /// Whose it is.
    pub(super) fn core(&self) -> CoreId {
        self.core
    }

    /// The snapshot, renewed if something changed: one comparison per command.
    pub(super) fn current(cached: &RefCell<Rc<Self>>, association: &Association) -> Rc<Self> {
        let mut cached = cached.borrow_mut();
        if cached.generation != association.subsystem.generation() {
            *cached = Rc::new(Self::of(association));
        }
        cached.clone()
    }

    /// The host is another node.
    pub(super) fn serves_replicas(&self) -> bool {
        self.exports.serves_replicas
    }

    /// What the host may use now, ascending by NSID.
    pub(super) fn namespaces(&self) -> &[TargetNamespace] {
        if self.allowed { &self.exports.namespaces } else { &[] }
    }

    /// The index of a namespace in [`namespaces`](Self::namespaces).
    pub(super) fn index_of(&self, nsid: u32) -> Result<usize, Status> {
        self.namespaces()
            .binary_search_by_key(&nsid, |namespace| namespace.nsid)
            .map_err(|_| Status::INVALID_NAMESPACE_OR_FORMAT)
    }

    /// Where commands wait for the namespace's limited volume.
    pub(super) fn lane(&self, index: usize) -> Rc<Lane> {
        let limiter = &self.namespaces()[index].limiter;
        self.lanes.borrow_mut().entry(index).or_insert_with(|| Rc::new(Lane::new(limiter))).clone()
    }
}
