//! A process that is a node and nothing else: its data plane, directed over its API.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use axum_server::Handle;
use dataplane::node::Node;
use tokio::task::JoinHandle;

use super::join::{Join, Membership};
use crate::{
    ControlError,
    identity::node_id,
    known_drives::KnownDrives,
    limits,
    nodes::{LocalNode, NodeHandle, authority::node_server, keep_up},
};

/// Everything a node needs besides its data plane.
#[derive(Debug, Clone)]
pub struct NodeRole {
    pub data_dir: PathBuf,
    /// Where its API listens. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Needed once: a node that has joined comes back without.
    pub join: Option<Join>,
}

/// A node whose API is served.
#[derive(Debug)]
pub struct NodeServer {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    serving: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

/// Joins if it has not, and serves. Hosts are let in once the provisioner has said what is exported.
pub async fn serve_node(role: NodeRole, node: Node) -> Result<NodeServer, ControlError> {
    let failed = |source| ControlError::Listen { address: role.listen, source };
    let socket = TcpListener::bind(role.listen).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let own = LocalNode::new(node, KnownDrives::load(&role.data_dir)?);
    own.remember_drives().await?;
    let membership = match (Membership::read(&role.data_dir)?, &role.join) {
        (Some(joined), _) => joined,
        (None, Some(join)) => {
            Membership::join(&role.data_dir, &node_id(&role.data_dir)?, address, join).await?
        }
        (None, None) => return Err(ControlError::NotInvited),
    };
    let Membership { ca, certificate, key } = membership;
    let config = node_server(&ca, &certificate, &key)
        .map_err(|reason| ControlError::bad_file(role.data_dir.join("membership.json"), reason))?;
    let handle = Handle::new();
    Ok(NodeServer {
        address,
        serving: super::serve(socket, address, config, NodeHandle::Local(own.clone()), handle.clone())?,
        handle,
        upkeep: tokio::spawn(keep_up(own, role.data_dir)),
    })
}

impl NodeServer {
    /// Where its API listens, the port resolved.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets requests in progress end, for ten seconds at most, and stops. The data plane goes on: it is the caller's.
    pub async fn shutdown(self) {
        self.handle.graceful_shutdown(Some(limits::DRAIN));
        // A panic in it has been reported by the panic hook.
        let _ = self.serving.await;
        self.upkeep.abort();
        let _ = self.upkeep.await;
    }
}
