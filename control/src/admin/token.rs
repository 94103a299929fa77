//! The one credential of the administration API: a token, of which only the digest is kept (admin.md §1).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::hmac;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use tokio::{sync::Semaphore, time::sleep};

use super::{hex, passphrase};
use crate::{ControlError, files, limits};

/// In the credentials' directory: the passphrase of a first start, empty once it was used.
pub(crate) const SETUP_TOKEN: &str = "setup-token";
const TOKEN_DIGEST: &str = "admin-token.sha256";

/// A failed `POST /setup` is answered no sooner (admin.md §1.1).
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// The SHA-256 of a token in lower-case hexadecimal, which is also the key of its HMACs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest(String);

impl Digest {
    fn of(token: &str) -> Self {
        Self(hex(&Sha256::digest(token.as_bytes())))
    }

    fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// In a time that says nothing about either.
    fn is_of(&self, token: &str) -> bool {
        self.0.as_bytes().ct_eq(Self::of(token).0.as_bytes()).into()
    }

    /// `message`: the method and, right behind it, the path.
    fn has_signed(&self, message: &str, hash: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        let expected = hex(hmac::sign(&key, message.as_bytes()).as_ref());
        expected.as_bytes().ct_eq(hash.as_bytes()).into()
    }
}

/// What a request brings in its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Token(String),
    /// Of this very operation. Where there is one, nothing else counts.
    Hash(String),
}

impl Credential {
    pub(crate) fn find(query: &[(String, String)]) -> Option<Self> {
        let value =
            |name: &str| query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        value("hash").map(Self::Hash).or_else(|| value("token").map(Self::Token))
    }
}

/// Leave to set a token: it holds while the token is the one that was judged.
#[derive(Debug)]
pub(crate) struct SetupPermit {
    replaces: Option<Digest>,
}

/// Why a token could not be set; the old one stays valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("newtoken must have 1 to 255 characters")]
    Length,
    #[error("newtoken may have printable ASCII characters only, no spaces")]
    Characters,
    #[error("another token was set meanwhile")]
    Raced,
    #[error("the token could not be stored: {0}")]
    File(#[from] ControlError),
}

pub(crate) struct AdminToken {
    file: PathBuf,
    setup_file: PathBuf,
    /// Somebody may set the first token without one: only where no first start makes a passphrase.
    may_claim: bool,
    current: RwLock<Option<Digest>>,
    /// The passphrase was not used yet: nothing but setup is let in.
    is_pending: AtomicBool,
    /// One change at a time: file and memory must agree.
    changing: Mutex<()>,
    /// One attempt at a time, so that the pause cannot be got around by asking twice at once.
    attempts: Semaphore,
    /// Attempts that may wait for their turn.
    waiting: Semaphore,
}

impl AdminToken {
    /// Makes the passphrase of a first start if there is no token. A crash between its two files, or between those of
    /// a setup, is settled for the newer token.
    pub(crate) fn open(credentials: &Path, first_run_words: Option<usize>) -> Result<Self, ControlError> {
        let file = credentials.join(TOKEN_DIGEST);
        let setup_file = credentials.join(SETUP_TOKEN);
        let mut current = match files::read_if_there(&file)? {
            None => None,
            Some(text) => Some(
                Digest::parse(text.trim())
                    .ok_or_else(|| ControlError::bad_file(&file, "holds no SHA-256"))?,
            ),
        };
        let mut setup = files::read_if_there(&setup_file)?.unwrap_or_default().trim().to_owned();
        if let (None, Some(words)) = (&current, first_run_words) {
            setup = passphrase::passphrase(words);
            // In this order: a token that nobody knows would be of no use.
            files::write_private(&setup_file, &format!("{setup}\n"))?;
            let digest = Digest::of(&setup);
            files::write_private(&file, &format!("{}\n", digest.0))?;
            current = Some(digest);
        }
        if !setup.is_empty() && !current.as_ref().is_some_and(|digest| digest.is_of(&setup)) {
            files::write_private(&setup_file, "")?;
            setup.clear();
        }
        Ok(Self {
            file,
            setup_file,
            may_claim: first_run_words.is_none(),
            current: RwLock::new(current),
            is_pending: AtomicBool::new(!setup.is_empty()),
            changing: Mutex::default(),
            attempts: Semaphore::new(1),
            waiting: Semaphore::new(limits::SETUP_ATTEMPTS),
        })
    }

    /// The passphrase of the first start waits to be used.
    pub(crate) fn is_pending(&self) -> bool {
        self.is_pending.load(Ordering::Acquire)
    }

    /// Whether the credential speaks for the operation. Without a stored token nothing does.
    pub(crate) fn admits(&self, credential: Option<&Credential>, method: &str, path: &str) -> bool {
        self.current().is_some_and(|digest| match credential {
            Some(Credential::Token(token)) => digest.is_of(token),
            Some(Credential::Hash(hash)) => digest.has_signed(&format!("{method}{path}"), hash),
            None => false,
        })
    }

