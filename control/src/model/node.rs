//! Nodes in other processes, and who may become one.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The stored form of a node that has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) persistent_id: String,
    /// What people call it.
    pub(crate) name: String,
    /// Where its API listens.
    pub(crate) address: SocketAddr,
    /// Of the certificate that it was given last: others are refused. `None` in records of before this was kept.
    #[serde(default)]
    pub(crate) certificate: Option<CertificateDigest>,
}

/// SHA-256 of a certificate.
pub(crate) type CertificateDigest = [u8; 32];

/// The stored form of a node that was removed: with this certificate, and no other, it may be taken back without an invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemovedNodeRecord {
    pub(crate) persistent_id: String,
    pub(crate) name: String,
    pub(crate) certificate: Option<CertificateDigest>,
}

/// The stored form of which controller identifiers a node has; by number, so that none is given twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControllerIdsRecord {
    pub(crate) number: u16,
    pub(crate) persistent_id: String,
}

/// The stored form of how often this provisioner was started. Nodes refuse what an earlier process still asks of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EpochRecord {
    pub(crate) number: u32,
}

/// The stored form of an invite; it goes when it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InviteRecord {
    pub(crate) id: Uuid,
    /// Of its secret.
    pub(crate) digest: [u8; 32],
    /// Milliseconds since the epoch.
    pub(crate) expires_ms: u64,
}
