//! The API on a Unix socket, in plain HTTP, for programs on this machine (session.md §1). The file is its owner's alone,
//! and every request needs its credential as elsewhere.

use std::{
    fs,
    future::{Ready, ready},
    io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{SocketAddr as UnixAddr, UnixListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Extension;
use axum_server::{Handle, accept::Accept};
use tokio::{net::UnixStream, sync::Semaphore, task::JoinHandle};
use tower::Layer;

use crate::{ControlError, app::SharedApp, limits, router::router, server::bounded, tls::Peer};

/// A socket that is served.
#[derive(Debug)]
pub(crate) struct LocalSocket {
    path: PathBuf,
    handle: Handle<UnixAddr>,
    serving: JoinHandle<()>,
}

/// Before anything else is done, as the other listeners. What a server left behind that is gone is replaced.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, ControlError> {
    let bind = || {
        if is_left_over(path)? {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(ControlError::file(path))
}

/// A socket where nobody listens. Other files stay: binding fails there.
fn is_left_over(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
            Ok(StdStream::connect(path).is_err_and(refused))
        }
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl LocalSocket {
    /// `connections`: as many as there may be over all listeners.
    pub(crate) fn serve(
        listener: UnixListener,
        path: &Path,
        connections: Arc<Semaphore>,
        app: &SharedApp,
    ) -> Result<Self, ControlError> {
        let handle = Handle::new();
        let port = app.listeners.first().map_or(0, SocketAddr::port);
        let acceptor = Acceptor { connections, local: SocketAddr::from(([127, 0, 0, 1], port)) };
        let server = axum_server::from_unix(listener).map_err(ControlError::file(path))?;
        let server = bounded(server.acceptor(acceptor).handle(handle.clone()));
        let service = router(SharedApp::clone(app)).into_make_service();
        let serving = tokio::spawn(async move {
            if let Err(error) = server.serve(service).await {
                tracing::error!(%error, "the API's Unix socket ended");
            }
        });
        Ok(Self { path: path.to_owned(), handle, serving })
    }

    /// Lets requests in progress end, as long as other listeners do.
    pub(crate) async fn close(self) {
        self.handle.graceful_shutdown(Some(limits::DRAIN));
        // A panic in it has been reported by the panic hook.
        let _ = self.serving.await;
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the API's socket stays behind");
        }
    }
}

/// Counts connections, and says where they came from: from this machine.
#[derive(Clone)]
struct Acceptor {
    connections: Arc<Semaphore>,
    local: SocketAddr,
}

impl<S: Send + 'static> Accept<UnixStream, S> for Acceptor {
    type Stream = UnixStream;
    type Service = <Extension<Peer> as Layer<S>>::Service;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: UnixStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.connections).try_acquire_owned().map_err(io::Error::other);
        let peer = |permit| Peer::of_this_machine(self.local, permit);
        ready(permit.map(|permit| (stream, Extension(peer(permit)).layer(service))))
    }
}
