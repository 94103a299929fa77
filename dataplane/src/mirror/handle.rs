//! From any core to a replica's home.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use nvmeof::{Nqn, auth::Requirement, wire::replica::Zeroing};
use replication::NodeId;
use uuid::Uuid;

use super::{Cluster, Peer, ReplicaIdentity, Timing, replica::Mirror, set_change::SetChanges};
use crate::{
    engine::EngineError,
    rt::{self, Buf, CoreId},
};

/// The replicas of a node.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    handles: Mutex<BTreeMap<Uuid, MirrorHandle>>,
    /// The same by their numbers, for other nodes' commands.
    numbers: ArcSwap<BTreeMap<u32, MirrorHandle>>,
    pub(super) cluster: ArcSwapOption<Cluster>,
    pub(crate) set_changes: SetChanges,
    nqn_prefix: String,
}

impl Mirrors {
    pub(crate) fn new(nqn_prefix: &str) -> Self {
        Self { nqn_prefix: nqn_prefix.to_owned(), ..Self::default() }
    }

    /// From now on this node is that one of these.
    pub(crate) fn set_cluster(&self, cluster: Cluster) {
        self.cluster.store(Some(Arc::new(cluster)));
    }

    pub(super) fn timing(&self) -> Timing {
        self.cluster.load().as_ref().map(|cluster| cluster.timing).unwrap_or_default()
    }

    pub(super) fn peer(&self, node: NodeId) -> Option<Peer> {
        self.cluster.load().as_ref()?.peers.iter().find(|peer| peer.node == node).cloned()
    }

    /// The internal subsystem of a node: only other nodes may connect to it.
    pub(crate) fn subsystem_nqn(&self, node: NodeId) -> Nqn {
        self.nqn("replicas", node)
    }

    /// As whom a node connects to others.
    pub(crate) fn host_nqn(&self, node: NodeId) -> Nqn {
        self.nqn("node", node)
    }

    fn nqn(&self, kind: &str, node: NodeId) -> Nqn {
        let text = format!("{}{kind}:{}", self.nqn_prefix, node.0);
        Nqn::new(text).expect("the prefix was checked at the start, and leaves room")
    }

    /// What the node that connects under that name has to prove.
    pub(crate) fn requirement_of(&self, host: &Nqn) -> Option<Arc<Requirement>> {
        self.peer(self.node_of(host)?)?.requirement
    }

    /// The node that connects under that name.
    pub(crate) fn node_of(&self, host: &Nqn) -> Option<NodeId> {
        let cluster = self.cluster.load();
        let peers = &cluster.as_ref()?.peers;
        peers.iter().map(|peer| peer.node).find(|&node| self.host_nqn(node) == *host)
    }

    pub(crate) fn get(&self, volume: Uuid) -> Option<MirrorHandle> {
        self.handles().get(&volume).cloned()
    }

    pub(crate) fn all(&self) -> Vec<MirrorHandle> {
        self.handles().values().cloned().collect()
    }

    pub(super) fn by_number(&self, number: u32) -> Option<MirrorHandle> {
        self.numbers.load().get(&number).cloned()
    }

    pub(super) fn insert(&self, handle: MirrorHandle) {
        let mut handles = self.handles();
        handles.insert(handle.volume(), handle);
        self.renumber(&handles);
    }

    /// The replica serves nobody any more.
    pub(super) fn remove(&self, volume: Uuid) -> Option<MirrorHandle> {
        let mut handles = self.handles();
        let removed = handles.remove(&volume);
        self.renumber(&handles);
        drop(handles);
        self.set_changes.forget(volume);
        removed
    }

    fn renumber(&self, handles: &BTreeMap<Uuid, MirrorHandle>) {
        let numbers = handles.values().map(|handle| (handle.identity().number, handle.clone())).collect();
        self.numbers.store(Arc::new(numbers));
    }

