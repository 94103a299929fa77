//! How secrets and TLS keys are written down: base64 of the key and its CRC-32, between what each kind adds.

use base64::{Engine, engine::general_purpose::STANDARD};
use crc_fast::{CrcAlgorithm, checksum};
use zeroize::Zeroizing;

/// A key that was read. Its length comes first in what is wrong with it, so the checksum is for the caller to judge.
pub struct Read {
    /// Cleared when dropped.
    pub key: Zeroizing<Vec<u8>>,
    /// Whether the CRC-32 behind the key is the key's.
    pub checksum_fits: bool,
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Read")
    }
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    NoBase64,
    /// Not even a checksum.
    Short,
}

/// Reads base64 of a key and its CRC-32.
///
/// # Errors
/// If it is no base64, or too short for a checksum; whether that fits, the caller judges.
pub fn read(text: &str) -> Result<Read, Unreadable> {
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| Unreadable::NoBase64)?);
    let (key, crc) = bytes.split_last_chunk().ok_or(Unreadable::Short)?;
    let checksum_fits = u32::from_le_bytes(*crc) == crc32(key);
    Ok(Read { key: Zeroizing::new(key.to_vec()), checksum_fits })
}

pub(crate) fn write(key: &[u8]) -> Zeroizing<String> {
    let bytes = Zeroizing::new([key, &crc32(key).to_le_bytes()[..]].concat());
    Zeroizing::new(STANDARD.encode(&*bytes))
}

/// CRC-32 of RFC 1952.
fn crc32(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32IsoHdlc, bytes) as u32
}
