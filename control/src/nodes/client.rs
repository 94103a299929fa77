//! The client of a node in another process: HTTPS with both certificates, JSON both ways.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dataplane::node::NodeError;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::TlsConnector;

use super::authority::certificate_digest;
use crate::{limits, model::node::CertificateDigest, node_api::FENCE};

/// Cloneable; all clones share their connections.
#[derive(Clone)]
pub(crate) struct NodeClient(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    /// That the node's certificate must bear: whoever else answers at the address is not asked anything.
    name: ServerName<'static>,
    /// The only one that counts of its certificates; `None`: whichever bears the name.
    certificate: Option<CertificateDigest>,
    tls: TlsConnector,
    /// Connections that nobody uses now.
    idle: Mutex<Vec<Connection>>,
    /// The node's lease has ended: nobody waits for it.
    away: watch::Sender<bool>,
    /// See `node_api::fence`.
    fence: AtomicU64,
}

type Connection = SendRequest<Full<Bytes>>;

impl fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeClient").field(&self.0.address).finish()
    }
}

impl NodeClient {
    /// Connects with the first request. `config` trusts our CA and proves to be the provisioner, in its `epoch`.
    pub(crate) fn new(
        address: SocketAddr,
        name: ServerName<'static>,
        certificate: Option<CertificateDigest>,
        config: Arc<ClientConfig>,
        epoch: u32,
    ) -> Self {
        Self(Arc::new(Inner {
            address,
            name,
            certificate,
            tls: config.into(),
            idle: Mutex::default(),
            away: watch::Sender::new(false),
            fence: AtomicU64::new(u64::from(epoch) << 32),
        }))
    }

    /// While it is away nothing waits for the node, what has been asked already included.
    pub(super) fn set_away(&self, away: bool) {
        self.0.away.send_if_modified(|was| std::mem::replace(was, away) != away);
    }

    /// Has the node do an operation.
    ///
    /// # Errors
    /// The node's own, or `NoAnswer`: then nobody knows whether it was done.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        arguments: &impl Serialize,
    ) -> Result<T, NodeError> {
        let body = serde_json::to_vec(arguments).map_err(|error| NodeError::Invalid(error.to_string()))?;
        let limit = if operation == "check_drive" { limits::NODE_CHECK } else { limits::NODE_ANSWER };
        // Whether it is there again shows by these.
        let gives_up = !matches!(operation, "process" | "drives");
        let mut away = self.0.away.subscribe();
        let answer = tokio::select! {
            biased;
            _ = away.wait_for(|away| *away), if gives_up => return Err(self.lost(&"it does not answer")),
            answer = timeout(limit, self.exchange(operation, body.into())) => answer,
        };
        let (status, bytes) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.lost(&error)),
            Err(_) => return Err(self.lost(&"no answer in time")),
        };
        let unclear = |error| self.no_answer(&format!("HTTP {status}: {error}"));
        match status {
            StatusCode::OK => serde_json::from_slice(&bytes).map_err(unclear),
            StatusCode::CONFLICT => Err(serde_json::from_slice(&bytes).map_err(unclear)?),
            other => Err(self.no_answer(&format!("HTTP {other}"))),
        }
    }

    /// What was asked may still reach the node. From now on it is asked with a higher number, behind which nothing that
    /// was sent before is done any more.
    fn lost(&self, why: &dyn fmt::Display) -> NodeError {
        self.0.fence.fetch_add(1, Ordering::Relaxed);
        self.no_answer(why)
    }

    fn no_answer(&self, why: &dyn fmt::Display) -> NodeError {
        NodeError::NoAnswer(format!("the node at {}: {why}", self.0.address))
    }

    async fn exchange(&self, operation: &str, body: Bytes) -> Result<(StatusCode, Bytes), CallError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/node/v1/{operation}"))
            .header(header::HOST, "node")
            .header(header::CONTENT_TYPE, "application/json")
            .header(FENCE, self.0.fence.load(Ordering::Relaxed))
            .body(Full::new(body))?;
        let (connection, response) = self.send(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::NODE_ANSWER_BYTES).collect().await;
        let bytes = body.map_err(CallError::Body)?.to_bytes();
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits::NODE_CONNECTIONS {
            idle.push(connection);
        }
        Ok((status, bytes))
    }

    /// Over an idle connection, or a new one if the node has closed those. What was sent is not sent again.
    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Connection, Response<Incoming>), CallError> {
        loop {
            let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = idle else { break };
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut connection = self.connect().await?;
        let response = connection.send_request(request).await?;
        Ok((connection, response))
    }

    async fn connect(&self) -> Result<Connection, CallError> {
        let socket = timeout(CONNECT, TcpStream::connect(self.0.address)).await??;
        socket.set_nodelay(true)?;
        let stream = timeout(CONNECT, self.0.tls.connect(self.0.name.clone(), socket)).await??;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        if self.0.certificate.is_some() && shown.map(certificate_digest) != self.0.certificate {
            return Err(CallError::Revoked);
        }
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its error reaches us through the request that it ends.
        tokio::spawn(async { drop(connection.await) });
        Ok(sender)
    }
}

/// A node on the same network is there within this time or not at all.
const CONNECT: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    #[error("its certificate is not the one that it was given last")]
    Revoked,
    #[error("no connection in time")]
    Connect(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}
