//! A secret as people hand it over: `DHHC-1:hh:base64:` (Base §8.3.4.5.8).

use std::fmt;

use zeroize::Zeroizing;

use super::hash::HashFunction;
use crate::{
    Nqn,
    key_text::{self, Unreadable},
};

/// A host's or a controller's secret. Not shown by `Debug`, and cleared when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    key: Zeroizing<Vec<u8>>,
    /// The key is used as this makes it, different for each name; `None`: as it is.
    transform: Option<HashFunction>,
}

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("it is not of the form DHHC-1:hh:base64:")]
    Form,
    #[error("its hash is none of 00, 01, 02 and 03")]
    Hash,
    #[error("its key has not 32, 48 or 64 bytes")]
    Length,
    #[error("its checksum is wrong: a character is missing or mistyped")]
    Checksum,
}

impl Secret {
    /// From random bytes; as many as the hash function's digest has, so that the key is as strong as it.
    pub fn generate(transform: HashFunction, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut key = Zeroizing::new(vec![0; transform.digest_bytes()]);
        fill(&mut key);
        Self { key, transform: Some(transform) }
    }

    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong with the text; never a part of it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let rest = text.strip_prefix("DHHC-1:").ok_or(SecretError::Form)?;
        let (hash, rest) = rest.split_once(':').ok_or(SecretError::Form)?;
        let encoded = rest.strip_suffix(':').ok_or(SecretError::Form)?;
        let transform = match hash {
            "00" => None,
            "01" => Some(HashFunction::Sha256),
            "02" => Some(HashFunction::Sha384),
            "03" => Some(HashFunction::Sha512),
            _ => return Err(SecretError::Hash),
        };
        let read = key_text::read(encoded).map_err(|why| match why {
            Unreadable::NoBase64 => SecretError::Form,
            Unreadable::Short => SecretError::Length,
        })?;
        if !matches!(read.key.len(), 32 | 48 | 64) {
            return Err(SecretError::Length);
        }
        if !read.checksum_fits {
            return Err(SecretError::Checksum);
        }
        Ok(Self { key: read.key, transform })
    }

    /// Its text, for the one who keeps it.
    pub fn to_text(&self) -> Zeroizing<String> {
        let hash = self.transform.map_or(0, |hash| hash as u8);
        Zeroizing::new(format!("DHHC-1:{hash:02}:{}:", *key_text::write(&self.key)))
    }

    /// The key that `owner` proves to have: a host's secret by the host's name, a controller's by its subsystem's.
    pub(super) fn key_of(&self, owner: &Nqn) -> Zeroizing<Vec<u8>> {
        match self.transform {
            None => self.key.clone(),
            Some(hash) => hash.hmac(&self.key, &[owner.as_str().as_bytes(), b"NVMe-over-Fabrics"]),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `nvme gen-dhchap-key` makes of the bytes 0 to 31: as they are, and transformed for [`NAME`].
    const PLAIN: &str = "DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:";
    const TRANSFORMED: &str = "DHHC-1:01:a04E0in/h9rGUwyRPirk0EHWZb3S2iivAU0Om4iZUmeoR5Bg:";
    const NAME: &str = "nqn.2014-08.org.nvmexpress:uuid:1";

    #[test]
    fn another_program_makes_the_same_of_it() {
        let key: Vec<u8> = (0..32).collect();
        let plain = Secret { key: Zeroizing::new(key), transform: None };
        assert_eq!(Secret::parse(PLAIN), Ok(plain.clone()));
        assert_eq!(*plain.to_text(), PLAIN);
        let secret = Secret { transform: Some(HashFunction::Sha256), ..plain };
        let key = secret.key_of(&Nqn::new(NAME).unwrap());
        assert_eq!(key, Secret::parse(TRANSFORMED).unwrap().key);
    }

    #[test]
    fn a_secret_is_the_same_after_its_text() {
        for hash in HashFunction::ALL {
            let secret = Secret::generate(hash, |key| key.fill(0xA5));
            let text = secret.to_text();
            assert!(
                text.starts_with(&format!("DHHC-1:0{}:", hash as u8)) && text.ends_with(':'),
                "{}",
                *text
            );
            assert_eq!(Secret::parse(&text), Ok(secret));
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_by_what_is_wrong() {
        let good = Secret::generate(HashFunction::Sha256, |key| key.fill(7)).to_text();
        let table = [
            ("", SecretError::Form),
            ("DHHC-1", SecretError::Form),
            ("DHHC-2:00:AAAA:", SecretError::Form),
            ("DHHC-1:00:AAAA", SecretError::Form),
            ("DHHC-1:00:*:", SecretError::Form),
            ("DHHC-1:04:AAAA:", SecretError::Hash),
            ("DHHC-1:1:AAAA:", SecretError::Hash),
            ("DHHC-1:00:AAA=:", SecretError::Length),
            ("DHHC-1:00:AAAAAAAAAAA=:", SecretError::Length),
            (&good.replace("BwcH", "BwcI"), SecretError::Checksum),
        ];
        for (text, why) in table {
            assert_eq!(Secret::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let secret = Secret::generate(HashFunction::Sha512, |key| key.fill(7));
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn the_key_depends_on_the_name_if_it_is_transformed() {
        let (one, two) = (Nqn::new("nqn.x:one").unwrap(), Nqn::new("nqn.x:two").unwrap());
        let plain = Secret { key: Zeroizing::new(vec![7; 32]), transform: None };
        assert_eq!(plain.key_of(&one), plain.key_of(&two));
        for hash in HashFunction::ALL {
            let secret = Secret::generate(hash, |key| key.fill(7));
            assert_ne!(secret.key_of(&one), secret.key_of(&two));
            assert_eq!(secret.key_of(&one).len(), hash.digest_bytes());
        }
    }
}
