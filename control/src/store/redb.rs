//! The embedded store: one redb file, one process, every transaction synced.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    Check, Entry, LeaseId, MetaStore, Op, Revision, StoreError, StoreFuture, Watch, watch::Watchers,
};
use crate::{ControlError, files, limits};

/// Key to (revision, value).
const ENTRIES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("entries");
/// One row: the last revision given out.
const REVISION: TableDefinition<'_, (), u64> = TableDefinition::new("revision");

pub(crate) struct RedbStore {
    inner: Arc<Inner>,
    /// One permit per operation under way.
    under_way: Arc<Semaphore>,
}

struct Inner {
    database: Database,
    watchers: Watchers,
    leases: Mutex<Leases>,
}

#[derive(Default)]
struct Leases {
    last_id: u64,
    live: HashMap<LeaseId, Lease>,
}

/// A lease and the entries that end with it. Those are kept in memory only: their holder is this process.
struct Lease {
    ttl: Duration,
    ends: Instant,
    entries: HashMap<String, (Revision, Vec<u8>)>,
}

impl RedbStore {
    /// Opens or creates the file. A second process is refused.
    pub(crate) fn open(path: &Path) -> Result<Self, ControlError> {
        if !path.exists() {
            // redb would create it readable by all.
            files::write_private(path, "")?;
        }
        let database = Database::builder().set_cache_size(limits::STORE_CACHE_BYTES).create(path).map_err(
            |e| match e {
                DatabaseError::DatabaseAlreadyOpen => {
                    ControlError::bad_file(path, "is in use by another running server")
                }
                e => ControlError::bad_file(path, e),
            },
        )?;
        let create_tables = || {
            let txn = database.begin_write().map_err(failed)?;
            txn.open_table(ENTRIES).map_err(failed)?;
            txn.open_table(REVISION).map_err(failed)?;
            txn.commit().map_err(failed)
        };
        create_tables().map_err(|e| ControlError::bad_file(path, e))?;
        let inner = Inner { database, watchers: Watchers::new(), leases: Mutex::default() };
        let under_way = Arc::new(Semaphore::new(limits::STORE_OPERATIONS as usize));
        Ok(Self { inner: Arc::new(inner), under_way })
    }

    /// Runs on a thread that may block: redb reads and syncs files. It ends even if nobody waits for it any more.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let (inner, under_way) = (Arc::clone(&self.inner), Arc::clone(&self.under_way));
        Box::pin(async move {
            let permit = under_way.acquire_owned().await.expect("it is never closed");
            let work = spawn_blocking(move || {
                let done = work(&inner);
                // Whoever waits until nothing is under way may open the file anew.
                drop(inner);
                drop(permit);
                done
            });
            work.await.expect("store work neither panics nor is cancelled")
        })
    }
}

/// Makes a store of its own with these entries.
pub(crate) fn copy_to(path: &Path, entries: Vec<Entry>) -> Result<(), ControlError> {
    let store = RedbStore::open(path)?;
    let ops = entries.into_iter().map(|entry| Op::Put { key: entry.key, value: entry.value });
    store.inner.txn(&[], ops.collect()).map(drop).map_err(|e| ControlError::bad_file(path, e))
}

impl MetaStore for RedbStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        let key = key.to_owned();
        self.run(move |inner| inner.get(&key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Entry>> {
        let prefix = prefix.to_owned();
        self.run(move |inner| inner.list(&prefix))
    }

    fn txn(&self, checks: Vec<Check>, ops: Vec<Op>) -> StoreFuture<'_, Revision> {
        self.run(move |inner| inner.txn(&checks, ops))
    }

    fn watch(&self, prefix: &str) -> Watch {
        self.inner.watchers.watch(prefix)
    }

    fn lease(&self, ttl: Duration) -> StoreFuture<'_, LeaseId> {
        let mut leases = self.inner.leases();
        leases.last_id += 1;
        let id = LeaseId(leases.last_id);
        leases.live.insert(id, Lease { ttl, ends: Instant::now() + ttl, entries: HashMap::new() });
        Box::pin(async move { Ok(id) })
    }

    fn keep(&self, id: LeaseId) -> StoreFuture<'_, ()> {
        let kept = match self.inner.leases().live.get_mut(&id) {
            Some(lease) => {
                lease.ends = Instant::now() + lease.ttl;
                Ok(())
            }
            None => Err(StoreError::LeaseEnded),
        };
        Box::pin(async move { kept })
    }

    fn quiet(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            let all = self.under_way.acquire_many(limits::STORE_OPERATIONS).await;
            drop(all.expect("it is never closed"));
            Ok(())
        })
    }
}

