//! What hosts do with each volume: how long its reads and writes take, and how many commands are under way.
//!
//! Each core counts for itself, on cache lines of its own, with plain loads and stores; whoever asks sums up.

use std::{rc::Rc, sync::OnceLock, time::Duration};

use super::{counters::Counter, exports_view::ExportsView};
use crate::{
    node::{LATENCY_BUCKETS, Latencies, VolumeIo},
    rt::CoreId,
};

/// Commands whose time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timed {
    Read,
    Write,
}

/// Of one volume; a core's part is made at its first command.
#[derive(Debug)]
pub(super) struct IoCounters(Box<[OnceLock<Box<OfCore>>]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct OfCore {
    reads: Histogram,
    writes: Histogram,
    /// Commands that came, and those of them that have ended.
    begun: Counter,
    ended: Counter,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [Counter; LATENCY_BUCKETS],
    sum_nanos: Counter,
    bytes: Counter,
}

impl Histogram {
    fn add(&self, bytes: u64, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[Latencies::bucket(nanos)].add(1);
        self.sum_nanos.add(nanos);
        self.bytes.add(bytes);
    }

    fn add_to(&self, sum: &mut Latencies) {
        sum.buckets.iter_mut().zip(&self.buckets).for_each(|(sum, bucket)| *sum += bucket.get());
        sum.sum_nanos += self.sum_nanos.get();
    }
}

impl IoCounters {
    pub(super) fn new(cores: usize) -> Self {
        Self((0..cores).map(|_| OnceLock::new()).collect())
    }

    fn of(&self, core: CoreId) -> &OfCore {
        self.0[usize::from(core.0)].get_or_init(Box::default)
    }

    /// Over all cores. `None`: there has been no command.
    pub(super) fn sum(&self) -> Option<VolumeIo> {
        let mut sum: Option<VolumeIo> = None;
        for core in self.0.iter().filter_map(OnceLock::get) {
            let sum = sum.get_or_insert_default();
            core.reads.add_to(&mut sum.reads);
            core.writes.add_to(&mut sum.writes);
            sum.bytes_read += core.reads.bytes.get();
            sum.bytes_written += core.writes.bytes.get();
            // In this order: what ends in between is counted as under way, never as less than nothing.
            let ended = core.ended.get();
            sum.under_way += core.begun.get().saturating_sub(ended);
        }
        sum
    }
}

/// A command of a volume, from when it was understood until it has ended, however it ends.
#[derive(Debug)]
pub(super) struct UnderWay {
    view: Rc<ExportsView>,
    /// Its index in the view.
    namespace: usize,
}

impl UnderWay {
    pub(super) fn new(view: &Rc<ExportsView>, namespace: usize) -> Self {
        let this = Self { view: view.clone(), namespace };
        this.counters().begun.add(1);
        this
    }

    /// It was about so many bytes, was executed, and took so long.
    pub(super) fn took(&self, timed: Timed, bytes: u64, latency: Duration) {
        match timed {
            Timed::Read => self.counters().reads.add(bytes, latency),
            Timed::Write => self.counters().writes.add(bytes, latency),
        }
    }

    fn counters(&self) -> &OfCore {
        self.view.namespaces()[self.namespace].path.io.of(self.view.core())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.counters().ended.add(1);
    }
}
