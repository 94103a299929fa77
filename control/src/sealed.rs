//! Secrets of hosts at rest: sealed with a key that lies in the data directory, so that a copy of the store alone
//! tells nothing.

use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{ControlError, files};

const FILE: &str = "secrets.key";

/// Seals and opens with AES-256-GCM. The key is never shown.
pub(crate) struct Seal {
    key: RandomizedNonceKey,
    path: PathBuf,
}

/// What was sealed cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("a sealed secret cannot be opened: {} is not the key that it was sealed with, or it was changed", key.display())]
pub(crate) struct Unopened {
    key: PathBuf,
}

impl Seal {
    /// With the data directory's key, which is made at the first call.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, ControlError> {
        let path = data_dir.join(FILE);
        let key = RandomizedNonceKey::new(&AES_256_GCM, &files::private_key(&path)?)
            .expect("it has the length of the cipher's keys");
        Ok(Self { key, path })
    }

    /// `place` is where the sealed text will be kept: it opens nowhere else.
    pub(crate) fn seal(&self, place: &str, secret: &str) -> String {
        let mut text = secret.as_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(place), &mut text)
            .expect("a secret is far shorter than what the cipher takes");
        STANDARD.encode([&nonce.as_ref()[..], &text].concat())
    }

    /// The secret that was sealed for this place.
    pub(crate) fn unseal(&self, place: &str, sealed: &str) -> Result<Zeroizing<String>, Unopened> {
        self.try_unseal(place, sealed).ok_or_else(|| Unopened { key: self.path.clone() })
    }

    fn try_unseal(&self, place: &str, sealed: &str) -> Option<Zeroizing<String>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(place), &mut text).ok()?;
        Some(Zeroizing::new(str::from_utf8(opened).ok()?.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_opens_with_the_same_key_at_the_same_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(dir.path()).unwrap();
        let sealed = seal.seal("hosts/a", "a secret");
        assert!(!sealed.contains("secret"));
        assert_ne!(sealed, seal.seal("hosts/a", "a secret"), "each time another nonce");
        assert_eq!(*Seal::open(dir.path()).unwrap().unseal("hosts/a", &sealed).unwrap(), "a secret");
        assert!(seal.unseal("hosts/b", &sealed).is_err());
        assert!(seal.unseal("hosts/a", &sealed.replacen(&sealed[20..21], "!", 1)).is_err());
        assert!(seal.unseal("hosts/a", "").is_err());
        let other = tempfile::tempdir().unwrap();
        assert!(Seal::open(other.path()).unwrap().unseal("hosts/a", &sealed).is_err());
    }

    #[test]
    fn only_the_owner_may_read_the_key() {
        let dir = tempfile::tempdir().unwrap();
        Seal::open(dir.path()).unwrap();
        let file = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "junk").unwrap();
        assert!(matches!(Seal::open(dir.path()), Err(ControlError::BadFile { .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "junk", "it is not replaced");
    }
}
