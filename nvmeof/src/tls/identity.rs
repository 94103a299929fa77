//! PSK identities: what a host offers in its ClientHello (TCP §3.6.1.3).

use std::fmt;

use super::PskHash;
use crate::{Nqn, NqnError};

/// How an identity and its TLS PSK are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityVersion {
    /// `NVMe0R01 host subsystem`, of TCP revision 1.0.
    V0,
    /// `NVMe1R01 host subsystem digest`, of TCP revision 1.1: tells keys of one pair of names apart.
    V1,
}

/// The identity of a retained PSK.
#[derive(Clone, PartialEq, Eq)]
pub struct PskIdentity {
    pub hash: PskHash,
    pub host: Nqn,
    pub subsystem: Nqn,
    /// Base64; of version 1 only.
    pub digest: Option<String>,
}

/// Why bytes are no identity that we can serve; always the fault of who sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("a PSK identity has the form NVMe0Rhh <host NQN> <subsystem NQN> or NVMe1Rhh ... <digest>")]
    Form,
    /// Of an authentication's generated PSK, or of a version or hash to come.
    #[error("this version, kind or hash of PSK identity is not known")]
    Unknown,
    #[error(transparent)]
    Nqn(#[from] NqnError),
}

impl PskIdentity {
    /// Reads what a host offers.
    ///
    /// # Errors
    /// If it is not of a retained PSK in a version and with a hash that we know.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::Form)?;
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(IdentityError::Form);
        let (format, host, subsystem) = (word()?, word()?, word()?);
        let specifier = format.strip_prefix("NVMe").ok_or(IdentityError::Form)?;
        let (version, specifier) = match specifier.split_at_checked(2).ok_or(IdentityError::Form)? {
            ("0R", specifier) => (IdentityVersion::V0, specifier),
            ("1R", specifier) => (IdentityVersion::V1, specifier),
            _ => return Err(IdentityError::Unknown),
        };
        let hash = PskHash::from_specifier(specifier).ok_or(IdentityError::Unknown)?;
        let digest = match version {
            IdentityVersion::V0 => None,
            IdentityVersion::V1 => Some(word()?.to_owned()),
        };
        if words.next().is_some() {
            return Err(IdentityError::Form);
        }
        Ok(Self { hash, host: Nqn::new(host)?, subsystem: Nqn::new(subsystem)?, digest })
    }
}

impl fmt::Display for PskIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hash, host, subsystem, digest } = self;
        let version = if digest.is_some() { '1' } else { '0' };
        write!(f, "NVMe{version}R{} {host} {subsystem}", hash.specifier())?;
        digest.as_ref().map_or(Ok(()), |digest| write!(f, " {digest}"))
    }
}

impl fmt::Debug for PskIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PskIdentity({self})")
    }
}
