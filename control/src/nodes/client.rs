//! The client of a node in another process: HTTPS with both certificates, JSON both ways.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
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
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::limits;

/// Cloneable; all clones share their connections.
#[derive(Clone)]
pub(crate) struct NodeClient(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    /// That the node's certificate must bear: whoever else answers at the address is not asked anything.
    name: ServerName<'static>,
    tls: TlsConnector,
    /// Connections that nobody uses now.
    idle: Mutex<Vec<Connection>>,
}

type Connection = SendRequest<Full<Bytes>>;

impl fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeClient").field(&self.0.address).finish()
    }
}

impl NodeClient {
    /// Connects with the first request. `config` trusts our CA and proves to be the provisioner.
    pub(crate) fn new(address: SocketAddr, name: ServerName<'static>, config: Arc<ClientConfig>) -> Self {
        Self(Arc::new(Inner { address, name, tls: config.into(), idle: Mutex::default() }))
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
        let (status, bytes) = match timeout(limit, self.exchange(operation, body.into())).await {
            Ok(answer) => {
                answer.map_err(|error| NodeError::NoAnswer(format!("{}: {error}", self.0.address)))?
            }
            Err(_) => return Err(NodeError::NoAnswer(format!("{}: no answer in time", self.0.address))),
        };
        let unclear = |error| NodeError::NoAnswer(format!("{}: HTTP {status}: {error}", self.0.address));
        match status {
            StatusCode::OK => serde_json::from_slice(&bytes).map_err(unclear),
            StatusCode::CONFLICT => Err(serde_json::from_slice(&bytes).map_err(unclear)?),
            other => Err(NodeError::NoAnswer(format!("{}: HTTP {other}", self.0.address))),
        }
    }

    async fn exchange(&self, operation: &str, body: Bytes) -> Result<(StatusCode, Bytes), CallError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/node/v1/{operation}"))
            .header(header::HOST, "node")
            .header(header::CONTENT_TYPE, "application/json")
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
    #[error("no connection in time")]
    Connect(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}
