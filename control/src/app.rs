//! What every handler shares.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use dataplane::node::{ControllerInfo, DriveInfo, SnapshotInfo, VolumeInfo};
use rustls::ClientConfig;
use tokio::{
    sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit},
    task::JoinSet,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{
    ControlConfig,
    admin::{Admin, Release, settings::Addresses, storage::BackupStore},
    auth::Authenticator,
    envelope::{ApiError, Code, Failure},
    events::Events,
    jwt_key::Key,
    limits,
    nodes::{Attending, Nodes, Observation, authority::Authority},
    outbound::Names,
    sealed::Seal,
    state::State,
    store::StoreError,
    syslog::Syslog,
    tls::ServerTls,
};

pub(crate) struct App {
    pub(crate) config: ControlConfig,
    pub(crate) nodes: Nodes,
    /// Tasks that watch the nodes in other processes.
    pub(crate) attending: Attending,
    /// Certificates of nodes.
    pub(crate) authority: Authority,
    /// How nodes are spoken to.
    pub(crate) to_nodes: Arc<ClientConfig>,
    /// PEM: of the API's certificate, and the clients'.
    pub(crate) ca: String,
    /// How often this provisioner was started.
    pub(crate) epoch: u32,
    /// Of this installation: the persistentID of its node, if it has one.
    pub(crate) node_id: String,
    /// persistentID of the node in this process, if there is one.
    pub(crate) own_node: Option<String>,
    pub(crate) state: State,
    /// Of what the store keeps of hosts' secrets.
    pub(crate) seal: Seal,
    pub(crate) events: Events,
    pub(crate) syslog: Syslog,
    /// Whose signature on a license counts.
    pub(crate) license_key: Option<Key>,
    pub(crate) auth: Authenticator,
    pub(crate) admin: Admin,
    pub(crate) backup_store: BackupStore,
    /// How others' names become addresses; the settings may change it.
    pub(crate) names: Names,
    pub(crate) tls: ServerTls,
    /// The directory of the credentials.
    pub(crate) credentials: PathBuf,
    /// What people call this node; the settings may change it.
    pub(crate) node_name: RwLock<String>,
    /// The settings' addresses when this server started.
    pub(crate) addresses_at_start: Addresses,
    /// Addresses that the API listens on, ports resolved.
    pub(crate) listeners: Vec<SocketAddr>,
    /// Where hosts connect to the node in this process.
    pub(crate) portals: Vec<SocketAddr>,
    pub(crate) started: Instant,
    /// Held while subsystems are compared and set, so that an older comparison never overwrites a newer one.
    pub(crate) subsystems: Mutex<()>,
    /// By UUID. Taken before a snapshot's, that before a host's.
    pub(crate) volume_locks: Locks,
    /// By UUID.
    pub(crate) snapshot_locks: Locks,
    /// By host id.
    pub(crate) host_locks: Locks,
    /// By tenant id. Taken last of all.
    pub(crate) tenant_locks: Locks,
    /// One permit per change in progress.
    pub(crate) changes: Arc<Semaphore>,
}

pub(crate) type SharedApp = Arc<App>;

/// Serialises what is done to one object within this process, so that its requests wait for each other instead
/// of failing; the store's revisions keep processes apart.
pub(crate) struct Locks([Mutex<()>; 64]);

impl Locks {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Objects share locks, so whoever needs two of one set takes them with one `lock_all`.
    pub(crate) async fn lock(&self, object: impl Hash) -> MutexGuard<'_, ()> {
        self.0[self.index(object)].lock().await
    }

    /// In one order for everybody, so that nobody waits in a circle.
    pub(crate) async fn lock_all(
        &self,
        objects: impl IntoIterator<Item = impl Hash>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let indexes: BTreeSet<usize> = objects.into_iter().map(|object| self.index(object)).collect();
        let mut guards = Vec::with_capacity(indexes.len());
        for index in indexes {
            guards.push(self.0[index].lock().await);
        }
        guards
    }

    fn index(&self, object: impl Hash) -> usize {
        let mut hasher = DefaultHasher::new();
        object.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.0.len() as u64).expect("less than the length")
    }
}

/// What the nodes say they have, now; nothing of those that do not answer.
#[derive(Default)]
pub(crate) struct Observed {
    /// By persistentID, those that do not answer included.
    pub(crate) nodes: BTreeMap<String, ObservedNode>,
    pub(crate) volumes: HashMap<Uuid, VolumeInfo>,
    pub(crate) snapshots: HashMap<Uuid, SnapshotInfo>,
}

