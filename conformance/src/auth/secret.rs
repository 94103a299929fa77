//! A secret as people hand it over: `DHHC-1:hh:base64:` (Base §8.3.4.5.8).

use std::fmt;

use nvmeof::{Nqn, key_text};
use zeroize::Zeroizing;

use super::hash::Hash;

/// A host's or a controller's secret. `Debug` does not show it.
#[derive(Clone)]
pub struct Secret {
    key: Zeroizing<Vec<u8>>,
    /// The hash function that makes another key of it for each name.
    transform: Option<Hash>,
}

/// Why a text is no secret; it holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("it is not of the form DHHC-1:hh:base64: with a hash from 00 to 03")]
    Form,
    #[error("its key has not 32, 48 or 64 bytes")]
    Length,
    #[error("its checksum is wrong")]
    Checksum,
}

impl Secret {
    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let fields: Vec<&str> = text.split(':').collect();
        let ["DHHC-1", hash, encoded, ""] = fields[..] else { return Err(SecretError::Form) };
        let transform = match hash {
            "00" => None,
            "01" => Some(Hash::Sha256),
            "02" => Some(Hash::Sha384),
            "03" => Some(Hash::Sha512),
            _ => return Err(SecretError::Form),
        };
        let read = key_text::read(encoded).map_err(|_| SecretError::Form)?;
        match read.key.len() {
            32 | 48 | 64 if read.checksum_fits => Ok(Self { key: read.key, transform }),
            32 | 48 | 64 => Err(SecretError::Checksum),
            _ => Err(SecretError::Length),
        }
    }

    /// The key by which `owner`, a host or a subsystem, is known (Base §8.3.4.5.7).
    pub(super) fn key_of(&self, owner: &Nqn) -> Zeroizing<Vec<u8>> {
        match self.transform {
            None => self.key.clone(),
            Some(hash) => {
                let name = format!("{}NVMe-over-Fabrics", owner.as_str());
                Zeroizing::new(hash.hmac(&self.key, name.as_bytes()))
            }
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
    fn keys_are_those_of_another_program() {
        let name = Nqn::new(NAME).unwrap();
        let plain = Secret::parse(PLAIN).unwrap();
        assert_eq!(*plain.key_of(&name), (0..32).collect::<Vec<u8>>());
        let secret = Secret { transform: Some(Hash::Sha256), ..plain };
        assert_eq!(secret.key_of(&name), Secret::parse(TRANSFORMED).unwrap().key);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let table = [
            ("", SecretError::Form),
            ("DHHC-1:00:AAAA", SecretError::Form),
            ("DHHC-1:04:AAAA:", SecretError::Form),
            ("DHHC-1:00:*:", SecretError::Form),
            ("DHHC-1:00:AAAAAAAAAAA=:", SecretError::Length),
            (&PLAIN.replace("AAEC", "AAED"), SecretError::Checksum),
        ];
        for (text, why) in table {
            assert_eq!(Secret::parse(text).err(), Some(why), "{text}");
        }
    }
}
