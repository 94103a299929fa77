//! HKDF (RFC 5869) with TLS 1.3's labels (RFC 8446 §7.1), over the two hashes that NVMe/TCP uses.

use zerocopy::{IntoBytes, big_endian};
use zeroize::Zeroizing;

use crate::auth::HashFunction;

/// The hash of a cipher suite, and of the derivations that belong to it (TCP §3.6.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PskHash {
    /// For `TLS_AES_128_GCM_SHA256`.
    Sha256,
    /// For `TLS_AES_256_GCM_SHA384`.
    Sha384,
}

impl PskHash {
    /// Both, the stronger one first.
    pub const ALL: [Self; 2] = [Self::Sha384, Self::Sha256];

    /// Bytes of its output.
    pub fn len_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// The specifier in identities and in the interchange format.
    pub(super) fn specifier(self) -> &'static str {
        match self {
            Self::Sha256 => "01",
            Self::Sha384 => "02",
        }
    }

    /// HMAC over `parts`, one after the other.
    pub(super) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        let function = match self {
            Self::Sha256 => HashFunction::Sha256,
            Self::Sha384 => HashFunction::Sha384,
        };
        function.hmac(key, parts)
    }

    pub(super) fn from_specifier(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.specifier() == text)
    }
}

/// HKDF-Extract without salt, then HKDF-Expand to `len_bytes`.
pub(super) fn derive(hash: PskHash, key: &[u8], info: &[u8], len_bytes: usize) -> Zeroizing<Vec<u8>> {
    let prk = hash.hmac(&vec![0; hash.len_bytes()], &[key]);
    let mut output = Zeroizing::new(Vec::with_capacity(len_bytes + hash.len_bytes()));
    let mut block = Zeroizing::new(Vec::new());
    let mut counter = 1_u8;
    while output.len() < len_bytes {
        block = hash.hmac(&prk, &[&block, info, &[counter]]);
        output.extend_from_slice(&block);
        counter += 1;
    }
    output.truncate(len_bytes);
    output
}

/// RFC 8446's HkdfLabel. `None` if the context is too long for it.
pub(super) fn label(label: &str, context: &[u8], len_bytes: usize) -> Option<Vec<u8>> {
    // TLS is big-endian.
    let mut info = big_endian::U16::new(u16::try_from(len_bytes).ok()?).as_bytes().to_vec();
    info.push(u8::try_from(PREFIX.len() + label.len()).ok()?);
    info.extend_from_slice(PREFIX.as_bytes());
    info.extend_from_slice(label.as_bytes());
    info.push(u8::try_from(context.len()).ok()?);
    info.extend_from_slice(context);
    Some(info)
}

/// What libnvme made of the HkdfLabel up to version 1.15: little-endian, and label and context without their lengths.
pub(super) fn libnvme_label(label: &str, context: &[u8], len_bytes: usize) -> Option<Vec<u8>> {
    let mut info = u16::try_from(len_bytes).ok()?.to_le_bytes().to_vec();
    info.extend_from_slice(PREFIX.as_bytes());
    info.extend_from_slice(label.as_bytes());
    info.extend_from_slice(context);
    Some(info)
}

const PREFIX: &str = "tls13 ";
