//! Copying one layer: entry by entry the same states, and the bytes of its own blocks. The layers below it come first.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    engine::{
        drive::DriveShared,
        error::{Corruption, EngineError},
        format::EXTENT_BYTES,
        layer::Layer,
        map::{BlockMask, BlockState, Entry, LogicalExtent},
        paging::Purpose,
        sync::join4,
        volume::Volume,
        walk::extents_of,
    },
    rt::{self, Buf},
};

/// Counts what was copied, for those who wait.
#[derive(Debug, Default)]
pub struct Meter {
    copied_bytes: AtomicU64,
}

impl Meter {
    /// Bytes of extents that were copied for the first time.
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes.load(Ordering::Relaxed)
    }
}

/// Whether hosts' operations go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Yielding,
    /// They are held back meanwhile, or outrun the copy.
    Swift,
}

/// A layer and its copy.
#[derive(Debug)]
pub(super) struct LayerCopy {
    pub(super) layer: Arc<Layer>,
    /// Its head is the copy, which only we write to.
    pub(super) copy: Volume,
    pub(super) is_whole: bool,
}

/// What one extent of the layer is.
struct Content {
    entry: Entry,
    /// Offset in bytes and content of each run of stored blocks.
    runs: Vec<(u64, Buf)>,
}

/// Written extents that are taken at once.
const TAKEN_AT_ONCE: usize = 64;
const SIDE_BY_SIDE: usize = 4;

impl LayerCopy {
    /// Copies what was not copied yet, and what was written to since.
    pub(super) async fn advance(
        &mut self,
        from: &DriveShared,
        pace: Pace,
        meter: &Meter,
    ) -> Result<(), EngineError> {
        if !self.is_whole {
            self.copy_whole(from, pace, meter).await?;
            self.is_whole = true;
        }
        let Some(written) = self.layer.written() else { return Ok(()) };
        // No further than what there was at the beginning: while hosts write there is always more.
        let mut left = written.count();
        while left > 0 {
            let taken = written.take(TAKEN_AT_ONCE.min(left as usize));
            if taken.is_empty() {
                break;
            }
            left = left.saturating_sub(taken.len() as u64);
            self.copy_extents(from, &taken, pace).await?;
        }
        Ok(())
    }

    async fn copy_whole(&self, from: &DriveShared, pace: Pace, meter: &Meter) -> Result<(), EngineError> {
        let mut next = 0;
        while let Some(leaf) = from.next_leaf(&self.layer.tree, next).await? {
            let mut owned = Vec::new();
            for logical in extents_of(leaf) {
                if from.present(&self.layer, logical).await? != Entry::ABSENT {
                    owned.push(logical);
                }
            }
            for some in owned.chunks(TAKEN_AT_ONCE) {
                self.copy_extents(from, some, pace).await?;
                meter.copied_bytes.fetch_add(some.len() as u64 * EXTENT_BYTES, Ordering::Relaxed);
            }
            next = leaf + 1;
        }
        Ok(())
    }

    async fn copy_extents(
        &self,
        from: &DriveShared,
        extents: &[LogicalExtent],
        pace: Pace,
    ) -> Result<(), EngineError> {
        for some in extents.chunks(SIDE_BY_SIDE) {
            let begin = rt::now();
            let nth = |index: usize| self.copy_extent(from, some.get(index).copied());
            for result in join4([nth(0), nth(1), nth(2), nth(3)]).await {
                result?;
            }
            if pace == Pace::Yielding {
                from.rest(begin).await;
            }
        }
        Ok(())
    }

    async fn copy_extent(
        &self,
        from: &DriveShared,
        logical: Option<LogicalExtent>,
    ) -> Result<(), EngineError> {
        let Some(logical) = logical else { return Ok(()) };
        let Content { entry, runs } = self.read(from, logical).await?;
        let to = &self.copy.drive;
        for (offset_bytes, bytes) in runs {
            let (_, result) = self.copy.write_range(offset_bytes, bytes, false).await;
            result.map_err(|error| to.judge(error))?;
        }
        let zeros = entry.known().without(entry.stored());
        let absent = BlockMask::ALL.without(entry.known());
        let same = |copy: Entry| copy.with(zeros, BlockState::Zero).with(absent, BlockState::Absent);
        to.clear_entry(&self.copy.volume.head(), logical, same).await
    }

    /// The layer's own blocks of an extent. A host that writes them meanwhile notes it, and they are read again.
    async fn read(&self, from: &DriveShared, logical: LogicalExtent) -> Result<Content, EngineError> {
        loop {
            {
                let _operation = from.grace.enter();
                if let Some(entry) = from.entry(&self.layer, logical) {
                    let entry = self.layer.recorded(logical, entry);
                    return Ok(Content { entry, runs: read_runs(from, logical, entry).await? });
                }
            }
            from.page_in(&self.layer, logical.leaf(), Purpose::Read).await?;
        }
    }
}

/// Within an operation.
async fn read_runs(
    from: &DriveShared,
    logical: LogicalExtent,
    entry: Entry,
) -> Result<Vec<(u64, Buf)>, EngineError> {
    let mut runs = Vec::new();
    for (first, last) in entry.stored().runs() {
        let is_data = (first..=last).all(|block| entry.state(block) == BlockState::Data);
        let extent = entry.extent().filter(|_| is_data).ok_or(Corruption::Unreadable)?;
        let len_bytes = extent.block_bytes(last + 1) - extent.block_bytes(first);
        let (bytes, result) =
            from.read_bytes(Buf::alloc(len_bytes as usize).await, extent.block_bytes(first)).await;
        result.map_err(|error| from.judge(error))?;
        let within = extent.block_bytes(first) - extent.offset_bytes();
        runs.push((u64::from(logical.0) * EXTENT_BYTES + within, bytes));
    }
    Ok(runs)
}
