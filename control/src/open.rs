//! Opening what the server rests on: the store, the credentials, the node's lease.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use dataplane::node::Node;
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};

use crate::{
    ControlConfig, ControlError, Location,
    accounts::Accounts,
    admin::{
        Admin,
        certs::PublicCertificate,
        settings::{AdminSettings, take_effect},
        storage::{BackupStore, StorageRecord},
    },
    app::{App, Locks, SharedApp},
    auth::{Authenticator, Certificates, IssuedTokens, RotateError, Tokens},
    credentials::{Credentials, ServerNames},
    events::{Events, Kind},
    identity::node_id,
    known_drives::KnownDrives,
    license, limits,
    model::{backend::BackendRecord, node::EpochRecord, target::TargetRecord},
    nodes::{Attending, Liveness, LocalNode, Member, NodeHandle, Nodes, authority::Authority},
    oidc::Oidc,
    outbound::{Names, Trust},
    sealed::Seal,
    state::{Change, Record, State},
    store::{LeaseId, MetaStore, RedbStore, StoreError, Watch},
    syslog::Syslog,
    tls::{self, ServerTls},
};

pub(crate) struct Opened {
    pub(crate) app: SharedApp,
    /// The node in this process, if there is one.
    pub(crate) own: Option<Own>,
    pub(crate) credentials: Credentials,
    /// Hears of every change of the targets from the opening on.
    pub(crate) targets: Watch,
}

pub(crate) struct Own {
    pub(crate) node: LocalNode,
    pub(crate) member: Arc<Member>,
    /// If it answered.
    pub(crate) lease: Option<LeaseId>,
}

impl Own {
    async fn open(
        config: &ControlConfig,
        store: &Arc<dyn MetaStore>,
        node: Node,
    ) -> Result<Self, ControlError> {
        let id = node_id(&config.data_dir)?;
        register_own(&State::new(Arc::clone(store)), &id, &config.location)
            .await
            .map_err(|e| ControlError::bad_file(store_path(&config.data_dir), e))?;
        let node = LocalNode::new(node, KnownDrives::load(&config.data_dir)?);
        node.remember_drives().await?;
        let liveness = Liveness::new(Arc::clone(store), &id);
        let member = Arc::new(Member::new(&id, NodeHandle::Local(node.clone()), liveness));
        let lease = member.beat(None).await;
        Ok(Self { node, member, lease })
    }
}

/// Counts this start.
async fn next_epoch(state: &State) -> Result<u32, StoreError> {
    let Some(mut epoch) = state.get::<EpochRecord>(EpochRecord::ID).await? else {
        return Ok(state.create(EpochRecord { number: 1 }, Change::default()).await?.value.number);
    };
    epoch.value.number += 1;
    Ok(state.update(epoch).await?.value.number)
}

/// The node in this process is a backend from its first start on.
async fn register_own(state: &State, id: &str, location: &Location) -> Result<(), StoreError> {
    if state.get::<BackendRecord>(id).await?.is_some() {
        return Ok(());
    }
    let Location { zone, rack, region } = location.clone();
    let record = BackendRecord { zone, rack, region, ..BackendRecord::new(id) };
    state.commit(Change::default().create(&record)).await
}

/// Makes what is missing; changes nothing on the node. `listeners`: ports resolved.
pub(crate) async fn open(
    config: ControlConfig,
    node: Option<Node>,
    listeners: &[SocketAddr],
) -> Result<Opened, ControlError> {
    // It makes the data directory, too.
    node_id(&config.data_dir)?;
    let store = Arc::new(RedbStore::open(&store_path(&config.data_dir))?);
    open_on(store, config, node, listeners).await
}

/// Where the metadata lies in the data directory.
pub(crate) fn store_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.redb")
}

/// Who is let in.
async fn authenticator(
    config: &ControlConfig,
    state: &State,
    credentials: &Credentials,
    seal: &Seal,
    trust: Trust,
) -> Result<Authenticator, ControlError> {
    let store_path = store_path(&config.data_dir);
    let in_store = |e: RotateError| match e {
        RotateError::File(error) => error,
        RotateError::Store(error) => ControlError::bad_file(&store_path, error),
    };
    let oidc = Oidc::open(state.clone(), seal, trust).await;
    Ok(Authenticator {
        settings: config.auth.clone(),
        certificates: Certificates::new(tls::own_roots(credentials)?),
        tokens: Tokens::open(state.store(), &credentials.dir).await.map_err(in_store)?,
        oidc: oidc.map_err(|e| ControlError::bad_file(&store_path, e))?,
        issued: IssuedTokens::open(state.clone(), &config.data_dir)?,
        accounts: Accounts::open(state.clone(), &credentials.dir, config.auth.session_seconds * 1000).await?,
    })
}

