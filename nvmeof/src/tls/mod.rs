//! Pre-shared keys for NVMe/TCP over TLS 1.3 (TCP §3.6.1): from the text that people exchange to the key that one
//! handshake uses.
//!
//! ```text
//! interchange text -> configured PSK -> retained PSK (bound to the host) -> TLS PSK (bound to the subsystem)
//! ```
//! Only retained PSKs are kept. No secret is ever shown by `Debug`, and all are wiped when dropped.

mod configured;
mod hkdf;
mod identity;
mod retained;

pub use self::{
    configured::{ConfiguredPsk, InterchangeError},
    hkdf::PskHash,
    identity::{IdentityError, IdentityVersion, PskIdentity},
    retained::{RetainedPsk, TlsPsk},
};

#[cfg(test)]
mod tests;
