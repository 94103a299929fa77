//! Starting and stopping.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use axum_server::{Address, Handle, Server};
use dataplane::node::Node;
use hyper_util::rt::TokioTimer;
use tokio::task::JoinHandle;

use crate::{
    ControlConfig, ControlError,
    admin::{backup, beat_for_cores, clock},
    app::{App, SharedApp},
    events::Kind,
    identity::node_id,
    known_drives::KnownDrives,
    limits,
    local_socket::{self, LocalSocket},
    model::{backend::BackendRecord, node::NodeRecord},
    monitor,
    nodes::{Liveness, LocalNode, Member, NodeHandle, attend, keep_up, let_in, watch},
    open::{Opened, open},
    overdue, reconcile, revoke,
    router::router,
    state::Change,
    store::StoreError,
    tls,
};

/// A running control plane. Dropped without `shutdown` it goes on until the runtime ends.
#[derive(Debug)]
pub struct ControlServer {
    listeners: Vec<SocketAddr>,
    credentials: PathBuf,
    handle: Handle<SocketAddr>,
    local: Option<LocalSocket>,
    serving: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    app: AppHandle,
}

/// Keeps the application out of `ControlServer`'s public face.
struct AppHandle(SharedApp);

impl std::fmt::Debug for AppHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}

/// Opens the store and the credentials, brings the node to the desired state (targets and hosts come back), and
/// serves. When this returns every listener accepts, those of the node included, and every credential file is
/// written.
///
/// `node`: the one in this process; without one, all nodes join from elsewhere.
pub async fn serve(
    config: ControlConfig,
    node: impl Into<Option<Node>>,
) -> Result<ControlServer, ControlError> {
    let sockets = bind(&config.api)?;
    let listeners: Vec<SocketAddr> = sockets.iter().map(|(_, address)| *address).collect();
    let api_socket = config.api_socket.clone();
    let local = api_socket.as_deref().map(local_socket::bind).transpose()?;
    let Opened { app, own, targets, credentials } = open(config, node.into(), &listeners).await?;
    let acceptor = tls::Acceptor::new(app.tls.config());
    bring_back(&app).await.map_err(|e| ControlError::bad_file(&app.config.data_dir, e))?;
    let mut background = vec![
        tokio::spawn(reconcile::background(Arc::clone(&app), targets)),
        tokio::spawn(monitor::run(Arc::clone(&app))),
        tokio::spawn(backup::run(Arc::clone(&app))),
        tokio::spawn(clock::run(Arc::clone(&app))),
        tokio::spawn(revoke::run(Arc::clone(&app))),
        tokio::spawn(overdue::run(Arc::clone(&app))),
    ];
    if let Some(own) = own {
        // Not before: a host that comes back must find what it was published.
        let served = let_in(&app, &own.member).await;
        if let Err(error) = &served {
            tracing::warn!(?error, "hosts are not let in yet");
        }
        background.push(tokio::spawn(watch(Arc::clone(&app), own.member, own.lease, served.is_ok())));
        background.push(tokio::spawn(beat_for_cores(Arc::clone(&app), own.node.node.clone())));
        background.push(tokio::spawn(keep_up(own.node, app.config.data_dir.clone())));
    }
    let joined = app.state.list::<NodeRecord>().await;
    for node in joined.map_err(|e| ControlError::bad_file(&app.config.data_dir, e))? {
        attend(&app, &node.value);
    }
    let handle = Handle::new();
    let local = local
        .zip(api_socket)
        .map(|(listener, path)| LocalSocket::serve(listener, &path, acceptor.connections(), &app));
    let serving = sockets.into_iter().map(|(socket, address)| {
        listen(socket, address, acceptor.clone(), router(SharedApp::clone(&app)), handle.clone())
    });
    Ok(ControlServer {
        listeners,
        credentials: credentials.dir,
        local: local.transpose()?,
        serving: serving.collect::<Result<_, _>>()?,
        handle,
        background,
        app: AppHandle(app),
    })
}

