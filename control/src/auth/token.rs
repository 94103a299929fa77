//! The administrator's token of the first start: we keep its digest, the owner keeps the file.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

use crate::{
    ControlError, credentials, files,
    store::{MetaStore, Op, StoreError},
};

const TOKEN_KEY: &str = "credentials/token";

type TokenDigest = [u8; 32];

pub(crate) struct Tokens {
    store: Arc<dyn MetaStore>,
    file: PathBuf,
    /// `None`: no token is valid.
    current: RwLock<Option<TokenDigest>>,
    /// One rotation at a time: file and store must name the same token.
    rotating: Mutex<()>,
}

/// Why a token could not be replaced; the old one is still valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    #[error(transparent)]
    File(#[from] ControlError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Tokens {
    /// What the token file holds is valid; the stored digest serves where the owner has taken the file away.
    /// A crash in the middle of a rotation is thereby settled for the new token.
    pub(crate) async fn open(store: Arc<dyn MetaStore>, credentials: &Path) -> Result<Self, RotateError> {
        let file = credentials.join(credentials::TOKEN);
        let current = match files::read_if_there(&file)? {
            Some(text) => {
                let digest = digest(text.trim());
                put(&*store, TOKEN_KEY, digest.to_vec()).await?;
                Some(digest)
            }
            None => store.get(TOKEN_KEY).await?.and_then(|e| e.value.try_into().ok()),
        };
        Ok(Self { store, file, current: RwLock::new(current), rotating: Mutex::default() })
    }

    pub(crate) fn is_valid(&self, token: &str) -> bool {
        let current = *self.current.read().unwrap_or_else(PoisonError::into_inner);
        // Digests are compared, in constant time: how long it takes says nothing about the token.
        current.is_some_and(|current| bool::from(current.ct_eq(&digest(token))))
    }

    /// Makes a new token, in the file and as digest; the old one is refused from now on.
    pub(crate) async fn rotate(&self) -> Result<String, RotateError> {
        let _one = self.rotating.lock().await;
        let token = credentials::new_token();
        files::write_private(&self.file, &format!("{token}\n"))?;
        let digest = digest(&token);
        put(&*self.store, TOKEN_KEY, digest.to_vec()).await?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        Ok(token)
    }
}

fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

async fn put(store: &dyn MetaStore, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
    store.txn(Vec::new(), vec![Op::Put { key: key.to_owned(), value }]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RedbStore;

    async fn open(dir: &Path) -> Tokens {
        let store = Arc::new(RedbStore::open(&dir.join("store.redb")).unwrap());
        Tokens::open(store, dir).await.unwrap()
    }

    #[tokio::test]
    async fn rotation_replaces_file_and_digest() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "first\n").unwrap();
        let tokens = open(dir.path()).await;
        assert!(tokens.is_valid("first") && !tokens.is_valid("First") && !tokens.is_valid(""));
        let second = tokens.rotate().await.unwrap();
        assert!(tokens.is_valid(&second) && !tokens.is_valid("first"));
        assert_eq!(std::fs::read_to_string(dir.path().join("token")).unwrap().trim(), second);
        drop(tokens);
        assert!(open(dir.path()).await.is_valid(&second));
    }

    #[tokio::test]
    async fn without_its_file_the_token_stays_valid_and_the_store_does_not_show_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "kept-elsewhere\n").unwrap();
        drop(open(dir.path()).await);
        std::fs::remove_file(dir.path().join("token")).unwrap();
        assert!(open(dir.path()).await.is_valid("kept-elsewhere"));
        let stored = std::fs::read(dir.path().join("store.redb")).unwrap();
        assert!(!stored.windows(14).any(|w| w == b"kept-elsewhere"));
    }
}
