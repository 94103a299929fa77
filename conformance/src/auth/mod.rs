//! The kit's own host side of in-band authentication with DH-HMAC-CHAP (Base §8.3.4.5).
//!
//! ```text
//! secret       the text DHHC-1:…, and the key that it stands for
//! hash         hash functions and their HMACs
//! group        RFC 7919: values and powers
//! message      what a host sends, as bytes that checks may change; what a controller sends, taken apart
//! transaction  one authentication of a queue, step by step
//! ```

mod group;
mod hash;
mod message;
mod secret;
mod transaction;

pub(crate) use group::Group;
pub(crate) use hash::Hash;
pub(crate) use message::{Challenge, Offer, failure2, success2};
pub use secret::{Secret, SecretError};
pub(crate) use transaction::{Transaction, explanation};

/// What a host knows.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Proves the host.
    pub host: Secret,
    /// If there is one, the controller has to prove that it knows it.
    pub controller: Option<Secret>,
}
