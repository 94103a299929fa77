//! Header and data digests: CRC-32C (TCP §3.3.1.2).

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

/// A CRC-32C over bytes that come in pieces.
#[derive(Debug, Clone, Copy)]
pub struct Crc32c(Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc32c {
    /// Of no bytes yet.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Of all of `bytes` at once; quicker than in pieces.
    pub fn of(bytes: &[u8]) -> u32 {
        crc32_iscsi(bytes)
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces so far.
    pub fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook bit-by-bit CRC, so that a broken vector path on some machine cannot agree with itself.
    fn slow(bytes: &[u8]) -> u32 {
        let mut crc = !0_u32;
        for &byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn check_value_and_every_length() {
        assert_eq!(Crc32c::of(b"123456789"), 0xE306_9283);
        let bytes: Vec<u8> = (0..600_u32).map(|i| (i * 7 + i / 256) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(Crc32c::of(&bytes[..len]), slow(&bytes[..len]), "length {len}");
        }
    }

    #[test]
    fn pieces_give_the_same_digest() {
        let bytes: Vec<u8> = (0..300_u32).map(|i| i as u8).collect();
        for cut in 0..bytes.len() {
            let mut crc = Crc32c::new();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.value(), Crc32c::of(&bytes), "cut {cut}");
        }
    }
}