#[derive(Default)]
pub(crate) struct ObservedNode {
    /// It answered in time.
    pub(crate) available: bool,
    pub(crate) portals: Vec<SocketAddr>,
    pub(crate) drives: Vec<DriveInfo>,
}

impl Observed {
    pub(crate) fn is_available(&self, backend: &str) -> bool {
        self.nodes.get(backend).is_some_and(|node| node.available)
    }

    /// Of one node.
    pub(crate) fn drives_of(&self, backend: &str) -> &[DriveInfo] {
        self.nodes.get(backend).map_or(&[], |node| &node.drives)
    }

    /// Of all nodes.
    pub(crate) fn drives(&self) -> impl Iterator<Item = &DriveInfo> {
        self.nodes.values().flat_map(|node| &node.drives)
    }
}

impl App {
    /// The node in this process answers; without one, any does.
    pub(crate) fn is_node_alive(&self) -> bool {
        match &self.own_node {
            Some(own) => self.nodes.find(own).is_some_and(|member| member.liveness.is_alive()),
            None => self.nodes.is_any_alive(),
        }
    }

    /// What people call this node.
    pub(crate) fn node_name(&self) -> String {
        self.node_name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_node_name(&self, name: &str) {
        name.clone_into(&mut self.node_name.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Carries a change through even if its client goes away: a handler that stopped in the middle would leave
    /// store and node apart.
    pub(crate) async fn complete<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Ok(permit) = Arc::clone(&self.changes).acquire_owned().await else {
            return Err(Failure::new(Code::NotAvailable, "the server is shutting down").into());
        };
        let change = tokio::spawn(async move {
            let done = change.await;
            drop(permit);
            done
        });
        change.await.unwrap_or_else(|_| Err(ApiError::internal("the server failed in this request")))
    }

    /// Waits for the changes in progress; others wait until the permit is dropped. `None`: the server is shutting down.
    pub(crate) async fn pause_changes(&self) -> Option<SemaphorePermit<'_>> {
        let all = u32::try_from(limits::CHANGES).expect("a small number");
        self.changes.acquire_many(all).await.ok()
    }

    /// What is installed here, whether it runs already or not.
    pub(crate) fn release(&self) -> Release {
        self.admin.releases.newest(Release::compiled(&self.config))
    }

    /// The directory of the metadata's backups.
    pub(crate) fn backups(&self) -> PathBuf {
        self.backup_store.dir.clone()
    }

    /// Waits for the changes in progress and lets no more in.
    pub(crate) async fn finish_changes(&self) {
        if let Some(permits) = self.pause_changes().await {
            self.changes.close();
            drop(permits);
        }
    }

    /// Asks all nodes at once. Nobody waits for one whose lease has ended.
    pub(crate) async fn observe(&self) -> Observed {
        let mut answers = JoinSet::new();
        for member in self.nodes.all() {
            answers.spawn(async move {
                let answer = match member.liveness.is_alive() {
                    true => timeout(limits::NODE_ANSWER, member.handle.observe()).await.ok(),
                    false => None,
                };
                (member, answer)
            });
        }
        let mut observed = Observed::default();
        for (member, answer) in answers.join_all().await {
            let node = match answer {
                Some(Ok(Observation { portals, drives, volumes, snapshots })) => {
                    observed.volumes.extend(volumes.into_iter().map(|v| (v.uuid, v)));
                    observed.snapshots.extend(snapshots.into_iter().map(|s| (s.uuid, s)));
                    member.saw(drives.clone());
                    ObservedNode { available: member.liveness.is_alive(), portals, drives }
                }
                Some(Err(_)) | None => ObservedNode::default(),
            };
            observed.nodes.insert(member.persistent_id.clone(), node);
        }
        observed
    }

    /// The controllers of hosts at all nodes that answer.
    pub(crate) async fn controllers(&self) -> Vec<ControllerInfo> {
        let mut answers = JoinSet::new();
        for member in self.nodes.all() {
            answers.spawn(async move { timeout(limits::NODE_ANSWER, member.handle.controllers()).await });
        }
        answers.join_all().await.into_iter().flatten().flatten().flatten().collect()
    }
}

/// Tries again while the transaction loses races against others.
pub(crate) async fn retry<T, F>(mut once: impl FnMut() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    for _ in 1..limits::TXN_TRIES {
        match once().await {
            Err(ApiError::Store(StoreError::Conflict { .. })) => {}
            done => return done,
        }
    }
    once().await
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
