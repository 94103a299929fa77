//! Work that takes milliseconds, on a thread of its own, so that no core stands still for it.
//!
//! Whoever asks is named, and the names take turns: a flood from one keeps nobody else waiting for longer than one
//! piece of its work.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::IpAddr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use futures_channel::oneshot;

use super::runtime::abort_on_panic;
use crate::limits;

type Job = Box<dyn FnOnce() + Send>;

/// Too much work waits already; this is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// What waits. Each owner in `turns` has jobs, and each with jobs is there once.
#[derive(Default)]
struct Waiting {
    turns: VecDeque<IpAddr>,
    jobs: BTreeMap<IpAddr, VecDeque<Job>>,
    count: usize,
}

impl Waiting {
    fn push(&mut self, owner: IpAddr, job: Job) -> Result<(), Busy> {
        let own = self.jobs.get(&owner).map_or(0, VecDeque::len);
        if self.count >= limits::OFFLOADED || own >= limits::OFFLOADED_PER_OWNER {
            return Err(Busy);
        }
        self.count += 1;
        let jobs = self.jobs.entry(owner).or_default();
        if jobs.is_empty() {
            self.turns.push_back(owner);
        }
        jobs.push_back(job);
        Ok(())
    }

    fn pop(&mut self) -> Option<Job> {
        let owner = self.turns.pop_front()?;
        let jobs = self.jobs.get_mut(&owner)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.jobs.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        self.count -= 1;
        Some(job)
    }
}

static WAITING: Mutex<Waiting> =
    Mutex::new(Waiting { turns: VecDeque::new(), jobs: BTreeMap::new(), count: 0 });
static FILLED: Condvar = Condvar::new();
static STARTED: Mutex<bool> = Mutex::new(false);

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread, once for the process.
pub(super) fn start() -> io::Result<()> {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*started {
        std::thread::Builder::new().name("offload".to_owned()).spawn(|| abort_on_panic(run))?;
        *started = true;
    }
    Ok(())
}

fn run() {
    loop {
        let mut queue = waiting();
        let job = loop {
            match queue.pop() {
                Some(job) => break job,
                None => queue = FILLED.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(queue);
        job();
    }
}

/// Does `work` elsewhere and brings its answer back. `owner` is on whose behalf.
///
/// # Errors
/// [`Busy`] if too much waits, of this owner or in all; nothing is done then.
pub async fn offload<T: Send + 'static>(
    owner: IpAddr,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Busy> {
    let (answer, wait) = oneshot::channel();
    let job = Box::new(move || {
        // Who asked may be gone, and then it is not worth doing.
        if !answer.is_canceled() {
            let _ = answer.send(work());
        }
    });
    waiting().push(owner, job)?;
    FILLED.notify_one();
    wait.await.map_err(|_| Busy)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn owner(n: u8) -> IpAddr {
        IpAddr::from([198, 18, 0, n])
    }

    #[test]
    fn owners_take_turns() {
        let (done, order) = mpsc::channel();
        let mut waiting = Waiting::default();
        for (from, number) in [(1, 11), (1, 12), (1, 13), (2, 21), (3, 31), (2, 22)] {
            let done = done.clone();
            waiting.push(owner(from), Box::new(move || done.send(number).unwrap())).unwrap();
        }
        while let Some(job) = waiting.pop() {
            job();
        }
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [11, 21, 31, 12, 22, 13]);
        assert!(waiting.jobs.is_empty() && waiting.count == 0);
    }

    #[test]
    fn one_owner_cannot_take_all_places() {
        let mut waiting = Waiting::default();
        for _ in 0..limits::OFFLOADED_PER_OWNER {
            waiting.push(owner(1), Box::new(|| ())).unwrap();
        }
        assert_eq!(waiting.push(owner(1), Box::new(|| ())), Err(Busy));
        for n in 2.. {
            if (0..limits::OFFLOADED_PER_OWNER).any(|_| waiting.push(owner(n), Box::new(|| ())).is_err()) {
                break;
            }
        }
        assert_eq!(waiting.count, limits::OFFLOADED);
        drop(waiting.pop());
        assert_eq!(waiting.push(owner(255), Box::new(|| ())), Ok(()));
    }
}
