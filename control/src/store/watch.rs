//! Who waits for changes of a part of the store.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};

/// Transactions that a slow watcher may be behind before it has to read everything again.
const BACKLOG: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    Key(String),
    /// The watcher was too slow: anything may have changed.
    Anything,
}

/// Tells watchers of each transaction's keys.
pub(super) struct Watchers(Sender<Arc<[String]>>);

impl Watchers {
    pub(super) fn new() -> Self {
        Self(Sender::new(BACKLOG))
    }

    pub(super) fn tell(&self, keys: Vec<String>) {
        // Fails only when nobody listens.
        let _ = self.0.send(keys.into());
    }

    pub(super) fn watch(&self, prefix: &str) -> Watch {
        Watch { prefix: prefix.to_owned(), receiver: self.0.subscribe(), pending: Vec::new() }
    }
}

pub(crate) struct Watch {
    prefix: String,
    receiver: Receiver<Arc<[String]>>,
    pending: Vec<String>,
}

impl Watch {
    /// The next change, or `None` when the store is gone.
    pub(crate) async fn next(&mut self) -> Option<Changed> {
        loop {
            if let Some(key) = self.pending.pop() {
                return Some(Changed::Key(key));
            }
            match self.receiver.recv().await {
                Ok(keys) => {
                    let ours = keys.iter().rev().filter(|key| key.starts_with(&self.prefix));
                    self.pending.extend(ours.cloned());
                }
                Err(RecvError::Lagged(_)) => return Some(Changed::Anything),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