    /// Leave to set a token, or none, which takes its time. `is_local`: asked from this machine.
    pub(crate) async fn admit_setup(
        &self,
        credential: Option<&Credential>,
        path: &str,
        is_local: bool,
    ) -> Option<SetupPermit> {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            sleep(FAILURE_PAUSE).await;
            return None;
        };
        let _one = self.attempts.acquire().await.ok()?;
        let replaces = self.current();
        let is_first = replaces.is_none() && self.may_claim && is_local;
        if is_first || self.admits(credential, "POST", path) {
            return Some(SetupPermit { replaces });
        }
        sleep(FAILURE_PAUSE).await;
        None
    }

    /// From now on only `token` counts. Writes files.
    pub(crate) fn set(&self, permit: &SetupPermit, token: &str) -> Result<(), SetupError> {
        if token.is_empty() || token.len() > 255 {
            return Err(SetupError::Length);
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(SetupError::Characters);
        }
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.current() != permit.replaces {
            return Err(SetupError::Raced);
        }
        let digest = Digest::of(token);
        files::write_private(&self.file, &format!("{}\n", digest.0))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        if fs::exists(&self.setup_file).unwrap_or(true) {
            files::write_private(&self.setup_file, "")?;
        }
        self.is_pending.store(false, Ordering::Release);
        Ok(())
    }

    fn current(&self) -> Option<Digest> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: (&str, &str) = ("GET", "/api/v1/admin/version");

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap()
    }

    fn token(text: &str) -> Option<Credential> {
        Some(Credential::Token(text.to_owned()))
    }

    #[test]
    fn digests_and_hashes_are_those_of_the_contract() {
        let digest = Digest::of("yourtoken");
        assert_eq!(digest.0, "13e2ff941bbc8692cad141c8d293dda2c4f1c1a3c51b93d54f1a1693e1206107");
        let message = format!("{}{}", MESSAGE.0, MESSAGE.1);
        let hash = "b714a60732e096ccef06e360eefe0f1ba4fa5d16ef7da726612e2026e5523241";
        assert!(digest.has_signed(&message, hash));
        assert!(!digest.has_signed(&message, &hash.to_uppercase()) && !digest.has_signed("", hash));
    }

    #[test]
    fn a_hash_is_the_only_credential_where_there_is_one() {
        let query = |pairs: &[(&str, &str)]| {
            let owned: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Credential::find(&owned)
        };
        assert_eq!(query(&[("token", "a"), ("hash", "b")]), Some(Credential::Hash("b".to_owned())));
        assert_eq!(query(&[("token", "a"), ("token", "b")]), token("b"));
        assert_eq!(query(&[("Token", "a")]), None);
    }

    #[tokio::test]
    async fn the_first_token_is_claimed_once_and_from_here_only() {
        let dir = tempfile::tempdir().unwrap();
        let this = AdminToken::open(dir.path(), None).unwrap();
        let empty = Digest::of("");
        for nothing in [None, token(""), token("x"), Some(Credential::Hash(empty.0.clone()))] {
            assert!(!this.admits(nothing.as_ref(), MESSAGE.0, MESSAGE.1), "{nothing:?}");
        }
        let [first, second] = [
            this.admit_setup(None, "/x", true).await.unwrap(),
            this.admit_setup(None, "/x", true).await.unwrap(),
        ];
        for (wrong, why) in [("", "1 to 255"), (&"x".repeat(256) as &str, "1 to 255"), ("a b", "printable")] {
            assert!(this.set(&first, wrong).unwrap_err().to_string().contains(why));
        }
        this.set(&first, "secret").unwrap();
        assert!(matches!(this.set(&second, "other"), Err(SetupError::Raced)));
        assert!(this.admits(token("secret").as_ref(), MESSAGE.0, MESSAGE.1));
        assert!(!read(dir.path(), TOKEN_DIGEST).contains("secret"));
        let again = AdminToken::open(dir.path(), Some(4)).unwrap();
        assert!(!again.is_pending() && again.admits(token("secret").as_ref(), "GET", "/"));
    }

    #[tokio::test]
    async fn a_first_start_makes_a_passphrase_that_opens_setup_only() {
        let dir = tempfile::tempdir().unwrap();
        let this = AdminToken::open(dir.path(), Some(4)).unwrap();
        let phrase = read(dir.path(), SETUP_TOKEN).trim().to_owned();
        assert_eq!(phrase.split('-').count(), 4, "{phrase}");
        let again = AdminToken::open(dir.path(), Some(4)).unwrap();
        assert!(again.is_pending() && again.admits(token(&phrase).as_ref(), "GET", "/"), "it stays the same");
        let permit = this.admit_setup(token(&phrase).as_ref(), "/x", false).await.unwrap();
        this.set(&permit, "real").unwrap();
        assert!(!this.is_pending() && read(dir.path(), SETUP_TOKEN).is_empty());
        // A crash between the two files of a setup.
        fs::write(dir.path().join(SETUP_TOKEN), &phrase).unwrap();
        let settled = AdminToken::open(dir.path(), Some(4)).unwrap();
        assert!(!settled.is_pending() && settled.admits(token("real").as_ref(), "GET", "/"));
        assert!(read(dir.path(), SETUP_TOKEN).is_empty());
        fs::write(dir.path().join(TOKEN_DIGEST), "junk").unwrap();
        assert!(AdminToken::open(dir.path(), Some(4)).is_err(), "a damaged digest lets nobody claim it");
    }
}
