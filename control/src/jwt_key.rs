//! Public keys that others' signed tokens are checked with.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{Jwk, PublicKeyUse},
};

/// What signatures are taken: RSA and ECDSA, never a shared secret.
const RSA: [Algorithm; 3] = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
const EC: [Algorithm; 2] = [Algorithm::ES256, Algorithm::ES384];

/// A key, and the algorithms that it may be used with.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) key: DecodingKey,
    pub(crate) algorithms: Vec<Algorithm>,
}

impl Key {
    fn new(key: DecodingKey) -> Option<Self> {
        let algorithms = match key.family() {
            AlgorithmFamily::Rsa => RSA.to_vec(),
            AlgorithmFamily::Ec => EC.to_vec(),
            AlgorithmFamily::Hmac | AlgorithmFamily::Ed => return None,
        };
        Some(Self { key, algorithms })
    }

    /// `None`: it is of another kind, or for something else than signatures.
    pub(crate) fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        DecodingKey::from_jwk(jwk).ok().filter(|_| signs).and_then(Self::new)
    }
}

/// A public key, RSA or EC, in PEM or as the bare base64 of an SPKI; `None`: it is neither.
pub(crate) fn public_key(text: &str) -> Option<Key> {
    let pem = if text.contains("-----BEGIN") { text.to_owned() } else { armoured(text) };
    // The parser would take a private key, too, and not say so.
    if !pem.contains("-----BEGIN PUBLIC KEY-----") {
        return None;
    }
    let rsa = DecodingKey::from_rsa_pem(pem.as_bytes());
    rsa.or_else(|_| DecodingKey::from_ec_pem(pem.as_bytes())).ok().and_then(Key::new)
}

fn armoured(base64: &str) -> String {
    let base64: Vec<char> = base64.chars().filter(|c| !c.is_whitespace()).collect();
    let lines: Vec<String> = base64.chunks(64).map(|line| line.iter().collect()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_keys_in_both_forms_and_nothing_else() {
        let ec = rcgen::KeyPair::generate().unwrap();
        let pem = ec.public_key_pem();
        let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        for text in [pem, bare] {
            assert_eq!(public_key(&text).unwrap().algorithms, EC);
        }
        let rsa =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        assert_eq!(public_key(&rsa.public_key_pem()).unwrap().algorithms, RSA);
        for text in ["", "AAAA", "ü", ec.serialize_pem().as_str()] {
            assert!(public_key(text).is_none(), "{text}");
        }
    }
}
