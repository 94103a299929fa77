//! Bearer texts: `1:` and the base64 of an id and a secret (session.md §4). The id finds the record, which keeps
//! the secret's digest only.

use std::{fmt::Display, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::random;

/// Of an access token (below 2^63, which clients see in decimal) or of a session (from there on).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct BearerId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BearerKind {
    Session,
    AccessToken,
}

const SESSION_BIT: u64 = 1 << 63;

impl BearerId {
    pub(crate) fn kind(self) -> BearerKind {
        if self.0 & SESSION_BIT == 0 { BearerKind::AccessToken } else { BearerKind::Session }
    }
}

impl Display for BearerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for BearerId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What is kept of a bearer's secret. The secret has 256 random bits, so a plain digest cannot be guessed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretDigest(String);

impl SecretDigest {
    fn of(secret: &[u8]) -> Self {
        Self(BASE64_STANDARD.encode(Sha256::digest(secret)))
    }

    /// In a time that says nothing about the secret.
    pub(crate) fn is_of(&self, bearer: &Bearer) -> bool {
        Self::of(&bearer.secret).0.as_bytes().ct_eq(self.0.as_bytes()).into()
    }
}

/// What a client holds. Not printable: the secret must not reach a log.
pub(crate) struct Bearer {
    pub(crate) id: BearerId,
    secret: [u8; 32],
}

impl Bearer {
    pub(crate) fn new(kind: BearerKind) -> Self {
        let id = u64::from_le_bytes(random::bytes());
        let id = match kind {
            BearerKind::Session => id | SESSION_BIT,
            BearerKind::AccessToken => id & !SESSION_BIT,
        };
        Self { id: BearerId(id), secret: random::bytes() }
    }

    pub(crate) fn digest(&self) -> SecretDigest {
        SecretDigest::of(&self.secret)
    }

    pub(crate) fn text(&self) -> String {
        let mut bytes = self.id.0.to_le_bytes().to_vec();
        bytes.extend(self.secret);
        format!("1:{}", BASE64_STANDARD.encode(bytes))
    }

    /// `None` for anything that we never gave out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 40] = BASE64_STANDARD.decode(text.strip_prefix("1:")?).ok()?.try_into().ok()?;
        let (id, secret) = bytes.split_first_chunk()?;
        Some(Self { id: BearerId(u64::from_le_bytes(*id)), secret: secret.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_back_and_only_its_own_secret_fits() {
        for kind in [BearerKind::Session, BearerKind::AccessToken] {
            let bearer = Bearer::new(kind);
            let read = Bearer::parse(&bearer.text()).unwrap();
            assert_eq!((read.id, read.id.kind()), (bearer.id, kind));
            assert!(bearer.digest().is_of(&read));
            assert!(!Bearer::new(kind).digest().is_of(&read));
        }
    }

    #[test]
    fn other_texts_are_no_bearers() {
        let good = Bearer::new(BearerKind::Session).text();
        for text in
            ["", "1:", "2:AAAA", "1:!!!!", &good[2..], &good[..good.len() - 4], &format!("{good}AAAA")]
        {
            assert!(Bearer::parse(text).is_none(), "{text}");
        }
    }
}
