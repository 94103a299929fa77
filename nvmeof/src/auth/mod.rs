//! In-band authentication with DH-HMAC-CHAP (Base §8.3.4.5): who knows a secret, without showing it.
//!
//! ```text
//! secret      the text DHHC-1:…, and the key that it stands for
//! hash        SHA-256, SHA-384, SHA-512 and their HMACs
//! group       RFC 7919, and the large powers as work that others compute
//! message     what goes over the wire
//! response    what is proved
//! controller  a queue's machine on the target
//! host        and on the initiator
//! ```
//! Both machines take randomness and computed powers from outside, so that no step of theirs takes long.

mod controller;
mod group;
mod hash;
mod host;
mod message;
mod response;
mod secret;
#[cfg(test)]
mod tests;

pub use controller::{ControllerAuthentication, Received, Requirement, Sent};
pub use group::{DhGroup, Work, Worked};
pub use hash::HashFunction;
pub use host::{HostAuthentication, HostEvent, HostFailure, HostOptions, HostStep};
pub use message::FailureReason;
pub use secret::{Secret, SecretError};

/// The secrets of a host and of whom it talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Proves the host.
    pub host: Secret,
    /// Proves the controller, where it is asked to.
    pub controller: Option<Secret>,
}
