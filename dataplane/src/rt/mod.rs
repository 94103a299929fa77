//! The runtime: where time, randomness, disks and the network enter (design invariant 10).
//!
//! One single-threaded executor per core. The same futures run on io_uring threads ([`Runtime`]) and under a
//! seeded simulator ([`sim::Sim`]). Futures never leave their core; cores talk by messages ([`spawn_on`],
//! [`call_on`]) and by wakers, which work from anywhere.
//!
//! `unsafe` lives in six rooms here and nowhere else in the crate: `waker`, `buf`, `uring`, `disk::memory`,
//! `net::batch` and `net::tls::session`.

mod buf;
mod core;
mod executor;
mod inbox;
mod offload;
mod signal;
mod timer;
mod waker;

pub mod disk;
pub mod net;
mod runtime;
pub mod sim;
mod uring;

use std::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use futures_channel::oneshot;

pub(crate) use self::signal::Signal;
pub use self::{
    buf::{Account, Buf, Charge},
    core::{CoreId, Nanos},
    disk::{Disk, DiskError, Durability},
    offload::{Busy, offload},
    runtime::{Runtime, RuntimeHandle},
    timer::Sleep,
};

/// The core that runs the caller.
///
/// # Panics
/// Outside a core, as everything in this module does.
pub fn core_id() -> CoreId {
    core::with(|c| c.id)
}

/// How many cores this runtime has.
pub fn core_count() -> usize {
    core::with(|c| c.peers.len())
}

/// Time since the machine started, its sleep included; it never goes back, and is the same on all cores. Virtual in the
/// simulator.
pub fn now() -> Nanos {
    core::with(core::Core::now)
}

/// The clock as it was read when this core had last collected what was ready: as a rule when whatever the caller is about
/// became known here. Reads no clock.
pub fn turned() -> Nanos {
    core::with(core::Core::turned)
}

/// Waits for at least `duration`.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(duration)
}

/// Lets every other ready task of this core run once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A random number for spreading and jitter, nothing secret: this core's, or the simulator's seeded one.
pub fn random_u64() -> u64 {
    core::with(core::Core::random_u64)
}

/// Fills `bytes` for secrets and challenges: from the kernel, or from the simulator's seed.
pub fn random_bytes(bytes: &mut [u8]) {
    core::with(|c| c.random_bytes(bytes));
}

/// Runs `future` on this core until it ends or the core shuts down.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    core::with(|c| c.spawn(Box::pin(future)));
}

/// Runs a future on another core: `make` travels there and makes it.
pub fn spawn_on<F>(core: CoreId, make: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    core::with(|c| c.peers[usize::from(core.0)].clone()).send_spawn(make);
}

/// Runs a future on another core and brings its answer back. If that core ends first nothing comes any more: all cores of
/// a runtime end together.
pub async fn call_on<T, F>(core: CoreId, make: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    if core == core_id() {
        return make().await;
    }
    let (answer, wait) = oneshot::channel();
    spawn_on(core, move || async move {
        // The asker may be gone; its answer then has no reader.
        let _ = answer.send(make().await);
    });
    match wait.await {
        Ok(value) => value,
        // That core has ended, so this one is about to end, too: its tasks end at their last await.
        Err(oneshot::Canceled) => pending().await,
    }
}

/// Runs futures of one kind side by side; their answers come in the same order.
pub async fn join_all<F: Future>(mut futures: Vec<Pin<Box<F>>>) -> Vec<F::Output> {
    let mut answers: Vec<_> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *answer = Some(value);
            }
        }
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// What the calling core has in use at this moment, for tests that look for what was left behind.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InUse {
    pub(crate) tasks: usize,
    /// Operations that the kernel has, and those whose answer nobody took yet.
    pub(crate) operations: usize,
    pub(crate) buffer_bytes: usize,
}

#[cfg(test)]
pub(crate) fn in_use() -> InUse {
    core::with(|c| InUse {
        tasks: c.executor.borrow().live(),
        operations: match &c.driver {
            core::Driver::Uring(uring) => uring.borrow().operations(),
            core::Driver::Sim(_) => 0,
        },
        buffer_bytes: buf::in_use_bytes(),
    })
}

/// All payload memory that the calling core has left, for tests of those who wait for some.
#[cfg(test)]
pub(crate) fn all_free_memory() -> Vec<Buf> {
    buf::all_free()
}

#[cfg(test)]
mod rt_test;
