//! Waiting across cores, for everything off the fast path.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
};

pub(super) use crate::rt::Signal;

/// Locks; a panic elsewhere under the lock is that core's problem.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One at a time, in no particular order.
#[derive(Debug, Default)]
pub struct Turns {
    taken: Mutex<bool>,
    free: Signal,
}

/// Somebody's turn; over when dropped.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for it.
    pub async fn take(&self) -> Turn<'_> {
        self.free.wait_until(|| (!std::mem::replace(&mut *lock(&self.taken), true)).then_some(())).await;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.taken) = false;
        self.0.free.raise();
    }
}

/// A service that runs in rounds for many askers at once: whoever asks is served by the first round that begins
/// after the asking.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    state: Mutex<RoundState>,
    asked: Signal,
    finished: Signal,
}

/// Invariant: `finished <= begun <= wanted + 1`, and at most one round runs.
#[derive(Debug, Default)]
struct RoundState {
    wanted: u64,
    begun: u64,
    finished: u64,
}

/// The round that serves an asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Round(u64);

impl Rounds {
    /// Asks for a round that begins from now on.
    pub(super) fn ask(&self) -> Round {
        let mut state = lock(&self.state);
        let round = state.begun + 1;
        if state.wanted < round {
            state.wanted = round;
            drop(state);
            self.asked.raise();
        }
        Round(round)
    }

    /// Asks for a round unless one runs already.
    pub(super) fn nudge(&self) {
        let idle = {
            let state = lock(&self.state);
            state.begun == state.finished
        };
        if idle {
            self.ask();
        }
    }

    pub(super) fn has_ended(&self, round: Round) -> bool {
        lock(&self.state).finished >= round.0
    }

    /// Waits until that round has ended.
    pub(super) async fn ended(&self, round: Round) {
        self.finished.wait_until(|| self.has_ended(round).then_some(())).await;
    }

    /// Asks and waits.
    pub(super) async fn run(&self) {
        self.ended(self.ask()).await;
    }

    /// The service's side: waits for askers and begins their round.
    pub(super) async fn begin(&self) -> Round {
        self.asked
            .wait_until(|| {
                let mut state = lock(&self.state);
                assert!(state.finished == state.begun, "one round at a time");
                (state.wanted > state.begun).then(|| {
                    state.begun += 1;
                    Round(state.begun)
                })
            })
            .await
    }

    /// The service's side: the round is over.
    pub(super) fn end(&self, round: Round) {
        lock(&self.state).finished = round.0;
        self.finished.raise();
    }
}

/// Runs four futures of one kind side by side, without allocating.
pub(super) async fn join4<F: Future>(futures: [F; 4]) -> [F::Output; 4] {
    let [a, b, c, d] = futures;
    let (mut a, mut b, mut c, mut d) = (pin!(a), pin!(b), pin!(c), pin!(d));
    let mut outputs = [None, None, None, None];
    poll_fn(|cx| {
        let futures = [a.as_mut(), b.as_mut(), c.as_mut(), d.as_mut()];
        for (future, output) in futures.into_iter().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(value) = future.poll(cx)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.map(|output| output.expect("all are there"))
}
