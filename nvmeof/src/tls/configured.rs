//! Configured PSKs and their interchange format (TCP §3.6.1.5).

use std::fmt;

use zeroize::Zeroizing;

use super::PskHash;
use crate::key_text::{self, Unreadable};

const PREFIX: &str = "NVMeTLSkey-1:";

/// A PSK as an administrator gives it to both sides: 32 or 48 bytes, and how to make a retained PSK of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfiguredPsk {
    /// `None`: the configured PSK is the retained PSK.
    transform: Option<PskHash>,
    bytes: Zeroizing<Vec<u8>>,
}

/// Why a text is no PSK; always the fault of who gave it. Says nothing of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InterchangeError {
    #[error("a TLS key has the form NVMeTLSkey-1:hh:<base64>:")]
    Form,
    #[error("the hash of a TLS key must be 00, 01 (SHA-256) or 02 (SHA-384)")]
    Hash,
    #[error("a TLS key has 32 bytes with hash 01, 48 bytes with hash 02, and either with 00")]
    Length,
    #[error("the CRC of the TLS key is wrong: was it copied whole?")]
    Crc,
}

impl ConfiguredPsk {
    /// A new key of 32 or 48 bytes, as `hash` needs it, from `random`.
    pub fn generate(hash: PskHash, random: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Zeroizing::new(vec![0; hash.len_bytes()]);
        random(&mut bytes);
        Self { transform: Some(hash), bytes }
    }

    /// Reads the interchange format.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, InterchangeError> {
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(':'));
        let (specifier, encoded) =
            rest.and_then(|rest| rest.split_once(':')).ok_or(InterchangeError::Form)?;
        let transform = match specifier {
            "00" => None,
            other => Some(PskHash::from_specifier(other).ok_or(InterchangeError::Hash)?),
        };
        let read = key_text::read(encoded).map_err(|why| match why {
            Unreadable::NoBase64 => InterchangeError::Form,
            Unreadable::Short => InterchangeError::Length,
        })?;
        let fits = |hash: PskHash| hash.len_bytes() == read.key.len();
        if !transform.map_or_else(|| PskHash::ALL.into_iter().any(fits), fits) {
            return Err(InterchangeError::Length);
        }
        if !read.checksum_fits {
            return Err(InterchangeError::Crc);
        }
        Ok(Self { transform, bytes: read.key })
    }

    /// The interchange format.
    pub fn to_interchange(&self) -> Zeroizing<String> {
        let specifier = self.transform.map_or("00", PskHash::specifier);
        Zeroizing::new(format!("{PREFIX}{specifier}:{}:", *key_text::write(&self.bytes)))
    }

    pub(super) fn transform(&self) -> Option<PskHash> {
        self.transform
    }

    pub(super) fn bytes(&self) -> &Zeroizing<Vec<u8>> {
        &self.bytes
    }
}

impl fmt::Debug for ConfiguredPsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfiguredPsk({} secret bytes, {:?})", self.bytes.len(), self.transform)
    }
}
