//! Is the node there? It holds a lease in the store as long as it answers (D65).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    app::now_ms,
    store::{LeaseId, MetaStore, Op, StoreError},
};

/// A node that has not answered for this long is Unavailable.
pub(super) const LEASE: Duration = Duration::from_secs(5);
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// Knows when the node last answered.
#[derive(Clone)]
pub(crate) struct Liveness(Arc<Inner>);

struct Inner {
    store: Arc<dyn MetaStore>,
    key: String,
    alive: AtomicBool,
    last_answer_ms: AtomicU64,
}

impl fmt::Debug for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Liveness").field(&self.is_alive()).finish()
    }
}

impl Liveness {
    /// How often the node is asked, as the API reports it.
    pub(crate) const INTERVAL_SECONDS: u64 = LEASE.as_secs();

    pub(crate) fn new(store: Arc<dyn MetaStore>, node_id: &str) -> Self {
        let key = format!("live/{node_id}");
        Self(Arc::new(Inner { store, key, alive: AtomicBool::new(false), last_answer_ms: AtomicU64::new(0) }))
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.0.alive.load(Ordering::Relaxed)
    }

    /// Milliseconds since the epoch; 0 before the first answer.
    pub(crate) fn last_answer_ms(&self) -> u64 {
        self.0.last_answer_ms.load(Ordering::Relaxed)
    }

    /// Notes whether the node has answered now; returns the lease that holds.
    pub(super) async fn note(&self, answered: bool, lease: Option<LeaseId>) -> Option<LeaseId> {
        if answered {
            self.0.last_answer_ms.store(now_ms(), Ordering::Relaxed);
            match self.hold(lease).await {
                Ok(lease) => {
                    self.0.alive.store(true, Ordering::Relaxed);
                    return Some(lease);
                }
                Err(error) => tracing::warn!(%error, "the node's lease cannot be renewed"),
            }
        }
        let there = self.0.store.get(&self.0.key).await.is_ok_and(|entry| entry.is_some());
        self.0.alive.store(there, Ordering::Relaxed);
        lease.filter(|_| there)
    }

    async fn hold(&self, lease: Option<LeaseId>) -> Result<LeaseId, StoreError> {
        if let Some(lease) = lease
            && self.0.store.keep(lease).await.is_ok()
        {
            return Ok(lease);
        }
        let lease = self.0.store.lease(LEASE).await?;
        let op = Op::PutLeased { key: self.0.key.clone(), value: Vec::new(), lease };
        self.0.store.txn(Vec::new(), vec![op]).await?;
        Ok(lease)
    }
}