impl Inner {
    /// The leases that have not run out; those that have are dropped first, and their watchers told.
    fn leases(&self) -> std::sync::MutexGuard<'_, Leases> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for (_, ended) in leases.live.extract_if(|_, lease| lease.ends <= now) {
            self.watchers.tell(ended.entries.into_keys().collect());
        }
        leases
    }

    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        if let Some((revision, value)) = self.leases().entry(key) {
            return Ok(Some(Entry { key: key.to_owned(), value, revision }));
        }
        let txn = self.database.begin_read().map_err(failed)?;
        let found = txn.open_table(ENTRIES).map_err(failed)?.get(key).map_err(failed)?;
        Ok(found.map(|row| entry(key, row.value())))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let mut found = Vec::new();
        let txn = self.database.begin_read().map_err(failed)?;
        for row in txn.open_table(ENTRIES).map_err(failed)?.range(prefix..).map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push(entry(key.value(), value.value()));
        }
        for lease in self.leases().live.values() {
            let ours = lease.entries.iter().filter(|(key, _)| key.starts_with(prefix));
            found.extend(ours.map(|(key, (revision, value))| Entry {
                key: key.clone(),
                value: value.clone(),
                revision: *revision,
            }));
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn txn(&self, checks: &[Check], ops: Vec<Op>) -> Result<Revision, StoreError> {
        // redb lets one writer in at a time, which also serialises what happens to the leases.
        let txn = self.database.begin_write().map_err(failed)?;
        let mut leases = self.leases();
        self.check(&txn, &leases, checks)?;
        if let Some(gone) = ops.iter().find_map(|op| match op {
            Op::PutLeased { lease, .. } if !leases.live.contains_key(lease) => Some(StoreError::LeaseEnded),
            _ => None,
        }) {
            return Err(gone);
        }
        let revision = next_revision(&txn)?;
        let keys = write(&txn, &ops, revision)?;
        txn.commit().map_err(failed)?;
        for op in ops {
            leases.apply(op, revision);
        }
        self.watchers.tell(keys);
        Ok(revision)
    }

    fn check(&self, txn: &WriteTransaction, leases: &Leases, checks: &[Check]) -> Result<(), StoreError> {
        let entries = txn.open_table(ENTRIES).map_err(failed)?;
        for check in checks {
            let (Check::Absent(key) | Check::At(key, _)) = check;
            let stored = entries.get(key.as_str()).map_err(failed)?.map(|row| Revision(row.value().0));
            let found = leases.entry(key).map(|(revision, _)| revision).or(stored);
            let holds = match check {
                Check::Absent(_) => found.is_none(),
                Check::At(_, revision) => found == Some(*revision),
            };
            if !holds {
                return Err(StoreError::Conflict { key: key.clone() });
            }
        }
        Ok(())
    }
}

impl Leases {
    fn entry(&self, key: &str) -> Option<(Revision, Vec<u8>)> {
        self.live.values().find_map(|lease| lease.entries.get(key)).cloned()
    }

    fn apply(&mut self, op: Op, revision: Revision) {
        let (Op::Put { key, .. } | Op::PutLeased { key, .. } | Op::Delete { key }) = &op;
        for lease in self.live.values_mut() {
            lease.entries.remove(key);
        }
        if let Op::PutLeased { key, value, lease } = op
            && let Some(lease) = self.live.get_mut(&lease)
        {
            lease.entries.insert(key, (revision, value));
        }
    }
}

fn next_revision(txn: &WriteTransaction) -> Result<Revision, StoreError> {
    let mut table = txn.open_table(REVISION).map_err(failed)?;
    let next = table.get(()).map_err(failed)?.map_or(0, |row| row.value()) + 1;
    table.insert((), next).map_err(failed)?;
    Ok(Revision(next))
}

/// Writes what is to be durable; returns every key that the ops touch.
fn write(txn: &WriteTransaction, ops: &[Op], revision: Revision) -> Result<Vec<String>, StoreError> {
    let mut entries = txn.open_table(ENTRIES).map_err(failed)?;
    let mut keys = Vec::with_capacity(ops.len());
    for op in ops {
        let key = match op {
            Op::Put { key, value } => {
                entries.insert(key.as_str(), (revision.0, value.as_slice())).map_err(failed)?;
                key
            }
            Op::PutLeased { key, .. } | Op::Delete { key } => {
                entries.remove(key.as_str()).map_err(failed)?;
                key
            }
        };
        keys.push(key.clone());
    }
    Ok(keys)
}

