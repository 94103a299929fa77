//! Where desired state lives: a small ordered key-value store with compare-and-set transactions, watches and
//! leases. The embedded one is `RedbStore`; the trait asks nothing that etcd does not offer too.

mod redb;
mod watch;

use std::{future::Future, pin::Pin, time::Duration};

pub(crate) use redb::{RedbStore, copy_to};
pub(crate) use watch::Watch;

/// Grows with every transaction; a key's revision is that of the transaction that last wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Revision(pub(crate) u64);

/// Names a lease of this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LeaseId(pub(crate) u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) revision: Revision,
}

/// What a transaction demands of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    Absent(String),
    At(String, Revision),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Put {
        key: String,
        value: Vec<u8>,
    },
    /// The key vanishes when the lease ends; its own revision is not kept over a restart.
    PutLeased {
        key: String,
        value: Vec<u8>,
        lease: LeaseId,
    },
    Delete {
        key: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A check did not hold: somebody else was faster. Nothing was changed.
    #[error("{key} was changed meanwhile")]
    Conflict { key: String },
    #[error("the lease has ended")]
    LeaseEnded,
    /// The store's file cannot be read or written.
    #[error("the metadata store failed: {0}")]
    Failed(String),
}

pub(crate) type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Durable before its future is ready; transactions are serialised.
pub(crate) trait MetaStore: Send + Sync {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>>;
    /// Every entry whose key begins with `prefix`, in key order.
    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Entry>>;
    /// Applies every op if every check holds, else nothing (`Conflict`).
    fn txn(&self, checks: Vec<Check>, ops: Vec<Op>) -> StoreFuture<'_, Revision>;
    /// Hears of each change under `prefix` from now on.
    fn watch(&self, prefix: &str) -> Watch;
    /// A lease that ends `ttl` after its last `keep`; it never survives the process that holds an embedded store.
    fn lease(&self, ttl: Duration) -> StoreFuture<'_, LeaseId>;
    /// `LeaseEnded` once it has run out: its keys are gone, ask for a new one.
    fn keep(&self, lease: LeaseId) -> StoreFuture<'_, ()>;
    /// Ready when nothing is under way any more, not even what nobody waits for.
    fn quiet(&self) -> StoreFuture<'_, ()>;
}
