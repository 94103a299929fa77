//! A node's replicas of volumes that other nodes hold, too (REPLICATION.md). Who holds which is the control plane's to say.

use std::rc::Rc;

use uuid::Uuid;

use super::{Node, NodeError, NodeObject, VolumeInfo, VolumeSpec, volumes::Creating};
use crate::{
    engine::EngineError,
    mirror::{
        self, Cluster, META_BYTES, Membership, Mirror, MirrorHandle, NewReplica, NodeId, ReplicaIdentity,
        ReplicaInfo, SetChange, Stored,
    },
    rt::CoreId,
};

/// What is copied to a replica in one piece is 64 KiB: no replicated volume ends within that.
pub(super) fn check_grain(size_bytes: u64) -> Result<(), NodeError> {
    if size_bytes.is_multiple_of(64 << 10) {
        return Ok(());
    }
    Err(NodeError::Invalid(format!(
        "size: {size_bytes} is not a multiple of 64 KiB, as a replica's has to be"
    )))
}

impl Node {
    /// From now on this node is that one of these. The others are let in, and replicas connect to them.
    pub async fn set_cluster(&self, cluster: Cluster) {
        self.inner.target.set_cluster(cluster);
    }

    /// Makes a volume that is a replica; it takes part from [`start_replica`](Self::start_replica) on. What is reserved
    /// and shown is what hosts see; its own fields take 16 MiB more.
    pub async fn create_replica(&self, spec: VolumeSpec, new: NewReplica) -> Result<VolumeInfo, NodeError> {
        check_grain(spec.size_bytes)?;
        let uuid = spec.uuid;
        let spec = VolumeSpec {
            size_bytes: spec.size_bytes + META_BYTES,
            reserved_bytes: spec.reserved_bytes + META_BYTES,
            ..spec
        };
        self.create_volume(spec).await?;
        let volume = self.find(uuid)?;
        let format = move || async move { mirror::format(&volume, new).await };
        let formatted = self.inner.handle.call_on(CoreId(0), format).await;
        match formatted.unwrap_or(Err(EngineError::Offline)) {
            Ok(()) => self.volume(uuid).await,
            Err(error) => {
                self.delete_volume(uuid).await?;
                Err(error.into())
            }
        }
    }

    /// Lets a replica take part; these nodes hold the others, or will. Hosts see `usable_bytes` of it: no more than each
    /// of them has (H3). One that takes part already is told both.
    pub async fn start_replica(
        &self,
        volume: Uuid,
        peers: Vec<NodeId>,
        usable_bytes: u64,
    ) -> Result<(), NodeError> {
        if let Some(handle) = self.inner.target.mirrors().get(volume) {
            handle.set_usable_bytes(usable_bytes);
            self.inner.target.volume_changed(volume);
            let told = self.at_home(&handle, move |mirror| async move { mirror.set_peers(peers) }).await;
            return told.ok_or(NodeError::ShuttingDown);
        }
        let _alone = Creating::begin(self, volume)?;
        let found = self.find(volume)?;
        let identity = ReplicaIdentity::of(&found);
        let identity = identity.ok_or_else(|| NodeError::Invalid("volume: it is no replica".into()))?;
        let home = mirror::home_of(identity, self.core_count());
        let target = self.inner.target.clone();
        let open = move || async move {
            target.set_leading(volume, false).await;
            mirror::open(target, found, identity, peers, usable_bytes).await
        };
        let opened = self.inner.handle.call_on(home, open).await.ok_or(NodeError::ShuttingDown)?;
        opened?;
        Ok(())
    }

    /// A volume has grown: its replica, if it is one, has more to take care of. Hosts see it later, when all replicas have.
    pub(super) async fn replica_expanded(&self, volume: Uuid) {
        if let Some(handle) = self.inner.target.mirrors().get(volume) {
            self.at_home(&handle, |mirror| async move { mirror.expanded() }).await;
        }
    }

    /// Ends a replica's part, as the death of its process would. What it holds stays.
    pub async fn stop_replica(&self, volume: Uuid) {
        if let Some(handle) = self.inner.target.mirrors().get(volume) {
            self.at_home(&handle, |mirror| async move { mirror.end() }).await;
        }
    }

    /// The replicas that take part.
    pub async fn replicas(&self) -> Vec<ReplicaInfo> {
        let mut infos = Vec::new();
        for handle in self.inner.target.mirrors().all() {
            infos.extend(self.at_home(&handle, |mirror| async move { mirror.info() }).await);
        }
        infos
    }

    /// The store has this membership of the volume.
    pub async fn learn_membership(&self, volume: Uuid, membership: Membership) -> Result<(), NodeError> {
        self.tell(volume, move |mirror| mirror.learned(membership)).await
    }

    /// Lets another replica lead, once it may, without an error at any host.
    pub async fn hand_over(&self, volume: Uuid, to: NodeId) -> Result<(), NodeError> {
        self.tell(volume, move |mirror| mirror.hand_over(to)).await
    }

    /// Waits until replicas ask the store for something after question `seen`: all that they ask for then, and the
    /// number of the last question. What is asked stands until it was [answered](Self::set_changed).
    pub async fn set_changes(&self, seen: u64) -> (u64, Vec<SetChange>) {
        self.inner.target.mirrors().set_changes.after(seen).await
    }

    /// The store's answer to a question.
    pub async fn set_changed(
        &self,
        volume: Uuid,
        target: Membership,
        stored: Stored,
    ) -> Result<(), NodeError> {
        self.tell(volume, move |mirror| mirror.stored(target, stored)).await
    }

    /// Does something where a replica lives; `None` if it takes no part any more.
    async fn at_home<T, F>(
        &self,
        handle: &MirrorHandle,
        act: impl FnOnce(Rc<Mirror>) -> F + Send + 'static,
    ) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let there = handle.clone();
        let at = move || async move { there.with(act).await };
        self.inner.handle.call_on(handle.home(), at).await.flatten()
    }

    /// Tells a replica something.
    async fn tell(
        &self,
        volume: Uuid,
        say: impl FnOnce(Rc<Mirror>) + Send + 'static,
    ) -> Result<(), NodeError> {
        let none = NodeError::NotFound(NodeObject::Volume);
        let Some(handle) = self.inner.target.mirrors().get(volume) else { return Err(none) };
        self.at_home(&handle, |mirror| async move { say(mirror) }).await.ok_or(none)
    }
}
