//! From a TCP connection to a TLS stream whose requests know who is at the other end.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::Extension;
use axum_server::accept::Accept;
use rustls_pki_types::CertificateDer;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::Layer;

use super::ConfigCell;
use crate::limits;

/// A client has this long for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The two ends of a connection; every request on it carries this as an extension.
#[derive(Clone)]
pub(crate) struct Peer {
    /// The address that the client connected to.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The client's certificate and what it sent with it, not judged; empty if none.
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
    /// Held until the connection and its requests are gone.
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Peer {
    /// Somebody on this machine who came without TLS. `local`: what stands for the address that it connected to.
    pub(crate) fn of_this_machine(local: SocketAddr, permit: OwnedSemaphorePermit) -> Self {
        let remote = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { local, remote, chain: Arc::default(), _permit: Arc::new(permit) }
    }
}

/// Does the TLS side of each new connection; one for all listeners, so that the limit is one too.
#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: ConfigCell,
    connections: Arc<Semaphore>,
}

impl Acceptor {
    pub(crate) fn new(tls: impl Into<ConfigCell>) -> Self {
        Self { tls: tls.into(), connections: Arc::new(Semaphore::new(limits::CONNECTIONS)) }
    }

    /// What counts connections over all listeners.
    pub(crate) fn connections(&self) -> Arc<Semaphore> {
        Arc::clone(&self.connections)
    }

    async fn handshake(self, tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, Peer)> {
        // Over the limit a connection is closed, not kept waiting: a waiting one holds a file descriptor.
        let permit = self.connections.try_acquire_owned().map_err(io::Error::other)?;
        tcp.set_nodelay(true)?;
        let (local, remote) = (tcp.local_addr()?, tcp.peer_addr()?);
        let stream = timeout(HANDSHAKE, TlsAcceptor::from(self.tls.get()).accept(tcp)).await??;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|c| c.clone().into_owned()).collect();
        Ok((stream, Peer { local, remote, chain, _permit: Arc::new(permit) }))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Acceptor {
    type Stream = TlsStream<TcpStream>;
    type Service = <Extension<Peer> as Layer<S>>::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (stream, peer) = this.handshake(stream).await?;
            Ok((stream, Extension(peer).layer(service)))
        })
    }
}