fn entry(key: &str, (revision, value): (u64, &[u8])) -> Entry {
    Entry { key: key.to_owned(), value: value.to_vec(), revision: Revision(revision) }
}

fn failed(e: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(e.to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::watch::Changed, *};

    fn open(dir: &Path) -> RedbStore {
        RedbStore::open(&dir.join("store.redb")).unwrap()
    }

    fn put(key: &str, value: &str) -> Op {
        Op::Put { key: key.to_owned(), value: value.into() }
    }

    async fn keys(store: &RedbStore, prefix: &str) -> Vec<String> {
        store.list(prefix).await.unwrap().into_iter().map(|e| e.key).collect()
    }

    #[tokio::test]
    async fn transactions_are_all_or_nothing_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let first =
            store.txn(vec![Check::Absent("a/1".into())], vec![put("a/1", "x"), put("b/1", "y")]).await;
        let first = first.unwrap();
        let lost = store.txn(vec![Check::Absent("a/1".into())], vec![put("b/1", "never")]).await;
        assert!(matches!(lost, Err(StoreError::Conflict { key }) if key == "a/1"));
        let at = vec![Check::At("a/1".into(), first)];
        let second = store.txn(at.clone(), vec![put("a/1", "z")]).await.unwrap();
        assert!(second > first);
        assert!(matches!(store.txn(at, vec![]).await, Err(StoreError::Conflict { .. })));
        drop(store);

        let store = open(dir.path());
        let entry = store.get("a/1").await.unwrap().unwrap();
        assert_eq!((entry.value.as_slice(), entry.revision), (b"z".as_slice(), second));
        assert_eq!(store.get("b/1").await.unwrap().unwrap().value, b"y");
        let third = store.txn(vec![], vec![Op::Delete { key: "a/1".into() }]).await.unwrap();
        assert!(third > second);
        assert_eq!(store.get("a/1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn list_takes_exactly_the_prefix_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let ops = ["b/2", "b/1", "a/9", "b0", "c"].map(|k| put(k, "")).to_vec();
        store.txn(vec![], ops).await.unwrap();
        assert_eq!(keys(&store, "b/").await, ["b/1", "b/2"]);
        assert_eq!(keys(&store, "").await.len(), 5);
    }

    #[tokio::test]
    async fn a_second_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _first = open(dir.path());
        let second = RedbStore::open(&dir.path().join("store.redb")).err().unwrap();
        assert!(second.to_string().contains("another running server"), "{second}");
    }

    #[tokio::test]
    async fn of_many_creators_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(open(dir.path()));
        let tasks: Vec<_> = (0..16)
            .map(|i| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    store.txn(vec![Check::Absent("k".into())], vec![put("k", &i.to_string())]).await
                })
            })
            .collect();
        let mut wins = 0;
        for task in tasks {
            wins += usize::from(task.await.unwrap().is_ok());
        }
        assert_eq!(wins, 1);
    }

    #[tokio::test]
    async fn watchers_hear_of_their_prefix_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut watch = store.watch("a/");
        store.txn(vec![], vec![put("b/1", ""), put("a/1", ""), put("a/2", "")]).await.unwrap();
        assert_eq!(watch.next().await, Some(Changed::Key("a/1".into())));
        assert_eq!(watch.next().await, Some(Changed::Key("a/2".into())));
        drop(store);
        assert_eq!(watch.next().await, None);
    }

    #[tokio::test]
    async fn leased_keys_end_with_their_lease() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let leased = |lease| vec![Op::PutLeased { key: "live/n".into(), value: b"1".to_vec(), lease }];
        let long = store.lease(Duration::from_secs(600)).await.unwrap();
        store.txn(vec![], leased(long)).await.unwrap();
        store.keep(long).await.unwrap();
        assert_eq!(keys(&store, "live/").await, ["live/n"]);
        assert!(matches!(
            store.txn(vec![Check::Absent("live/n".into())], vec![]).await,
            Err(StoreError::Conflict { .. })
        ));

        let ended = store.lease(Duration::ZERO).await.unwrap();
        assert!(matches!(store.keep(ended).await, Err(StoreError::LeaseEnded)));
        assert!(matches!(store.txn(vec![], leased(ended)).await, Err(StoreError::LeaseEnded)));
        drop(store);
        assert!(keys(&open(dir.path()), "live/").await.is_empty());
    }
}
