//! Waiting for a condition that any thread may bring about.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// Wakes whoever waits for a condition. Who changes the condition does so first and raises afterwards.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    waiting: Mutex<Vec<Waker>>,
}

impl Signal {
    /// Waits until `ready` yields something. It is asked again after each [`raise`](Self::raise).
    pub(crate) async fn wait_until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| {
            if let Some(value) = ready() {
                return Poll::Ready(value);
            }
            self.enlist(cx.waker());
            // A raise between the question and the enlisting would be missed: ask once more.
            ready().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Makes all who wait ask again.
    pub(crate) fn raise(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        for waker in waiting {
            waker.wake();
        }
    }

    fn enlist(&self, waker: &Waker) {
        let mut waiting = self.waiting();
        if !waiting.iter().any(|other| other.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// A panic elsewhere under the lock is that core's problem.
    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