    fn handles(&self) -> MutexGuard<'_, BTreeMap<Uuid, MirrorHandle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A replica of this node. Usable on any core; its operations must be polled to their end.
#[derive(Debug, Clone)]
pub(crate) struct MirrorHandle(Arc<Address>);

#[derive(Debug)]
struct Address {
    volume: Uuid,
    identity: ReplicaIdentity,
    home: CoreId,
    key: u64,
    /// What hosts see: all replicas that may lead have at least as much (H3).
    usable_bytes: AtomicU64,
}

thread_local! {
    /// The replicas that live on this core, by their keys.
    static HERE: RefCell<BTreeMap<u64, Rc<Mirror>>> = RefCell::default();
}

/// Keys are given once, so that an old handle finds nothing rather than another replica.
static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

impl MirrorHandle {
    pub(super) fn new(volume: Uuid, identity: ReplicaIdentity, home: CoreId) -> Self {
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Address { volume, identity, home, key, usable_bytes: AtomicU64::new(0) }))
    }

    pub(crate) fn volume(&self) -> Uuid {
        self.0.volume
    }

    pub(crate) fn usable_bytes(&self) -> u64 {
        self.0.usable_bytes.load(Ordering::SeqCst)
    }

    /// Never less than before.
    pub(crate) fn set_usable_bytes(&self, bytes: u64) {
        self.0.usable_bytes.fetch_max(bytes, Ordering::SeqCst);
    }

    pub(crate) fn identity(&self) -> ReplicaIdentity {
        self.0.identity
    }

    /// Lets the handle find its replica. On its home core.
    pub(super) fn settle(&self, mirror: Rc<Mirror>) {
        debug_assert_eq!(rt::core_id(), self.0.home, "a replica lives on its home core");
        HERE.with_borrow_mut(|here| here.insert(self.0.key, mirror));
    }

    /// The handle finds nothing any more. On its home core.
    pub(super) fn unsettle(&self) {
        let removed = HERE.with_borrow_mut(|here| here.remove(&self.0.key));
        drop(removed);
    }

    /// The replica, if this is its home.
    pub(super) fn here(&self) -> Option<Rc<Mirror>> {
        if rt::core_id() != self.0.home {
            return None;
        }
        HERE.with_borrow(|here| here.get(&self.0.key).cloned())
    }

    pub(super) fn is_home(&self) -> bool {
        rt::core_id() == self.0.home
    }

    /// Does something where the replica lives; `None` if it is no more.
    pub(crate) async fn at_home<T, F>(&self, act: impl FnOnce(Rc<Mirror>) -> F + Send + 'static) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let there = self.clone();
        rt::call_on(self.home(), move || async move { there.with(act).await }).await
    }

    /// The same on this core, which is its home.
    pub(crate) async fn with<T, F: Future<Output = T>>(
        &self,
        act: impl FnOnce(Rc<Mirror>) -> F,
    ) -> Option<T> {
        match self.here() {
            Some(mirror) => Some(act(mirror).await),
            None => None,
        }
    }

    pub(crate) fn home(&self) -> CoreId {
        self.0.home
    }

    /// A host's read, at an offset as hosts count. The buffer that comes back may be another one.
    pub(crate) async fn read(&self, offset_bytes: u64, mut buf: Buf) -> (Buf, Result<(), EngineError>) {
        let len_bytes = buf.len();
        if self.is_home() {
            let Some(mirror) = self.here() else { return (buf, Err(EngineError::Elsewhere)) };
            return match mirror.read(offset_bytes, len_bytes as u64).await {
                Ok(blocks) => (blocks, Ok(())),
                Err(error) => (buf, Err(error)),
            };
        }
        let read = self.at_home(move |mirror| async move {
            mirror.read(offset_bytes, len_bytes as u64).await.map(|blocks| blocks.to_vec())
        });
        match read.await.unwrap_or(Err(EngineError::Elsewhere)) {
            Ok(bytes) => {
                buf.copy_from_slice(&bytes);
                (buf, Ok(()))
            }
            Err(error) => (buf, Err(error)),
        }
    }

    /// A host's write.
    pub(crate) async fn write(
        &self,
        offset_bytes: u64,
        mut buf: Buf,
        fua: bool,
    ) -> (Buf, Result<(), EngineError>) {
        if self.is_home() {
            let result = match self.here() {
                Some(mirror) => mirror.write(offset_bytes, buf.share(), fua).await,
                None => Err(EngineError::Elsewhere),
            };
            return (buf, result);
        }
        let bytes = buf.to_vec();
        let write = self.at_home(move |mirror| async move {
            let buf = Buf::copy_of(&bytes).await;
            mirror.write(offset_bytes, buf, fua).await
        });
        (buf, write.await.unwrap_or(Err(EngineError::Elsewhere)))
    }

    /// A host's Write Zeroes or Deallocate.
    pub(crate) async fn zero(
        &self,
        offset_bytes: u64,
        len_bytes: u64,
        zeroing: Zeroing,
        fua: bool,
    ) -> Result<(), EngineError> {
        let zero = self
            .at_home(move |mirror| async move { mirror.zero(offset_bytes, len_bytes, zeroing, fua).await });
        zero.await.unwrap_or(Err(EngineError::Elsewhere))
    }

    /// A host's flush.
    pub(crate) async fn flush(&self) -> Result<(), EngineError> {
        let flush = self.at_home(|mirror| async move { mirror.flush().await });
        flush.await.unwrap_or(Err(EngineError::Elsewhere))
    }
}
