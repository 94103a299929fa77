//! The real runtime: one thread per core, each with its own ring.

use std::{
    future::Future,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_channel::oneshot;
use rustix::event::{EventfdFlags, eventfd};

use super::{
    core::{self, Core, CoreId, Driver},
    inbox::Inbox,
    offload,
    uring::Uring,
};
use crate::limits;

/// Running cores. Dropping it stops them and waits for their threads.
#[derive(Debug)]
pub struct Runtime {
    handle: RuntimeHandle,
    threads: Vec<JoinHandle<()>>,
}

/// Sends work to the cores from any thread.
#[derive(Clone)]
pub struct RuntimeHandle {
    inboxes: Arc<[Arc<Inbox>]>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for RuntimeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RuntimeHandle({} cores)", self.inboxes.len())
    }
}

impl Runtime {
    /// Starts `cores` threads. They are not pinned: a node that shares its machine is better off where the
    /// scheduler puts it, and whoever wants fixed processors starts it under `taskset`.
    ///
    /// # Errors
    /// Where the system refuses io_uring; the text says what blocks it and how to allow it.
    pub fn start(cores: usize) -> io::Result<Self> {
        assert!(cores > 0 && cores <= limits::CORES, "{cores} cores");
        let inboxes: Arc<[Arc<Inbox>]> = (0..cores)
            .map(|_| Ok(Inbox::register(Some(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))))
            .collect::<io::Result<_>>()?;
        offload::start()?;
        let stop = Arc::new(AtomicBool::new(false));
        let handle = RuntimeHandle { inboxes, stop };
        let mut runtime = Self { handle: handle.clone(), threads: Vec::new() };
        for index in 0..cores {
            let (report, started) = mpsc::channel();
            let handle = handle.clone();
            let thread = thread::Builder::new()
                .name(format!("core-{index}"))
                .stack_size(limits::CORE_STACK_BYTES)
                .spawn(move || run_core(index, &handle, &report))?;
            runtime.threads.push(thread);
            started.recv().map_err(|_| io::Error::other("a core thread ended at once"))?.map_err(explain)?;
        }
        Ok(runtime)
    }

    pub fn handle(&self) -> RuntimeHandle {
        self.handle.clone()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.handle.stop.store(true, Ordering::SeqCst);
        for inbox in self.handle.inboxes.iter() {
            inbox.ring();
        }
        for thread in self.threads.drain(..) {
            // A core that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl RuntimeHandle {
    /// Runs a future on a core.
    pub fn spawn_on<F>(&self, core: CoreId, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.inboxes[usize::from(core.0)].send_spawn(make);
    }

    /// Runs a future on a core and brings its answer to any kind of async caller. `None`: the core stopped.
    pub async fn call_on<T, F>(&self, core: CoreId, make: impl FnOnce() -> F + Send + 'static) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (answer, wait) = oneshot::channel();
        self.spawn_on(core, move || async move {
            // The asker may be gone; its answer then has no reader.
            let _ = answer.send(make().await);
        });
        if self.stop.load(Ordering::SeqCst) {
            return None;
        }
        wait.await.ok()
    }

    pub fn cores(&self) -> usize {
        self.inboxes.len()
    }
}

fn run_core(index: usize, handle: &RuntimeHandle, report: &mpsc::Sender<io::Result<()>>) {
    let uring = match Uring::new() {
        Ok(uring) => uring,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    let id = CoreId(u16::try_from(index).expect("limits::CORES is small"));
    let seed = u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().expect("eight bytes"));
    let core = Rc::new(Core::new(id, handle.inboxes.clone(), Driver::Uring(uring.into()), seed));
    core::enter(Some(core.clone()));
    let _ = report.send(Ok(()));
    abort_on_panic(|| run(&core, &handle.stop));
    core::enter(None);
}

/// Runs a thread's work. If it panics it has found a bug of ours: its commands would hang for ever, and what it shares
/// with other threads may be wrong. Losing the process loses nothing acknowledged.
pub(super) fn abort_on_panic(work: impl FnOnce()) {
    // Nothing that the panic left half done is looked at again.
    let Err(panic) = catch_unwind(AssertUnwindSafe(work)) else { return };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    // Said by the panic already, but where a test captures what its threads say, that dies with the process.
    let _ = writeln!(io::stderr(), "{}: {text}", thread::current().name().unwrap_or("a thread"));
    process::abort();
}

fn run(core: &Core, stop: &AtomicBool) {
    let Driver::Uring(uring) = &core.driver else { unreachable!("threads have rings") };
    uring.borrow_mut().arm_bell(core);
    while !stop.load(Ordering::Relaxed) {
        core.drain_inbox();
        core.fire_timers();
        for _ in 0..limits::TICK_TASKS {
            if !core.run_one() {
                break;
            }
        }
        let idle = core.executor.borrow().ready_len() == 0 && !core.inbox.is_filled();
        let now = core.now();
        let deadline = core.timers.borrow().next_due().map(|due| due.since(now));
        uring.borrow_mut().turn(core, now, idle && deadline != Some(Duration::ZERO), deadline);
    }
    // Tasks end here, at their last await; what the kernel still holds is waited for.
    let tasks = core.executor.borrow_mut().take_all();
    drop(tasks);
    drop(core.inbox.take());
    uring.borrow_mut().drain();
}

/// Says what a person can do about a refused ring.
fn explain(error: io::Error) -> io::Error {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "io_uring is not allowed here: set `sysctl kernel.io_uring_disabled=0`, and in a container allow \
             the io_uring_setup, io_uring_enter and io_uring_register calls in its seccomp profile"
        }
        Some(libc::ENOSYS) => "this kernel has no io_uring: Linux 6.1 or newer is needed",
        Some(libc::EINVAL) => "this kernel's io_uring is too old: Linux 6.1 or newer is needed",
        Some(libc::ENOMEM) => "not enough locked memory for io_uring: raise it with `ulimit -l unlimited`",
        _ => return error,
    };
    io::Error::other(format!("{hint} ({error})"))
}
