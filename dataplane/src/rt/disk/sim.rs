//! The simulator's drive: completed writes sit in a cache until a flush; a power cut keeps a random one of the
//! versions of every atomic unit.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use super::{Disk, DiskError, Durability, Kind};
use crate::rt::{
    Buf,
    core::{self, Driver},
    sim::SimRng,
};

/// A drive medium that outlives simulated crashes. Clones are the same medium.
#[derive(Debug, Clone)]
pub struct SimMedia {
    block_bytes: u32,
    atomic_bytes: u32,
    volatile_cache: bool,
    state: Arc<Mutex<State>>,
}

/// A defect of a medium, until it is taken away again.
#[derive(Debug, Clone)]
pub struct SimFault {
    pub of: FaultyOperation,
    /// Operations that touch these bytes fail. Flushes have none and always do.
    pub bytes: Range<u64>,
    pub error: DiskError,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultyOperation {
    Read,
    Write,
    Flush,
    All,
}

impl SimFault {
    fn hits(&self, op: &Op) -> bool {
        let (kind, touched) = match op {
            Op::Read { offset, len } => (FaultyOperation::Read, Some(*offset..offset + *len as u64)),
            Op::Write { offset, data, .. } => {
                (FaultyOperation::Write, Some(*offset..offset + data.len() as u64))
            }
            Op::Flush { .. } => (FaultyOperation::Flush, None),
        };
        let overlaps = |touched: Range<u64>| touched.start < self.bytes.end && self.bytes.start < touched.end;
        (self.of == FaultyOperation::All || self.of == kind) && touched.is_none_or(overlaps)
    }
}

/// Versions of one atomic unit: what power loss leaves at least, then every later write not flushed yet.
#[derive(Debug, Clone)]
struct Unit {
    durable: Arc<[u8]>,
    cached: Vec<(u64, Arc<[u8]>)>,
}

#[derive(Debug, Default)]
struct State {
    size_bytes: u64,
    units: BTreeMap<u64, Unit>,
    /// Units with versions that a power cut may take.
    at_risk: BTreeSet<u64>,
    pending: BTreeMap<u64, Pending>,
    next_op: u64,
    /// Counts completions; a flush covers the writes that completed before it began.
    completions: u64,
    /// Writes and flushes among them.
    changes: u64,
    boot: u64,
    no_flush: bool,
    /// Operations from this many completions on fail (a dying drive).
    fail_after: Option<u64>,
    fault: Option<SimFault>,
}

#[derive(Debug, Clone)]
enum Op {
    Read { offset: u64, len: usize },
    Write { offset: u64, data: Vec<u8>, durability: Durability },
    Flush { began: u64 },
}

#[derive(Debug)]
struct Pending {
    op: Op,
    waker: Option<Waker>,
    done: Option<Result<Vec<u8>, DiskError>>,
}

/// The open side of a [`SimMedia`].
#[derive(Debug, Clone)]
pub(super) struct SimDisk(SimMedia);

impl SimMedia {
    /// An empty medium (zeros). Writes are multiples of `block_bytes`; power cuts tear at `atomic_bytes`.
    pub fn new(size_bytes: u64, block_bytes: u32, atomic_bytes: u32, volatile_cache: bool) -> Self {
        assert!(atomic_bytes.is_multiple_of(block_bytes));
        let state = Arc::new(Mutex::new(State { size_bytes, ..State::default() }));
        Self { block_bytes, atomic_bytes, volatile_cache, state }
    }

    pub fn disk(&self) -> Disk {
        Disk(Kind::Sim(SimDisk(self.clone())))
    }

    /// Writes and flushes that it has carried out.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// The medium of this moment, operations under way included, as one of its own: a single run can so be crashed
    /// at many moments.
    pub fn fork(&self) -> Self {
        let state = self.state();
        let pending = state.pending.iter().map(|(id, pending)| {
            let Pending { op, done, .. } = pending;
            (*id, Pending { op: op.clone(), waker: None, done: done.clone() })
        });
        let fork = State {
            units: state.units.clone(),
            at_risk: state.at_risk.clone(),
            pending: pending.collect(),
            fault: state.fault.clone(),
            ..*state
        };
        Self { state: Arc::new(Mutex::new(fork)), ..*self }
    }

    /// Somebody made the medium larger, as an administrator does with a logical volume.
    pub fn grow_to(&self, size_bytes: u64) {
        let mut state = self.state();
        state.size_bytes = state.size_bytes.max(size_bytes);
    }

