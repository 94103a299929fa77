//! The keys that an authorization server signs with: one public key, or its key set, which is kept and fetched again
//! when a token names a key that is not in it.

use std::time::Duration;

use jsonwebtoken::{
    Header,
    jwk::{Jwk, JwkSet},
};
use tokio::{sync::Mutex, time::Instant};

use super::config::KeySource;
use crate::{
    jwt_key::{Key, public_key},
    outbound::{HttpsError, HttpsUrl, Trust, get},
};

/// Tokens with made-up key ids must not make us flood the authorization server.
const BETWEEN_FETCHES: Duration = Duration::from_secs(2);
/// A key that was taken out of the set stops to count after this time at the latest.
const FRESH: Duration = Duration::from_secs(300);

pub(crate) struct Keys {
    source: Source,
}

enum Source {
    One(Key),
    Set { url: HttpsUrl, trust: Trust, fetched: Mutex<Option<Fetched>> },
}

struct Fetched {
    set: JwkSet,
    /// Of the set.
    at: Instant,
    /// Of the last try, which may have failed.
    tried: Instant,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("the public key is neither RSA nor EC")]
    NoKey,
    #[error("the key set's URL {0}")]
    Url(&'static str),
    #[error(transparent)]
    Fetch(#[from] HttpsError),
    #[error("{0} does not answer with a key set")]
    NoSet(HttpsUrl),
}

impl Keys {
    pub(crate) fn new(source: &KeySource, trust: &Trust) -> Result<Self, KeysError> {
        let source = match source {
            KeySource::PublicKey(text) => Source::One(public_key(text).ok_or(KeysError::NoKey)?),
            KeySource::JwkSetUrl(url) => Source::Set {
                url: url.parse().map_err(KeysError::Url)?,
                trust: trust.clone(),
                fetched: Mutex::default(),
            },
        };
        Ok(Self { source })
    }

    /// The keys that may have signed a token with this header.
    pub(crate) async fn candidates(&self, header: &Header) -> Result<Vec<Key>, KeysError> {
        let (url, trust, fetched) = match &self.source {
            Source::One(key) => return Ok(vec![key.clone()]),
            Source::Set { url, trust, fetched } => (url, trust, fetched),
        };
        let mut fetched = fetched.lock().await;
        let now = Instant::now();
        let (known, tried, stale) = match &*fetched {
            None => (Vec::new(), None, true),
            Some(it) => (matching(&it.set, header), Some(it.tried), now - it.at > FRESH),
        };
        let rested = tried.is_none_or(|tried| now - tried > BETWEEN_FETCHES);
        if !rested || !(known.is_empty() || stale) {
            return Ok(known);
        }
        match fetch(url, trust).await {
            Ok(set) => {
                let found = matching(&set, header);
                *fetched = Some(Fetched { set, at: now, tried: now });
                Ok(found)
            }
            // What it said before still counts: an authorization server that is away locks nobody out.
            Err(error) => match &mut *fetched {
                Some(it) => {
                    it.tried = now;
                    tracing::warn!(%error, "the authorization server's keys could not be fetched again");
                    Ok(known)
                }
                None => Err(error),
            },
        }
    }
}

async fn fetch(url: &HttpsUrl, trust: &Trust) -> Result<JwkSet, KeysError> {
    let bytes = get(trust, url).await?;
    serde_json::from_slice(&bytes).map_err(|_| KeysError::NoSet(url.clone()))
}

fn matching(set: &JwkSet, header: &Header) -> Vec<Key> {
    let named = |jwk: &&Jwk| header.kid.is_none() || jwk.common.key_id == header.kid;
    let keys = set.keys.iter().filter(named).filter_map(Key::of_jwk);
    keys.filter(|key| key.algorithms.contains(&header.alg)).collect()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_public_keys_of_signatures_are_candidates() {
        let set: JwkSet = serde_json::from_value(json!({"keys": [
            {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
            {"kty": "EC", "kid": "b", "use": "enc", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "EC", "kid": "c", "use": "sig", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "RSA", "kid": "d", "n": "AQAB", "e": "AQAB"},
        ]}))
        .unwrap();
        let found = |algorithm, kid: Option<&str>| {
            let mut header = Header::new(algorithm);
            header.kid = kid.map(str::to_owned);
            matching(&set, &header).len()
        };
        assert_eq!(found(Algorithm::HS256, Some("a")), 0);
        assert_eq!(found(Algorithm::HS256, Some("d")), 0, "a public key is no shared secret");
        assert_eq!(found(Algorithm::ES256, Some("b")), 0);
        assert_eq!(found(Algorithm::ES256, Some("c")), 1);
        assert_eq!(found(Algorithm::RS256, Some("d")), 1);
        assert_eq!(found(Algorithm::RS256, None), 1);
        assert_eq!(found(Algorithm::ES256, Some("e")), 0);
    }
}
