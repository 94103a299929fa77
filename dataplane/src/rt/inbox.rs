//! Messages between cores, and from other threads to cores.
//!
//! The fast path sends none (design invariant 3), so a short lock is enough. A registry of the process's inboxes
//! lets a waker, which is only a number, find its core from any thread.

use std::{
    future::Future,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use super::waker::TaskId;

type MakeTask = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

pub(super) enum Message {
    Wake(TaskId),
    Spawn(MakeTask),
}

/// Where others leave messages for one core.
pub(super) struct Inbox {
    /// This inbox's place in the process-wide registry.
    pub(super) slot: u16,
    queue: Mutex<Vec<Message>>,
    /// Something is in `queue`; read without the lock on every tick.
    filled: AtomicBool,
    /// The core is blocked, or about to be: whoever fills the queue must ring the bell.
    asleep: AtomicBool,
    /// An eventfd that the core's ring reads; none in the simulator.
    bell: Option<OwnedFd>,
}

static REGISTRY: RwLock<Vec<Weak<Inbox>>> = RwLock::new(Vec::new());

impl Inbox {
    /// Makes an inbox and registers it under a free slot.
    ///
    /// # Panics
    /// If a process has more than 2^16 cores at once.
    pub(super) fn register(bell: Option<OwnedFd>) -> Arc<Self> {
        let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
        let place = registry.iter().position(|inbox| inbox.strong_count() == 0).unwrap_or(registry.len());
        let inbox = Arc::new(Self {
            slot: u16::try_from(place).expect("fewer than 2^16 cores in a process"),
            queue: Mutex::default(),
            filled: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            bell,
        });
        if place == registry.len() {
            registry.push(Weak::new());
        }
        registry[place] = Arc::downgrade(&inbox);
        inbox
    }

    pub(super) fn send_spawn<F>(&self, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.send(Message::Spawn(Box::new(move || Box::pin(make()))));
    }

    fn send(&self, message: Message) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.filled.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Wakes the core from its wait even with no message (shutdown).
    pub(super) fn ring(&self) {
        if let Some(bell) = &self.bell {
            // The counter cannot overflow in practice, and a full one wakes the core just as well.
            let _ = rustix::io::write(bell, &1u64.to_le_bytes());
        }
    }

    pub(super) fn bell(&self) -> Option<BorrowedFd<'_>> {
        self.bell.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::SeqCst)
    }

    /// Takes what has come.
    pub(super) fn take(&self) -> Vec<Message> {
        if !self.filled.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.filled.store(false, Ordering::SeqCst);
        std::mem::take(&mut queue)
    }

    /// Announces that the core will block. False: something came meanwhile, do not block.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        // Sender: fill, then look at `asleep`. Here: set `asleep`, then look at `filled`. One of both sees the other.
        if self.is_filled() {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// Sends a wake to the task's core, if that still lives.
pub(super) fn send_wake(task: TaskId) {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let inbox = registry.get(usize::from(task.slot())).and_then(Weak::upgrade);
    drop(registry);
    if let Some(inbox) = inbox {
        inbox.send(Message::Wake(task));
    }
}
