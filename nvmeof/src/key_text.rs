//! How secrets and TLS keys are written down: base64 of the key and its CRC-32, between what each kind adds.

use base64::{Engine, engine::general_purpose::STANDARD};
use crc_fast::{CrcAlgorithm, checksum};
use zeroize::Zeroizing;

/// A key that was read. Its length comes first in what is wrong with it, so the checksum is for the caller to judge.
pub(crate) struct Read {
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) checksum_fits: bool,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    NoBase64,
    /// Not even a checksum.
    Short,
}

pub(crate) fn read(text: &str) -> Result<Read, Unreadable> {
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
