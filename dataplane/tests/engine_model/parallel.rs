//! Independent runs on all processors.

use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// Runs every job and names one that panicked; after that no further job is begun.
pub(crate) fn first_failure<T: Sync>(jobs: &[T], run: impl Fn(&T) + Sync) -> Option<&T> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if catch_unwind(AssertUnwindSafe(|| run(job))).is_err() {
                failed.store(true, Ordering::Relaxed);
                return Some(job);
            }
        }
        None
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().find_map(|worker| worker.join().expect("panics are caught above"))
    })
}
