//! Small ways to wait: for a flag from any thread, for a neighbour task, for whichever comes first.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use crate::rt::Signal;

/// Raised from any thread, awaited by one task. Raising it several times before the task looks counts once.
#[derive(Debug, Default)]
pub(super) struct Flag {
    raised: AtomicBool,
    changed: Signal,
}

impl Flag {
    pub(super) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        self.changed.raise();
    }

    /// Waits until it is raised, and lowers it.
    pub(super) async fn raised(&self) {
        self.changed.wait_until(|| self.raised.swap(false, Ordering::SeqCst).then_some(())).await;
    }
}

/// Opens once, for any number of tasks on any core.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicBool,
    changed: Signal,
}

impl Gate {
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.changed.raise();
    }

    /// Waits until it is open.
    pub(super) async fn opened(&self) {
        self.changed.wait_until(|| self.open.load(Ordering::SeqCst).then_some(())).await;
    }
}

/// The one task of this core that waits for something which others of this core bring about.
#[derive(Default)]
pub(super) struct WakeSlot(Cell<Option<Waker>>);

impl std::fmt::Debug for WakeSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WakeSlot")
    }
}

impl WakeSlot {
    pub(super) fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Waits until `ready` gives a value; it is asked again after each [`wake`](Self::wake).
    pub(super) async fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| self.poll_until(cx, &mut ready)).await
    }

    fn poll_until<T>(&self, cx: &Context<'_>, ready: &mut impl FnMut() -> Option<T>) -> Poll<T> {
        match ready() {
            Some(value) => Poll::Ready(value),
            None => {
                self.0.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

/// Which of two came first.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

impl<A, B> Either<A, B> {
    /// The first one's, if that came first.
    pub(crate) fn first(self) -> Option<A> {
        match self {
            Self::First(value) => Some(value),
            Self::Second(_) => None,
        }
    }
}

/// Waits for whichever ends first, and drops the other.
pub(crate) async fn race<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> Either<A, B> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(value) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::First(value));
        }
        b.as_mut().poll(cx).map(Either::Second)
    })
    .await
}
