//! Passwords are kept as argon2id digests. Hashing takes tens of milliseconds and 19 MiB, so it runs on blocking
//! threads, few at once.

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::limits;

pub(crate) struct Passwords {
    slots: Semaphore,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { slots: Semaphore::new(limits::HASHES) }
    }

    /// As a PHC string, with a salt of its own.
    pub(crate) async fn hash(&self, password: String) -> String {
        self.run(move || hash(&password)).await
    }

    /// Takes as long without a digest as with one, so that the time taken does not tell whether a user exists.
    pub(crate) async fn is_right(&self, password: String, digest: Option<&str>) -> bool {
        let digest = digest.map(str::to_owned);
        let judge = move || match digest {
            Some(digest) => Argon2::default().verify_password(password.as_bytes(), digest.as_str()).is_ok(),
            // Hashed all the same: that is what the time goes into.
            None => hash(&password).is_empty(),
        };
        self.run(judge).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        spawn_blocking(work).await.expect("hashing neither panics nor is cancelled")
    }
}

fn hash(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.expect("the default parameters take any password").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_is_right() {
        let passwords = Passwords::new();
        let digest = passwords.hash("secret".to_owned()).await;
        assert!(digest.starts_with("$argon2id$"), "{digest}");
        assert!(passwords.is_right("secret".to_owned(), Some(&digest)).await);
        assert!(!passwords.is_right("Secret".to_owned(), Some(&digest)).await);
        assert!(!passwords.is_right("nobody's password".to_owned(), None).await);
    }
}
