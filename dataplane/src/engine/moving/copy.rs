//! Copying one layer: entry by entry the same states, and the bytes of its own blocks. The layers below it come first.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    engine::{
        drive::DriveShared,
        error::{Corruption, EngineError},
        format::{BLOCK_BYTES, EXTENT_BYTES, SECTOR_BYTES},
        layer::Layer,
        map::{BlockMask, BlockState, Entry, LogicalExtent},
        paging::Purpose,
        side_record,
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
    /// Offset in bytes and content of each run of stored blocks; zeros where they have none.
    runs: Vec<(u64, Buf)>,
    /// Offset and length in bytes of neighbouring sectors that have none.
    uncorrectable: Vec<(u64, u64)>,
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
            // Large, and not to be carried on the stack by who waits for it.
            let nth = |index: usize| Box::pin(self.copy_extent(from, some.get(index).copied()));
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
        let Content { entry, runs, uncorrectable } = self.read(from, logical).await?;
        let to = &self.copy.drive;
        for (offset_bytes, bytes) in runs {
            let (_, result) = self.copy.write_range(offset_bytes, bytes, false).await;
            result.map_err(|error| to.judge(error))?;
        }
        for (offset_bytes, len_bytes) in uncorrectable {
            let marked = self.copy.mark_uncorrectable(offset_bytes, len_bytes, false).await;
            marked.map_err(|error| to.judge(error))?;
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
                    return read_content(from, logical, entry).await;
                }
            }
            from.page_in(&self.layer, logical.leaf(), Purpose::Read).await?;
        }
    }
}

impl Content {
    /// One sector; they come in ascending order.
    fn note_uncorrectable(&mut self, offset_bytes: u64) {
        match self.uncorrectable.last_mut() {
            Some((start, len)) if *start + *len == offset_bytes => *len += SECTOR_BYTES,
            _ => self.uncorrectable.push((offset_bytes, SECTOR_BYTES)),
        }
    }
}

/// Within an operation.
async fn read_content(
    from: &DriveShared,
    logical: LogicalExtent,
    entry: Entry,
) -> Result<Content, EngineError> {
    let mut content = Content { entry, runs: Vec::new(), uncorrectable: Vec::new() };
    for (first, last) in entry.stored().runs() {
        let extent = entry.extent().ok_or(Corruption::Unreadable)?;
        let len_bytes = extent.block_bytes(last + 1) - extent.block_bytes(first);
        let (mut bytes, result) =
            from.read_bytes(Buf::alloc(len_bytes as usize).await, extent.block_bytes(first)).await;
        result.map_err(|error| from.judge(error))?;
        let start = u64::from(logical.0) * EXTENT_BYTES + u64::from(first) * BLOCK_BYTES;
        for (block, bytes) in (first..=last).zip(bytes.chunks_exact_mut(BLOCK_BYTES as usize)) {
            if entry.state(block) == BlockState::SideRecord {
                let lost = side_record::decode(bytes).ok_or(Corruption::SideRecord)?;
                let block_start = start + u64::from(block - first) * BLOCK_BYTES;
                for sector in (0..8).filter(|&sector| lost.has(sector)) {
                    content.note_uncorrectable(block_start + u64::from(sector) * SECTOR_BYTES);
                }
            }
        }
        content.runs.push((start, bytes));
    }
    Ok(content)
}
