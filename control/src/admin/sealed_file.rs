//! Files in the form of `openssl enc -aes-256-cbc -pbkdf2`: `Salted__`, eight bytes of salt, AES-256-CBC under a key that
//! PBKDF2-HMAC-SHA256 makes of a pass phrase in 10,000 rounds.

use std::{
    io::{self, Read, Write},
    num::NonZeroU32,
};

use aws_lc_rs::{
    cipher::{
        AES_256, DecryptionContext, EncryptionContext, StreamingDecryptingKey, StreamingEncryptingKey,
        UnboundCipherKey,
    },
    error::Unspecified,
    iv::FixedLength,
    pbkdf2,
};
use zeroize::Zeroizing;

use crate::random;

const MAGIC: &[u8; 8] = b"Salted__";
const ROUNDS: NonZeroU32 = NonZeroU32::new(10_000).expect("it is not zero");
const KEY_BYTES: usize = 32;
const BLOCK_BYTES: usize = 16;
const CHUNK_BYTES: usize = 64 << 10;

fn derive(pass_phrase: &str, salt: &[u8]) -> (UnboundCipherKey, [u8; BLOCK_BYTES]) {
    let mut bytes = Zeroizing::new([0; KEY_BYTES + BLOCK_BYTES]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, pass_phrase.as_bytes(), &mut *bytes);
    let (key, iv) = bytes.split_at(KEY_BYTES);
    let key = UnboundCipherKey::new(&AES_256, key).expect("it has the length of the cipher's keys");
    (key, iv.try_into().expect("the rest is a block"))
}

fn failed<E>(_: E) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "it cannot be decrypted: the key is another one, or it was changed",
    )
}

/// Writes what `cipher` makes of all that is left to read, but for its end; `cipher` says how much it made.
fn pump(
    mut from: impl Read,
    to: &mut impl Write,
    mut cipher: impl FnMut(&[u8], &mut [u8]) -> Result<usize, Unspecified>,
) -> io::Result<()> {
    let (mut input, mut output) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES + BLOCK_BYTES]);
    loop {
        let n = from.read(&mut input)?;
        if n == 0 {
            return Ok(());
        }
        let made = cipher(&input[..n], &mut output).map_err(failed)?;
        to.write_all(&output[..made])?;
    }
}

/// A fresh salt each time.
pub(crate) fn encrypt(pass_phrase: &str, from: impl Read, mut to: impl Write) -> io::Result<()> {
    let salt = random::bytes::<8>();
    to.write_all(MAGIC)?;
    to.write_all(&salt)?;
    let (key, iv) = derive(pass_phrase, &salt);
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    let mut cipher = StreamingEncryptingKey::less_safe_cbc_pkcs7(key, context).map_err(failed)?;
    pump(from, &mut to, |input, output| Ok(cipher.update(input, output)?.written().len()))?;
    let mut last = [0; BLOCK_BYTES];
    let (_, update) = cipher.finish(&mut last).map_err(failed)?;
    to.write_all(update.written())
}

/// `InvalidData`: another key, or no such file. What was written by then is worth nothing.
pub(crate) fn decrypt(pass_phrase: &str, mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut head = [0; MAGIC.len() + 8];
    from.read_exact(&mut head).map_err(failed)?;
    let Some(salt) = head.strip_prefix(MAGIC) else { return Err(failed(())) };
    let (key, iv) = derive(pass_phrase, salt);
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let mut cipher = StreamingDecryptingKey::cbc_pkcs7(key, context).map_err(failed)?;
    pump(from, &mut to, |input, output| Ok(cipher.update(input, output)?.written().len()))?;
    let mut last = [0; BLOCK_BYTES];
    let update = cipher.finish(&mut last).map_err(failed)?;
    to.write_all(update.written())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf hello | openssl enc -aes-256-cbc -pbkdf2 -pass pass:secret -S 0102030405060708`, with its head.
    const OF_OPENSSL: &str = include_str!("sealed_file_openssl.hex");

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.trim().bytes().map(|b| char::from(b).to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn files_of_openssl_are_opened() {
        let mut out = Vec::new();
        decrypt("secret", bytes(OF_OPENSSL).as_slice(), &mut out).unwrap();
        assert_eq!(out, b"hello");
    }

    #[test]
    fn every_length_comes_back_and_nothing_else_is_opened() {
        for length in [0, 1, 15, 16, 17, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
            let plain: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            encrypt("a", plain.as_slice(), &mut sealed).unwrap();
            decrypt("a", sealed.as_slice(), &mut opened).unwrap();
            assert_eq!(opened, plain);
            let cut = &sealed[..sealed.len() - 1];
            assert!(decrypt("a", cut, io::sink()).is_err(), "{length}");
        }
        for junk in [&b""[..], b"Salted__", b"Salted__12345678", &[7; 100]] {
            assert!(decrypt("a", junk, io::sink()).is_err());
        }
    }
}