/// Finishes what a crash cut short, then exports what was published. A volume that is lost does not keep the
/// others from coming back; a store that cannot be read does.
pub(crate) async fn bring_back(app: &App) -> Result<(), StoreError> {
    for problem in reconcile::storage(app).await? {
        tracing::warn!("{problem}");
    }
    reconcile::subsystems(app).await?;
    app.events.add(Kind::ServerStarted, app.node_name(), "the server started").await;
    Ok(())
}

/// Binds everything before anything else is done: an address that is taken must not cost a half-made start.
/// std sets SO_REUSEADDR, so an address is free again at once after a kill.
fn bind(addresses: &[SocketAddr]) -> Result<Vec<(TcpListener, SocketAddr)>, ControlError> {
    let bind = |address: SocketAddr| {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let resolved = socket.local_addr()?;
        Ok((socket, resolved))
    };
    let each =
        addresses.iter().map(|a| bind(*a).map_err(|source| ControlError::Listen { address: *a, source }));
    each.collect()
}

pub(crate) fn listen(
    socket: TcpListener,
    address: SocketAddr,
    acceptor: tls::Acceptor,
    router: Router,
    handle: Handle<SocketAddr>,
) -> Result<JoinHandle<()>, ControlError> {
    let failed = |source| ControlError::Listen { address, source };
    let server = bounded(axum_server::from_tcp(socket).map_err(failed)?.acceptor(acceptor).handle(handle));
    let service = router.into_make_service();
    Ok(tokio::spawn(async move {
        if let Err(error) = server.serve(service).await {
            tracing::error!(%address, %error, "the API listener ended");
        }
    }))
}

/// HTTP/1.1, whose requests come in time.
pub(crate) fn bounded<A: Address, Acceptor>(server: Server<A, Acceptor>) -> Server<A, Acceptor> {
    let mut server = server.http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(limits::READ);
    server
}

impl ControlServer {
    /// Where the API listens, ports resolved, in the order of the configuration.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// The directory that holds `ca.pem`, `ssdtoolbox.pem`, `token` and the rest.
    pub fn credentials(&self) -> &Path {
        &self.credentials
    }

    /// Directs another node of this process, too, which keeps its persistentID in `data_dir`; what was published there is
    /// exported again. One that is directed already is replaced.
    ///
    /// # Errors
    /// A file of `data_dir` that cannot be read, or the store.
    pub async fn direct(&mut self, node: Node, data_dir: &Path) -> Result<(), ControlError> {
        let app = &self.app.0;
        let id = node_id(data_dir)?;
        let in_store = |e: StoreError| ControlError::bad_file(&app.config.data_dir, e);
        let handle = NodeHandle::Local(LocalNode::new(node, KnownDrives::load(data_dir)?));
        let member = Arc::new(Member::new(&id, handle, Liveness::new(app.state.store(), &id)));
        let lease = member.beat(None).await;
        app.nodes.put(Arc::clone(&member));
        match app.state.create(BackendRecord::new(&id), Change::default()).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(in_store(error)),
        }
        reconcile::storage(app).await.map_err(in_store)?;
        reconcile::subsystems(app).await.map_err(in_store)?;
        self.background.push(tokio::spawn(watch(Arc::clone(app), member, lease, true)));
        Ok(())
    }

    /// Directs that node no longer, as if it did not answer. What is recorded of it stays.
    pub fn release(&self, persistent_id: &str) {
        self.app.0.nodes.remove(persistent_id);
    }

    /// Ready when somebody asked for a restart and everything is prepared for it.
    pub async fn restart_wanted(&self) {
        self.app.0.admin.restart.wanted().await;
    }

    /// Lets requests in progress end, for ten seconds at most, and stops. The node goes on: it is the caller's.
    pub async fn shutdown(self) {
        self.handle.graceful_shutdown(Some(limits::DRAIN));
        if let Some(local) = self.local {
            local.close().await;
        }
        for listener in self.serving {
            // It ends with the last connection; a panic in it has been reported by the panic hook.
            let _ = listener.await;
        }
        self.app.0.finish_changes().await;
        self.app.0.attending.stop();
        for task in self.background {
            task.abort();
            let _ = task.await;
        }
        // An aborted task may have left a read behind, which keeps the store open.
        if let Err(error) = self.app.0.state.quiet().await {
            tracing::warn!(%error, "the store did not come to rest");
        }
    }
}