/// As `open`, on a store that is open already.
pub(crate) async fn open_on(
    store: Arc<dyn MetaStore>,
    config: ControlConfig,
    node: Option<Node>,
    listeners: &[SocketAddr],
) -> Result<Opened, ControlError> {
    let node_id = node_id(&config.data_dir)?;
    let store_path = store_path(&config.data_dir);
    let server_names = ServerNames::new(listeners, &config.server_names)?;
    let credentials = Credentials::open(&config.data_dir, &node_id, &server_names)?;
    let seal = Seal::open(&config.data_dir)?;
    let state = State::new(Arc::clone(&store));
    let names = Names::default();
    let trust = Trust { authorities: config.trust_ca.clone(), names: names.clone() };
    let syslog = Syslog::start(&config.syslog, &config.node_name, &trust);
    let license_key = config.license_key.as_deref().map(license::key).transpose()?;
    let auth = authenticator(&config, &state, &credentials, &seal, trust).await?;
    let targets = store.watch(TargetRecord::PREFIX);
    let settings = state.get::<AdminSettings>(AdminSettings::KEY).await;
    let settings = settings.map_err(|e| ControlError::bad_file(&store_path, e))?.map(|s| s.value);
    let storage = state.get::<StorageRecord>(StorageRecord::KEY).await;
    let storage = storage.map_err(|e| ControlError::bad_file(&store_path, e))?.map(|s| s.value);
    let admin = Admin::open(&config.data_dir, &credentials.dir, config.admin.clone())?;
    let helpers = &config.admin.storage_helpers;
    let backup_store = BackupStore::open(&config.data_dir, &node_id, storage, &seal, helpers).await?;
    let portals = node.as_ref().map(Node::portals).unwrap_or_default();
    let own = match node {
        Some(node) => Some(Own::open(&config, &store, node).await?),
        None => None,
    };
    let authority = Authority::open(&credentials.dir, &node_id)?;
    let nodes = Nodes::default();
    if let Some(own) = &own {
        nodes.put(Arc::clone(&own.member));
    }
    let app = Arc::new(App {
        backup_store,
        admin,
        names,
        tls: ServerTls::new(&credentials, PublicCertificate::load(&credentials.dir)?)?,
        credentials: credentials.dir.clone(),
        node_name: RwLock::new(config.node_name.clone()),
        addresses_at_start: settings.as_ref().map(|s| s.addresses().clone()).unwrap_or_default(),
        portals,
        config,
        nodes,
        attending: Attending::default(),
        to_nodes: authority.provisioner()?,
        authority,
        ca: credentials.ca.clone(),
        node_id,
        epoch: next_epoch(&state).await.map_err(|e| ControlError::bad_file(&store_path, e))?,
        own_node: own.as_ref().map(|own| own.member.persistent_id.clone()),
        events: Events::new(state.clone(), syslog.clone()),
        syslog,
        state,
        seal,
        license_key,
        auth,
        listeners: listeners.to_vec(),
        started: Instant::now(),
        subsystems: Mutex::default(),
        volume_locks: Locks::new(),
        snapshot_locks: Locks::new(),
        host_locks: Locks::new(),
        tenant_locks: Locks::new(),
        changes: Arc::new(Semaphore::new(limits::CHANGES)),
    });
    if let Some(settings) = &settings {
        take_effect(&app, settings);
    }
    if let Some(text) = app.admin.settle(&app.state, &app.credentials, &app.backups()).await? {
        tracing::error!("{text}");
        app.events.add(Kind::ReleaseRolledBack, app.node_name(), text).await;
    }
    Ok(Opened { app, own, credentials, targets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Stored;

    #[tokio::test]
    async fn the_own_node_is_a_backend_before_anybody_asks_and_stands_where_it_was_put() {
        let dir = tempfile::tempdir().unwrap();
        for zone in ["first", "later"] {
            let store: Arc<dyn MetaStore> =
                Arc::new(RedbStore::open(&dir.path().join("control.redb")).unwrap());
            let state = State::new(Arc::clone(&store));
            let location = Location { zone: Some(zone.to_owned()), ..Location::default() };
            register_own(&state, "02:00:00:00:00:01", &location).await.unwrap();
            let backends: Vec<Stored<BackendRecord>> = state.list().await.unwrap();
            assert_eq!((backends.len(), backends[0].value.zone.as_deref()), (1, Some("first")));
            state.quiet().await.unwrap();
        }
    }
}
