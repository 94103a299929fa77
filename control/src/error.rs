//! Why the control plane could not start.

use std::{io, net::SocketAddr, path::PathBuf};

/// The text names the file or address and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {reason}", path.display())]
    BadFile { path: PathBuf, reason: String },
    #[error("cannot listen on {address} for the API: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("joining {provisioner}: {why}")]
    Join { provisioner: String, why: String },
    #[error("this node has not joined a provisioner yet: it needs an invite")]
    NotInvited,
    #[error("server name {name:?} is neither a DNS name nor an IP address")]
    ServerName { name: String },
}

impl ControlError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn bad_file(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::BadFile { path: path.into(), reason: reason.to_string() }
    }
}
