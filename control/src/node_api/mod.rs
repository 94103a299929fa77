//! What a node offers its provisioner: every operation of `nodes::operations` as `POST /node/v1/OPERATION`.

mod fence;
mod join;
mod server;
#[cfg(test)]
mod tests;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use axum_server::Handle;
use dataplane::node::NodeError;
use rustls::ServerConfig;
use serde::Serialize;
use tokio::task::JoinHandle;

pub(crate) use self::fence::FENCE;
use self::fence::{Fence, fenced};
pub use self::{
    join::Join,
    server::{NodeRole, NodeServer, serve_node},
};
use crate::{
    ControlError, limits,
    nodes::{NodeHandle, routes},
    server::listen,
    tls,
};

/// The answer as JSON, or the node's error with the status 409. Any other status is none of the node's answers.
pub(crate) fn reply<T: Serialize>(answer: Result<T, NodeError>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => (StatusCode::CONFLICT, Json(error)).into_response(),
    }
}

/// The operations behind their fence. Whoever puts something around it sees what is asked before the fence does.
pub(crate) fn fenced_routes(node: NodeHandle) -> Router {
    routes()
        .layer(DefaultBodyLimit::max(limits::NODE_BODY_BYTES))
        .layer(from_fn_with_state(Fence::default(), fenced))
        .with_state(node)
}

/// Serves until the handle stops it.
pub(crate) fn serve(
    socket: TcpListener,
    address: SocketAddr,
    config: Arc<ServerConfig>,
    node: NodeHandle,
    handle: Handle<SocketAddr>,
) -> Result<JoinHandle<()>, ControlError> {
    listen(socket, address, tls::Acceptor::new(config), fenced_routes(node), handle)
}
