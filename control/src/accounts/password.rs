//! Passwords are kept as argon2id digests. Hashing takes tens of milliseconds and 19 MiB, so it runs on blocking
//! threads, few at once.

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::limits;

pub(crate) struct Passwords {
    slots: Semaphore,
    /// Checked where there is no digest, so that the time taken does not tell whether a user exists.
    dummy: String,
}

impl Passwords {
    pub(crate) async fn new() -> Self {
        let mut this = Self { slots: Semaphore::new(limits::HASHES), dummy: String::new() };
        this.dummy = this.hash("nobody's password".to_owned()).await;
        this
    }

    /// As a PHC string, with a salt of its own.
    pub(crate) async fn hash(&self, password: String) -> String {
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        let hash = spawn_blocking(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.expect("the default parameters take any password").to_string()
        });
        hash.await.expect("hashing neither panics nor is cancelled")
    }

    /// Takes as long without a digest as with one.
    pub(crate) async fn is_right(&self, password: String, digest: Option<&str>) -> bool {
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        let (known, digest) = (digest.is_some(), digest.unwrap_or(&self.dummy).to_owned());
        let matches = spawn_blocking(move || {
            Argon2::default().verify_password(password.as_bytes(), digest.as_str()).is_ok()
        });
        matches.await.expect("hashing neither panics nor is cancelled") && known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_is_right() {
        let passwords = Passwords::new().await;
        let digest = passwords.hash("secret".to_owned()).await;
        assert!(digest.starts_with("$argon2id$"), "{digest}");
        assert!(passwords.is_right("secret".to_owned(), Some(&digest)).await);
        assert!(!passwords.is_right("Secret".to_owned(), Some(&digest)).await);
        assert!(!passwords.is_right("nobody's password".to_owned(), None).await);
    }
}