    /// Test of the test: a flush promises everything and does nothing.
    pub fn no_flush(&self, no_flush: bool) {
        self.state().no_flush = no_flush;
    }

    /// From `completions` more completed operations on, every operation fails; `None` ends that.
    pub fn fail_after(&self, completions: Option<u64>) {
        let mut state = self.state();
        state.fail_after = completions.map(|n| state.completions + n);
    }

    /// From now on some operations fail, and do nothing; `None` ends that.
    pub fn inject(&self, fault: Option<SimFault>) {
        self.state().fault = fault;
    }

    /// The process ended, the drive kept power: completed writes are there, those under way in part.
    pub fn process_died(&self, rng: &mut SimRng) {
        let mut state = self.state();
        self.resolve_in_flight(&mut state, rng);
    }

    /// Power was cut: of each atomic unit one version survives, from the last flushed to the newest.
    pub fn power_cut(&self, rng: &mut SimRng) {
        let mut state = self.state();
        self.resolve_in_flight(&mut state, rng);
        if self.volatile_cache {
            let State { units, at_risk, .. } = &mut *state;
            for unit in std::mem::take(at_risk) {
                let unit = units.get_mut(&unit).expect("it was written");
                let survivor = rng.below(unit.cached.len() as u64 + 1) as usize;
                if survivor > 0 {
                    unit.durable = unit.cached.swap_remove(survivor - 1).1;
                }
                unit.cached.clear();
            }
        }
        state.boot += 1;
    }

    fn resolve_in_flight(&self, state: &mut State, rng: &mut SimRng) {
        for (_, pending) in std::mem::take(&mut state.pending) {
            if let (Op::Write { offset, data, .. }, None) = (pending.op, pending.done) {
                for (unit, range) in self.units_of(offset, data.len()) {
                    if rng.below(2) == 0 {
                        self.put(state, unit, offset, &data, range, Durability::Cached);
                    }
                }
            }
        }
    }

    /// The atomic units that a write touches, each with the part of the write's data that falls into it.
    fn units_of(&self, offset: u64, len: usize) -> Vec<(u64, Range<usize>)> {
        let size = u64::from(self.atomic_bytes);
        let end = offset + len as u64;
        (offset / size..end.div_ceil(size))
            .map(|unit| {
                let from = (unit * size).max(offset) - offset;
                let to = ((unit + 1) * size).min(end) - offset;
                (unit, from as usize..to as usize)
            })
            .collect()
    }

