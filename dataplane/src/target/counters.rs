//! What a queue pair did, counted by its own core and read by any.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::node::SubsystemUsage;

/// A number that one core adds to and others read: no lock, no bus-locked instruction.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Only the owning core may add.
    pub(super) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one queue pair, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct QueueCounters {
    /// Commands received, whatever they were.
    pub(super) commands: Counter,
    pub(super) reads: Counter,
    pub(super) writes: Counter,
    pub(super) bytes_read: Counter,
    pub(super) bytes_written: Counter,
    /// Commands that failed because a drive did, or stored bytes were wrong.
    pub(super) media_errors: Counter,
    /// Commands that failed, however.
    pub(super) errors: Counter,
    /// Time with a command under way.
    pub(super) busy_nanos: Counter,
}

/// A sum over queue pairs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    /// Received, whatever they were.
    pub(super) commands: u64,
    pub(super) usage: SubsystemUsage,
}

impl Totals {
    pub(super) fn add(&mut self, queue: &QueueCounters) {
        self.commands += queue.commands.get();
        self.usage += SubsystemUsage {
            reads: queue.reads.get(),
            writes: queue.writes.get(),
            bytes_read: queue.bytes_read.get(),
            bytes_written: queue.bytes_written.get(),
            busy_nanos: queue.busy_nanos.get(),
            media_errors: queue.media_errors.get(),
            errors: queue.errors.get(),
        };
    }
}
