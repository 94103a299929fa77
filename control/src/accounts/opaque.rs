//! Tokens of the role API: 64 hex digits of 256 random bits, found by their digest (role.md §1.2).

use sha2::{Digest, Sha256};

use crate::random;

/// A new token's text.
pub(crate) fn new_token() -> String {
    hex(&random::bytes::<32>())
}

/// What is kept of it. The text is random and long, so that its digest can neither be guessed nor approached.
pub(crate) fn token_digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_digests_are_64_hex_digits() {
        let (a, b) = (new_token(), new_token());
        assert_ne!(a, b);
        for text in [&a, &token_digest(&a)] {
            assert!(text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{text}");
        }
        assert!(token_digest("abc").starts_with("ba7816bf"));
    }
}
