//! The forms of openssl, with code of the tests' own: `enc -aes-256-cbc -pbkdf2`, and keys in PEM.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{
        AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
        UnboundCipherKey,
    },
    iv::FixedLength,
    pbkdf2,
};
use base64::{Engine, engine::general_purpose::STANDARD};

fn derive(pass_phrase: &str, salt: &[u8]) -> (UnboundCipherKey, [u8; 16]) {
    let mut bytes = [0; 48];
    let rounds = NonZeroU32::new(10_000).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, pass_phrase.as_bytes(), &mut bytes);
    (UnboundCipherKey::new(&AES_256, &bytes[..32]).unwrap(), bytes[32..].try_into().unwrap())
}

pub(super) fn encrypt(pass_phrase: &str, plain: &[u8]) -> Vec<u8> {
    let salt = *b"saltsalt";
    let (key, iv) = derive(pass_phrase, &salt);
    let mut bytes = plain.to_vec();
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(&mut bytes, context).unwrap();
    [b"Salted__", &salt[..], &bytes].concat()
}

pub(super) fn decrypt(pass_phrase: &str, sealed: &[u8]) -> Vec<u8> {
    let (salt, text) = sealed.strip_prefix(b"Salted__").unwrap().split_at(8);
    let (key, iv) = derive(pass_phrase, salt);
    let mut bytes = text.to_vec();
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).unwrap();
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    key.decrypt(&mut bytes, context).unwrap().to_vec()
}

/// `der`: a SubjectPublicKeyInfo.
pub(super) fn public_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}
