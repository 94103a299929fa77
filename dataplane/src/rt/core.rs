//! One core's state, and the thread-local that says which core runs now.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rustix::{
    io::Errno,
    rand::{GetRandomFlags, getrandom},
    time::{ClockId, clock_gettime},
};

use super::{executor::Executor, inbox::Inbox, sim::SimShared, timer::Timers, uring::Uring};

/// Index of a core in its runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

/// A point in time that never goes back, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Time passed since `earlier`; zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The instant `duration` later.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// What carries out I/O for a core.
#[expect(clippy::large_enum_variant, reason = "one per core; production has the large one")]
pub(super) enum Driver {
    Uring(RefCell<Uring>),
    Sim(Rc<SimShared>),
}

/// One core: its tasks, timers and I/O. Never leaves its thread.
pub(super) struct Core {
    pub(super) id: CoreId,
    pub(super) inbox: Arc<Inbox>,
    /// Every core of the runtime, this one included, by index.
    pub(super) peers: Arc<[Arc<Inbox>]>,
    pub(super) executor: RefCell<Executor>,
    pub(super) timers: RefCell<Timers>,
    pub(super) driver: Driver,
    /// The clock after the last turn.
    turned: Cell<Nanos>,
    random: Cell<u64>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Calls `f` with the current core.
///
/// # Panics
/// On a thread that is no core.
pub(super) fn with<T>(f: impl FnOnce(&Core) -> T) -> T {
    try_with(f).expect("called on a runtime core")
}

/// As [`with`], `None` on a thread that is no core (and while the thread ends).
pub(super) fn try_with<T>(f: impl FnOnce(&Core) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.try_borrow().ok()?.as_deref().map(f)).ok().flatten()
}

/// Makes `core` the current one; the former comes back.
pub(super) fn enter(core: Option<Rc<Core>>) -> Option<Rc<Core>> {
    CURRENT.with(|current| current.replace(core))
}

/// Of the two clocks that are never set, the one that goes on while the machine sleeps: a command that lay in a socket
/// meanwhile has aged, and a host's keep-alive has run out. Reading it costs as much as reading the other.
fn since_boot() -> Nanos {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Nanos(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0))
}

impl Core {
    pub(super) fn new(id: CoreId, peers: Arc<[Arc<Inbox>]>, driver: Driver, seed: u64) -> Self {
        let inbox = peers[usize::from(id.0)].clone();
        Self {
            id,
            executor: RefCell::new(Executor::new(inbox.slot)),
            inbox,
            peers,
            timers: RefCell::default(),
            driver,
            turned: Cell::new(Nanos(0)),
            random: Cell::new(seed | 1),
        }
    }

    pub(super) fn now(&self) -> Nanos {
        match &self.driver {
            Driver::Uring(_) => since_boot(),
            Driver::Sim(sim) => sim.now(),
        }
    }

    /// See `rt::turned`.
    pub(super) fn turned(&self) -> Nanos {
        match &self.driver {
            Driver::Uring(_) => self.turned.get(),
            Driver::Sim(sim) => sim.now(),
        }
    }

    pub(super) fn random_u64(&self) -> u64 {
        match &self.driver {
            Driver::Uring(_) => {
                // xorshift64*: spreading and jitter only, nothing secret comes from here.
                let mut x = self.random.get();
                x ^= x >> 12;
                x ^= x << 25;
                x ^= x >> 27;
                self.random.set(x);
                x.wrapping_mul(0x2545_F491_4F6C_DD1D)
            }
            Driver::Sim(sim) => sim.random_u64(),
        }
    }

    pub(super) fn random_bytes(&self, bytes: &mut [u8]) {
        if let Driver::Sim(sim) = &self.driver {
            bytes.fill_with(|| sim.random_u64() as u8);
            return;
        }
        let mut filled = 0;
        while filled < bytes.len() {
            match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(error) => panic!("the kernel gives no random bytes: {error}"),
            }
        }
    }

    pub(super) fn spawn(&self, future: Pin<Box<dyn Future<Output = ()>>>) {
        self.executor.borrow_mut().insert(future);
    }

    /// Turns messages of other cores into ready tasks. True if there were any.
    pub(super) fn drain_inbox(&self) -> bool {
        let messages = self.inbox.take();
        let any = !messages.is_empty();
        for message in messages {
            match message {
                super::inbox::Message::Wake(task) => self.executor.borrow_mut().schedule(task),
                super::inbox::Message::Spawn(make) => self.spawn(make()),
            }
        }
        any
    }

    /// Wakes every timer that is due.
    pub(super) fn fire_timers(&self) {
        let now = self.now();
        self.turned.set(now);
        while let Some(waker) = self.timers.borrow_mut().pop_due(now) {
            waker.wake();
        }
    }

    /// Polls the oldest ready task. False if none is ready.
    pub(super) fn run_one(&self) -> bool {
        let Some((task, future)) = self.executor.borrow_mut().begin() else { return false };
        self.poll(task, future);
        true
    }

    /// Polls one particular place of the ready queue (the simulator's choice).
    pub(super) fn run_nth(&self, place: usize) {
        let Some((task, future)) = self.executor.borrow_mut().begin_nth(place) else { return };
        self.poll(task, future);
    }

    fn poll(&self, task: super::waker::TaskId, mut future: Pin<Box<dyn Future<Output = ()>>>) {
        let waker = task.waker();
        let mut cx = std::task::Context::from_waker(&waker);
        // The future is outside the executor while it runs, so it may spawn and wake freely.
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(()) => {
                drop(future);
                self.executor.borrow_mut().remove(task);
            }
            std::task::Poll::Pending => self.executor.borrow_mut().put_back(task, future),
        }
    }
}
