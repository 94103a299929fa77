//! Retained PSKs and the TLS PSKs that are derived from them (TCP §3.6.1.3).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    ConfiguredPsk, IdentityVersion, PskHash, PskIdentity,
    hkdf::{derive, label, libnvme_label},
};
use crate::Nqn;

/// A PSK bound to one host, as both sides keep it.
///
/// Hosts with libnvme up to 1.15 derive their keys in a way of their own. A version 1 identity's digest tells which
/// way its host went, so for a configured PSK that was transformed the key of that way is kept, too.
#[derive(Clone, PartialEq, Eq)]
pub struct RetainedPsk {
    host: Nqn,
    bytes: Zeroizing<Vec<u8>>,
    libnvme: Option<Zeroizing<Vec<u8>>>,
}

/// The key of one handshake: as long as the hash's output.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsPsk {
    pub hash: PskHash,
    bytes: Zeroizing<Vec<u8>>,
}

/// HKDF-Expand-Label's info, in one of its two ways.
type Label = fn(&str, &[u8], usize) -> Option<Vec<u8>>;

impl RetainedPsk {
    /// Binds a configured PSK to its host; the configured one is to be forgotten then.
    pub fn new(configured: &ConfiguredPsk, host: Nqn) -> Self {
        let key = configured.bytes();
        let Some(hash) = configured.transform() else {
            return Self { host, bytes: key.clone(), libnvme: None };
        };
        let transformed = |label: Label| {
            let info = label("HostNQN", host.as_str().as_bytes(), key.len());
            derive(hash, key, &info.expect("an NQN has at most 223 bytes"), key.len())
        };
        let (bytes, libnvme) = (transformed(label), Some(transformed(libnvme_label)));
        Self { host, bytes, libnvme }
    }

    /// Takes one up again that [`to_stored`](Self::to_stored) gave. `None` if it is none.
    pub fn from_stored(host: Nqn, stored: &[u8]) -> Option<Self> {
        let (&key_len, rest) = stored.split_first()?;
        let (bytes, libnvme) = rest.split_at_checked(usize::from(key_len))?;
        let whole = PskHash::ALL.into_iter().any(|hash| hash.len_bytes() == bytes.len());
        let either = libnvme.is_empty() || libnvme.len() == bytes.len();
        let keep = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        let second = (!libnvme.is_empty()).then(|| keep(libnvme));
        (whole && either).then(|| Self { host, bytes: keep(bytes), libnvme: second })
    }

    /// The secret's bytes, to be stored where nobody reads them.
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let key_len = u8::try_from(self.bytes.len()).expect("32 or 48 bytes");
        let libnvme = self.libnvme.as_ref().map_or(&[][..], |bytes| bytes);
        Zeroizing::new([&[key_len], &self.bytes[..], libnvme].concat())
    }

    /// Whose key it is.
    pub fn host(&self) -> &Nqn {
        &self.host
    }

    /// The hash that a host would choose for it: the one whose output is as long.
    pub fn hash(&self) -> PskHash {
        if self.bytes.len() == PskHash::Sha384.len_bytes() { PskHash::Sha384 } else { PskHash::Sha256 }
    }

    /// The identity that the host offers for `subsystem`.
    pub fn identity(&self, version: IdentityVersion, hash: PskHash, subsystem: &Nqn) -> PskIdentity {
        let digest = match version {
            IdentityVersion::V0 => None,
            IdentityVersion::V1 => Some(self.digest(&self.bytes, hash, subsystem)),
        };
        PskIdentity { hash, host: self.host.clone(), subsystem: subsystem.clone(), digest }
    }

    /// The key for `identity`, if that is one of this PSK: its host's, and with the right digest where it has one.
    /// `None`, too, for names too long for version 0.
    pub fn tls_psk(&self, identity: &PskIdentity) -> Option<TlsPsk> {
        let PskIdentity { hash, host, subsystem, digest } = identity;
        if *host != self.host {
            return None;
        }
        let Some(digest) = digest else {
            return tls_psk(&self.bytes, *hash, identity.to_string().as_bytes(), label);
        };
        let context = format!("{} {digest}", hash.specifier());
        let is_of = |key: &[u8]| -> bool {
            self.digest(key, *hash, subsystem).as_bytes().ct_eq(digest.as_bytes()).into()
        };
        if is_of(&self.bytes) {
            return tls_psk(&self.bytes, *hash, context.as_bytes(), label);
        }
        let libnvme = self.libnvme.as_ref().filter(|key| is_of(key))?;
        tls_psk(libnvme, *hash, context.as_bytes(), libnvme_label)
    }

    /// The digest of version 1 (TCP §3.6.1.3).
    fn digest(&self, key: &[u8], hash: PskHash, subsystem: &Nqn) -> String {
        let [host, subsystem] = [&self.host, subsystem].map(|nqn| nqn.as_str().as_bytes());
        STANDARD.encode(&*hash.hmac(key, &[host, b" ", subsystem, b" NVMe-over-Fabrics"]))
    }
}

fn tls_psk(key: &[u8], hash: PskHash, context: &[u8], label: Label) -> Option<TlsPsk> {
    let info = label("nvme-tls-psk", context, hash.len_bytes())?;
    Some(TlsPsk { hash, bytes: derive(hash, key, &info, hash.len_bytes()) })
}

impl TlsPsk {
    /// The secret, for the TLS library.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for RetainedPsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RetainedPsk({} secret bytes of {})", self.bytes.len(), self.host)
    }
}

impl fmt::Debug for TlsPsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsPsk({} secret bytes)", self.bytes.len())
    }
}
