//! The lossy test medium: killing the process is a power cut, on a real file.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use super::{DiskError, Durability, Lossy, file::FileDisk};
use crate::rt::{self, Buf};

const SECTOR_BYTES: u64 = 512;

/// One sector in this many reaches the file before its flush, as a real cache writes back when it likes.
const EARLY_ONE_IN: u64 = 8;

type Sectors = BTreeMap<u64, [u8; SECTOR_BYTES as usize]>;

/// A file under a cache that only this process holds.
#[derive(Debug)]
pub(super) struct LossyDisk {
    file: FileDisk,
    options: Lossy,
    /// Sectors that the file does not have yet, newest contents, by sector number.
    cached: Mutex<Sectors>,
    /// Held by a flush or a durable write: a flush that has copied a sector must not write it to the file after
    /// a durable write has put newer bytes there.
    file_turn: Turn,
    /// Every process start is a new power-on period: what was not flushed is gone.
    boot_id: [u8; 16],
}

impl LossyDisk {
    pub(super) fn new(file: FileDisk, options: Lossy) -> Self {
        Self {
            file,
            options,
            cached: Mutex::default(),
            file_turn: Turn::default(),
            boot_id: *uuid::Uuid::new_v4().as_bytes(),
        }
    }

    pub(super) fn file(&self) -> &FileDisk {
        &self.file
    }

    pub(super) fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    fn cached(&self) -> MutexGuard<'_, Sectors> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn read(&self, buf: Buf, offset: u64) -> (Buf, Result<(), DiskError>) {
        let sectors = offset / SECTOR_BYTES..(offset + buf.len() as u64) / SECTOR_BYTES;
        // Taken before the file is read: a sector that a flush moves meanwhile is in one of both.
        let overlay: Vec<_> = self.cached().range(sectors.clone()).map(|(&at, &data)| (at, data)).collect();
        let (mut buf, result) = self.file.read(buf, offset).await;
        for (at, data) in overlay {
            sector_of(&mut buf, at - sectors.start).copy_from_slice(&data);
        }
        (buf, result)
    }

    pub(super) async fn write(
        &self,
        buf: Buf,
        offset: u64,
        durability: Durability,
    ) -> (Buf, Result<(), DiskError>) {
        let first = offset / SECTOR_BYTES;
        let mut early = Vec::new();
        {
            let mut cached = self.cached();
            for at in 0..buf.len() as u64 / SECTOR_BYTES {
                let mut data = [0; SECTOR_BYTES as usize];
                data.copy_from_slice(&buf[sector_range(at)]);
                cached.insert(first + at, data);
                if rt::random_u64().is_multiple_of(EARLY_ONE_IN) {
                    early.push((first + at, data));
                }
            }
        }
        if durability == Durability::Durable && !self.options.no_flush {
            let _turn = self.file_turn.take().await;
            let len = buf.len() as u64;
            let (buf, result) = self.file.write(buf, offset, Durability::Durable).await;
            if result.is_ok() {
                self.forget_written(&buf, first, len / SECTOR_BYTES);
            }
            return (buf, result);
        }
        for (at, data) in early {
            if let Err(error) = self.write_sector(at, &data).await {
                return (buf, Err(error));
            }
        }
        (buf, Ok(()))
    }

    /// Drops sectors from the cache whose newest contents the file has now.
    fn forget_written(&self, buf: &Buf, first: u64, count: u64) {
        let mut cached = self.cached();
        for at in 0..count {
            let written = &buf[sector_range(at)];
            if cached.get(&(first + at)).is_some_and(|data| data == written) {
                cached.remove(&(first + at));
            }
        }
    }

    pub(super) async fn flush(&self) -> Result<(), DiskError> {
        if self.options.no_flush {
            return Ok(());
        }
        let _turn = self.file_turn.take().await;
        // Sectors stay in the cache, and so readable, until the file has them.
        let batch = self.cached().clone();
        for (&at, data) in &batch {
            self.write_sector(at, data).await?;
        }
        self.file.flush().await?;
        self.cached().retain(|at, data| batch.get(at) != Some(data));
        Ok(())
    }

    async fn write_sector(&self, at: u64, data: &[u8]) -> Result<(), DiskError> {
        let buf = Buf::copy_of(data).await;
        self.file.write(buf, at * SECTOR_BYTES, Durability::Cached).await.1
    }
}

/// Lets one task at a time through, on whatever core it runs.
#[derive(Debug, Default)]
struct Turn {
    state: Mutex<TurnState>,
}

#[derive(Debug, Default)]
struct TurnState {
    taken: bool,
    waiting: Vec<Waker>,
}

/// Gives the turn back when dropped.
struct Taken<'a>(&'a Turn);

impl Turn {
    async fn take(&self) -> Taken<'_> {
        poll_fn(|context| {
            let mut state = self.state();
            if state.taken {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            state.taken = true;
            Poll::Ready(())
        })
        .await;
        Taken(self)
    }

    fn state(&self) -> MutexGuard<'_, TurnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.taken = false;
        for waker in state.waiting.drain(..) {
            waker.wake();
        }
    }
}

fn sector_of(buf: &mut Buf, at: u64) -> &mut [u8] {
    &mut buf[sector_range(at)]
}

fn sector_range(at: u64) -> Range<usize> {
    let from = (at * SECTOR_BYTES) as usize;
    from..from + SECTOR_BYTES as usize
}
