//! One io_uring per core: set-up, submitting once per tick, reaping, and the adaptive wait.
#![expect(unsafe_code, reason = "the kernel reads and writes the memory that submitted entries name")]

mod op;

use std::{
    io,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use io_uring::{IoUring, opcode, squeue, types};
use slab::Slab;

use self::op::OpState;
pub(super) use self::op::{Collection, Op, Resource};
use super::{Nanos, core::Core};
use crate::limits;

/// Marks completions of the bell's own read.
const BELL: u64 = u64::MAX;

/// One core's ring with its operations in flight.
///
/// The slab, not the future that waits, owns the memory that the kernel may touch, until the completion arrives.
pub(super) struct Uring {
    ring: IoUring,
    ops: Slab<OpState>,
    /// Where the bell's counter is read to; boxed so that it stays where the kernel knows it.
    bell_count: Box<u64>,
    /// The bell's read has completed and must be started again.
    bell_rang: bool,
    spin: Spin,
    turns: Turns,
}

/// What is known of the past: when completions can have become ready.
#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    /// The present turn, or the last one, began then.
    began: Nanos,
    /// Whatever was ready then has been collected: the last turn that left nothing behind began then.
    collected: Nanos,
}

/// Whether watching the ring for a moment pays (rule H4): only while completions came closer together than the
/// longest watch.
struct Spin {
    last_arrival: Instant,
    mean_gap: Duration,
}

impl Uring {
    /// Makes the calling thread's ring; only this thread may use it.
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(limits::RING_COMPLETIONS);
        let ring = builder.build(limits::RING_SUBMISSIONS)?;
        // Spares the kernel a look-up per call; older kernels go without.
        let _ = ring.submitter().register_ring_fd();
        let spin = Spin { last_arrival: Instant::now(), mean_gap: Duration::from_secs(1) };
        Ok(Self {
            ring,
            ops: Slab::with_capacity(1024),
            bell_count: Box::new(0),
            bell_rang: false,
            spin,
            turns: Turns::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn operations(&self) -> usize {
        self.ops.len()
    }

    /// Starts reading the bell, so that messages end a wait.
    pub(super) fn arm_bell(&mut self, core: &Core) {
        let Some(bell) = core.inbox.bell() else { return };
        let to = std::ptr::from_mut(&mut *self.bell_count).cast();
        let entry = opcode::Read::new(types::Fd(bell.as_raw_fd()), to, 8).build().user_data(BELL);
        // SAFETY: the eight bytes are boxed and live as long as the ring; the bell's descriptor lives in the
        // inbox, which this core holds.
        unsafe { self.push(&entry) };
    }

    /// # Safety
    /// What `entry` points to must stay valid until its completion, or until [`drain`](Self::drain) has returned.
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: passed on to the caller.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
            // A full completion queue would keep the kernel from taking more.
            self.reap();
        }
    }

    /// Hands everything queued to the kernel and runs its deferred completions.
    fn submit(&mut self) {
        match self.ring.submit() {
            Ok(_) => {}
            // Interrupted, or the completion queue is full: what was not taken stays queued; reap and come again.
            Err(error) if is_passing(&error) => {}
            Err(error) => panic!("io_uring refuses to be entered: {error}"),
        }
    }

    /// One turn: submit, then give completions to their waiters. With `idle`, waits until there is one, a
    /// message, or `deadline` from now.
    pub(super) fn turn(&mut self, core: &Core, now: Nanos, idle: bool, deadline: Option<Duration>) {
        self.turns.began = now;
        if !self.ring.submission().is_empty() || self.ring.submission().taskrun() {
            self.submit();
        }
        let mut reaped = self.reap();
        if reaped == 0 && idle {
            // What is ready at the end of the wait was not before it.
            self.note_collected();
            if !self.spin(core, deadline) {
                self.block(core, deadline);
            }
            reaped = self.reap();
        }
        // One entry into the kernel runs at most twenty deferred completions. The flag can be stale: the kernel
        // raises it after it has queued the work, which we may have run by then. So an entry that brings nothing
        // ends this; whatever it may have missed ends the next wait.
        while self.ring.submission().taskrun() {
            self.submit();
            match self.reap() {
                0 => break,
                more => reaped += more,
            }
        }
        self.note_collected();
        if reaped > 0 {
            self.spin.arrived();
        }
        if std::mem::take(&mut self.bell_rang) {
            self.arm_bell(core);
        }
    }

    /// Remembers that this turn left nothing behind that was ready when it began, unless it did.
    fn note_collected(&mut self) {
        let submission = self.ring.submission();
        if submission.is_empty() && !submission.taskrun() && !submission.cq_overflow() {
            self.turns.collected = self.turns.began;
        }
    }

    /// Watches the ring and the inbox for a moment. True if something came.
    fn spin(&mut self, core: &Core, deadline: Option<Duration>) -> bool {
        if self.spin.mean_gap > limits::SPIN_MAX || deadline.is_some_and(|d| d < limits::SPIN_MAX) {
            return false;
        }
        let began = Instant::now();
        loop {
            for _ in 0..64 {
                let submission = self.ring.submission();
                let work = submission.taskrun();
                drop(submission);
                if work {
                    self.submit();
                    // With a stale flag nothing came: wait in the kernel, which looks for itself.
                    return !self.ring.completion().is_empty();
                }
                if core.inbox.is_filled() || !self.ring.completion().is_empty() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if began.elapsed() > limits::SPIN_MAX {
                return false;
            }
        }
    }

    fn block(&mut self, core: &Core, deadline: Option<Duration>) {
        if !core.inbox.fall_asleep() {
            return;
        }
        let timespec = types::Timespec::from(deadline.unwrap_or(limits::BLOCK_MAX).min(limits::BLOCK_MAX));
        let args = types::SubmitArgs::new().timespec(&timespec);
        match self.ring.submitter().submit_with_args(1, &args) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ETIME) || is_passing(&error) => {}
            Err(error) => panic!("io_uring refuses to be waited for: {error}"),
        }
        core.inbox.awake();
    }

    /// Gives completions to their waiters; says how many there were.
    fn reap(&mut self) -> usize {
        let mut reaped = 0;
        for completion in self.ring.completion() {
            reaped += 1;
            if completion.user_data() == BELL {
                self.bell_rang = true;
            } else {
                op::complete(&mut self.ops, completion.user_data() as usize, completion.result(), self.turns);
            }
        }
        reaped
    }

    /// Cancels what can be cancelled and waits until the kernel holds none of our memory any more.
    pub(super) fn drain(&mut self) {
        let _ = self.ring.submitter().register_sync_cancel(None, types::CancelBuilder::any());
        while !self.ops.is_empty() {
            let _ = self.ring.submit_and_wait(1);
            self.reap();
        }
    }
}

impl Spin {
    fn arrived(&mut self) {
        let now = Instant::now();
        let gap = (now - self.last_arrival).min(Duration::from_millis(10));
        self.mean_gap = (self.mean_gap * 7 + gap) / 8;
        self.last_arrival = now;
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN))
}