    fn put(
        &self,
        state: &mut State,
        unit: u64,
        offset: u64,
        data: &[u8],
        part: Range<usize>,
        durability: Durability,
    ) {
        let size = self.atomic_bytes as usize;
        let completions = state.completions;
        let entry = state
            .units
            .entry(unit)
            .or_insert_with(|| Unit { durable: vec![0; size].into(), cached: Vec::new() });
        let mut version = entry.newest().to_vec();
        let at = (offset + part.start as u64 - unit * size as u64) as usize;
        version[at..at + part.len()].copy_from_slice(&data[part]);
        if durability == Durability::Durable || !self.volatile_cache {
            entry.durable = version.into();
            entry.cached.clear();
        } else {
            entry.cached.push((completions, version.into()));
            state.at_risk.insert(unit);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out one operation that is under way; the simulator chooses which.
    pub(in crate::rt) fn complete(&self, op: u64) {
        let mut state = self.state();
        let Some(pending) = state.pending.get_mut(&op) else { return };
        let kind = std::mem::replace(&mut pending.op, Op::Flush { began: 0 });
        let waker = pending.waker.take();
        state.completions += 1;
        let failed = state.fail_after.is_some_and(|limit| state.completions > limit);
        state.changes += u64::from(!matches!(kind, Op::Read { .. }));
        let fault = state.fault.as_ref().filter(|fault| fault.hits(&kind)).map(|fault| fault.error);
        let result = match fault {
            Some(error) => Err(error),
            None if failed => Err(DiskError::Io(5)),
            None => Ok(self.carry_out(&mut state, kind)),
        };
        if let Some(pending) = state.pending.get_mut(&op) {
            pending.done = Some(result);
        }
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn carry_out(&self, state: &mut State, op: Op) -> Vec<u8> {
        match op {
            Op::Read { offset, len } => {
                let mut data = vec![0; len];
                for (unit, part) in self.units_of(offset, len) {
                    if let Some(entry) = state.units.get(&unit) {
                        let at = (offset + part.start as u64 - unit * u64::from(self.atomic_bytes)) as usize;
                        let bytes = &entry.newest()[at..at + part.len()];
                        data[part].copy_from_slice(bytes);
                    }
                }
                data
            }
            Op::Write { offset, data, durability } => {
                for (unit, part) in self.units_of(offset, data.len()) {
                    self.put(state, unit, offset, &data, part, durability);
                }
                Vec::new()
            }
            Op::Flush { began } => {
                if !state.no_flush {
                    let State { units, at_risk, .. } = state;
                    at_risk.retain(|unit| {
                        let unit = units.get_mut(unit).expect("it was written");
                        unit.flush_until(began);
                        !unit.cached.is_empty()
                    });
                }
                Vec::new()
            }
        }
    }

    /// Hands an operation to the simulator and waits until that carried it out.
    async fn run(&self, op: Op) -> Result<Vec<u8>, DiskError> {
        let id = {
            let mut state = self.state();
            let op = match op {
                Op::Flush { .. } => Op::Flush { began: state.completions },
                other => other,
            };
            state.next_op += 1;
            let id = state.next_op;
            state.pending.insert(id, Pending { op, waker: None, done: None });
            id
        };
        core::with(|c| match &c.driver {
            Driver::Sim(sim) => sim.submit(self.clone(), id),
            Driver::Uring(_) => panic!("a simulated disk lives in the simulator"),
        });
        poll_fn(|cx| {
            let mut state = self.state();
            let Some(pending) = state.pending.get_mut(&id) else { return Poll::Pending };
            if pending.done.is_none() {
                pending.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let done = state.pending.remove(&id).and_then(|pending| pending.done);
            Poll::Ready(done.expect("checked above"))
        })
        .await
    }
}

impl Unit {
    fn newest(&self) -> &[u8] {
        self.cached.last().map_or(&self.durable, |(_, version)| version)
    }

    /// Makes versions that completed at or before `began` durable; later ones stay at risk.
    fn flush_until(&mut self, began: u64) {
        let covered = self.cached.iter().take_while(|(completed, _)| *completed <= began).count();
        if let Some((_, version)) = self.cached.drain(..covered).next_back() {
            self.durable = version;
        }
    }
}

impl SimDisk {
    pub(super) fn size_bytes(&self) -> u64 {
        self.0.state().size_bytes
    }

    /// As a file: it becomes as large as asked for, and never smaller.
    pub(super) fn grow(&self, size_bytes: Option<u64>) -> u64 {
        let mut state = self.0.state();
        state.size_bytes = state.size_bytes.max(size_bytes.unwrap_or(0));
        state.size_bytes
    }

    pub(super) fn block_bytes(&self) -> u32 {
        self.0.block_bytes
    }

    pub(super) fn atomic_bytes(&self) -> u32 {
        self.0.atomic_bytes
    }

    pub(super) fn is_volatile(&self) -> bool {
        self.0.volatile_cache
    }

    pub(super) fn boot_id(&self) -> [u8; 16] {
        u128::from(self.0.state().boot).to_le_bytes()
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), DiskError> {
        let block = u64::from(self.0.block_bytes);
        assert!(
            offset.is_multiple_of(block) && (len as u64).is_multiple_of(block),
            "unaligned disk operation"
        );
        if offset + len as u64 > self.size_bytes() { Err(DiskError::Short) } else { Ok(()) }
    }

    pub(super) async fn read(&self, mut buf: Buf, offset: u64) -> (Buf, Result<(), DiskError>) {
        if let Err(error) = self.check(offset, buf.len()) {
            return (buf, Err(error));
        }
        let result = self.0.run(Op::Read { offset, len: buf.len() }).await;
        let result = result.map(|data| buf.copy_from_slice(&data));
        (buf, result)
    }

    pub(super) async fn write(
        &self,
        buf: Buf,
        offset: u64,
        durability: Durability,
    ) -> (Buf, Result<(), DiskError>) {
        if let Err(error) = self.check(offset, buf.len()) {
            return (buf, Err(error));
        }
        let result = self.0.run(Op::Write { offset, data: buf.to_vec(), durability }).await;
        (buf, result.map(drop))
    }

    pub(super) async fn flush(&self) -> Result<(), DiskError> {
        self.0.run(Op::Flush { began: 0 }).await.map(drop)
    }
}
