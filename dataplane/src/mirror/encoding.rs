//! How messages and durable fields are written down: postcard's wire format, which is stable and compact.

use serde::{Serialize, de::DeserializeOwned};

/// Bytes that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes make no sense")]
pub(super) struct Malformed;

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("our own values can be written down")
}

/// All of the bytes, no more and no less.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| Malformed)?;
    if rest.is_empty() { Ok(value) } else { Err(Malformed) }
}
