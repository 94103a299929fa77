//! A restart that was asked for: one at a time, and whoever runs the server is told when it is to happen.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Restart {
    is_pending: AtomicBool,
    now: Notify,
}

impl Restart {
    /// False if one is under way.
    pub(crate) fn begin(&self) -> bool {
        !self.is_pending.swap(true, Ordering::AcqRel)
    }

    /// It is not to happen after all; another one may be asked for.
    pub(crate) fn give_up(&self) {
        self.is_pending.store(false, Ordering::Release);
    }

    /// Everything is ready for it.
    pub(crate) fn go(&self) {
        self.now.notify_one();
    }

    /// Ready when it is to happen.
    pub(crate) async fn wanted(&self) {
        self.now.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time() {
        let restart = Restart::default();
        assert!(restart.begin() && !restart.begin());
        restart.give_up();
        assert!(restart.begin());
        restart.go();
        restart.wanted().await;
    }
}
