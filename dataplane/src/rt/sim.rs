//! The seeded simulator: several virtual cores on one thread, virtual time, and a random choice at every step of
//! what happens next. The same seed gives the same run.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::{
    core::{self, Core, CoreId, Driver, Nanos},
    disk::SimMedia,
    inbox::Inbox,
};

/// A small seeded generator (splitmix64).
#[derive(Debug, Clone)]
pub struct SimRng(u64);

impl SimRng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..limit`; `limit` is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_u64() % limit
    }
}

/// What the virtual cores share: time, randomness, disk operations under way.
pub(super) struct SimShared {
    now: Cell<Nanos>,
    rng: RefCell<SimRng>,
    in_flight: RefCell<Vec<(SimMedia, u64)>>,
}

impl SimShared {
    pub(super) fn now(&self) -> Nanos {
        self.now.get()
    }

    pub(super) fn random_u64(&self) -> u64 {
        self.rng.borrow_mut().next_u64()
    }

    pub(super) fn submit(&self, media: SimMedia, op: u64) {
        self.in_flight.borrow_mut().push((media, op));
    }
}

/// A simulated machine. Dropping it, or [`crash`](Self::crash), ends every task at its last await.
pub struct Sim {
    shared: Rc<SimShared>,
    cores: Vec<Rc<Core>>,
    /// What a step takes at most.
    step_max: Duration,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sim({} cores)", self.cores.len())
    }
}

impl Sim {
    /// Time passes only while nothing else can happen.
    pub fn new(seed: u64, cores: usize) -> Self {
        Self::with_step_time(seed, cores, Duration::ZERO)
    }

    /// Each step takes a random time up to that, so that sleepers wake while the others are busy.
    pub fn with_step_time(seed: u64, cores: usize, step_max: Duration) -> Self {
        let shared = Rc::new(SimShared {
            now: Cell::new(Nanos(1)),
            rng: RefCell::new(SimRng::new(seed)),
            in_flight: RefCell::default(),
        });
        let peers: Arc<[Arc<Inbox>]> = (0..cores).map(|_| Inbox::register(None)).collect();
        let cores = (0..cores)
            .map(|index| {
                let id = CoreId(u16::try_from(index).expect("few cores"));
                Rc::new(Core::new(id, peers.clone(), Driver::Sim(shared.clone()), seed))
            })
            .collect();
        Self { shared, cores, step_max }
    }

    /// Starts a task on a core; it runs in the coming steps.
    pub fn spawn_on<F>(&self, core: usize, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.cores[core].inbox.send_spawn(make);
    }

    /// Does one random thing that can happen. False if nothing can any more.
    pub fn step(&self) -> bool {
        let ready: Vec<usize> = self.cores.iter().map(|c| c.executor.borrow().ready_len()).collect();
        let mail: Vec<usize> = (0..self.cores.len()).filter(|&i| self.cores[i].inbox.is_filled()).collect();
        let tasks: usize = ready.iter().sum();
        let operations = self.shared.in_flight.borrow().len();
        let choices = tasks + mail.len() + operations;
        if choices == 0 {
            return self.advance_time();
        }
        if !self.step_max.is_zero() {
            self.pass_time();
        }
        let mut pick = (self.shared.random_u64() % choices as u64) as usize;
        for (index, &count) in ready.iter().enumerate() {
            if pick < count {
                self.within(index, |core| core.run_nth(pick));
                return true;
            }
            pick -= count;
        }
        if let Some(&index) = mail.get(pick) {
            self.within(index, |core| {
                core.drain_inbox();
            });
            return true;
        }
        let (media, op) = self.shared.in_flight.borrow_mut().swap_remove(pick - mail.len());
        media.complete(op);
        true
    }

    /// Runs until `done` says so. False if nothing could happen any more before that.
    pub fn run_until(&self, mut done: impl FnMut() -> bool) -> bool {
        while !done() {
            if !self.step() {
                return done();
            }
        }
        true
    }

    /// Runs `steps` steps or until nothing can happen any more.
    pub fn run_steps(&self, steps: u64) {
        for _ in 0..steps {
            if !self.step() {
                return;
            }
        }
    }

    /// Runs until nothing can happen any more. A task with an endless timer never lets this end.
    pub fn run_until_idle(&self) {
        while self.step() {}
    }

    /// Ends every task where it stands, as a killed process does. What the disks keep is then decided by
    /// [`SimMedia::process_died`] or [`SimMedia::power_cut`].
    pub fn crash(self) {
        drop(self);
    }

    fn within<T>(&self, index: usize, f: impl FnOnce(&Core) -> T) -> T {
        let core = &self.cores[index];
        let outer = core::enter(Some(core.clone()));
        let result = f(core);
        core::enter(outer);
        result
    }

    /// To the next timer. False if there is none.
    fn advance_time(&self) -> bool {
        let Some(due) = self.next_due() else { return false };
        self.shared.now.set(due.max(self.shared.now.get()));
        self.fire_timers();
        true
    }

    /// As long as one step takes.
    fn pass_time(&self) {
        let step = self.shared.random_u64() % self.step_max.as_nanos() as u64;
        self.shared.now.set(self.shared.now.get().after(Duration::from_nanos(step)));
        if self.next_due().is_some_and(|due| due <= self.shared.now.get()) {
            self.fire_timers();
        }
    }

    fn next_due(&self) -> Option<Nanos> {
        self.cores.iter().filter_map(|c| c.timers.borrow().next_due()).min()
    }

    fn fire_timers(&self) {
        for index in 0..self.cores.len() {
            self.within(index, Core::fire_timers);
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        for index in 0..self.cores.len() {
            self.within(index, |core| {
                let tasks = core.executor.borrow_mut().take_all();
                drop(tasks);
                // Closures that were on their way hold tasks as well.
                drop(core.inbox.take());
            });
        }
    }
}
