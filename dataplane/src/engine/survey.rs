//! Which ranges of a volume are allocated, and which cannot be read, as the maps say.

use std::ops::Range;

use super::{
    error::EngineError,
    format::{BLOCK_BYTES, ENTRIES_PER_PAGE, EXTENT_BYTES, SECTOR_BYTES},
    read::Source,
    volume::Volume,
};
use crate::rt;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Blocks of 4 KiB that hold something, in whatever layer.
    Allocated,
    /// What hosts marked uncorrectable.
    Uncorrectable,
}

/// A look through a volume, part by part in ascending order.
#[derive(Debug)]
pub struct Survey {
    sought: Sought,
    ranges_max: usize,
    steps_left: u32,
    ranges: Vec<Range<u64>>,
    is_complete: bool,
}

/// Runs of blocks, or 32 MiB without any, that one look may come by: well under a second's work.
const STEPS_MAX: u32 = 1 << 16;
/// After so many, others get their turn.
const STEPS_AT_ONCE: u32 = 256;
/// No range is longer, so that its blocks fit 32 bits whatever their size.
const RANGE_BYTES_MAX: u64 = 1 << 40;
const LEAF_BYTES: u64 = ENTRIES_PER_PAGE as u64 * EXTENT_BYTES;

impl Survey {
    /// A look for at most so many ranges.
    pub fn new(sought: Sought, ranges_max: usize) -> Self {
        Self { sought, ranges_max, steps_left: STEPS_MAX, ranges: Vec::new(), is_complete: true }
    }

    /// What was found: bytes, ascending.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The same for who counts from so many bytes on.
    #[must_use]
    pub fn counted_from(mut self, start_bytes: u64) -> Self {
        for range in &mut self.ranges {
            *range = range.start - start_bytes..range.end - start_bytes;
        }
        self
    }

    /// Whether all was looked at and all that was found is there.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// One more, which continues the last one if it touches it.
    fn add(&mut self, range: Range<u64>) {
        let is_full = self.ranges.len() == self.ranges_max;
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start && range.end - last.start <= RANGE_BYTES_MAX => {
                last.end = range.end;
            }
            _ if is_full => self.is_complete = false,
            _ => self.ranges.push(range),
        }
    }

    async fn step(&mut self) {
        match self.steps_left.checked_sub(1) {
            Some(left) => self.steps_left = left,
            None => self.is_complete = false,
        }
        if self.steps_left.is_multiple_of(STEPS_AT_ONCE) {
            rt::yield_now().await;
        }
    }
}

impl Volume {
    /// Looks through a range of this volume, which lies on its blocks and begins `base_bytes` into what is looked
    /// through.
    ///
    /// # Errors
    /// `OutOfRange` if it ends behind the volume.
    pub async fn survey(
        &self,
        range: Range<u64>,
        base_bytes: u64,
        survey: &mut Survey,
    ) -> Result<(), EngineError> {
        if range.end > self.size_bytes() {
            return Err(EngineError::OutOfRange);
        }
        let mut at = range.start;
        while at < range.end && survey.is_complete {
            survey.step().await;
            let leaf_end = (at / LEAF_BYTES + 1) * LEAF_BYTES;
            if at.is_multiple_of(LEAF_BYTES) && self.is_leaf_absent(at).await? {
                at = leaf_end;
                continue;
            }
            at += self.survey_run(at..leaf_end.min(range.end), base_bytes, survey).await?;
        }
        Ok(())
    }

    /// Looks at the blocks that go on at the start of a range; says how many bytes that was.
    async fn survey_run(
        &self,
        range: Range<u64>,
        base_bytes: u64,
        survey: &mut Survey,
    ) -> Result<u64, EngineError> {
        let run = self.next_run(range.start, (range.end - range.start) as usize).await?;
        let (len, start) = (run.len_bytes as u64, base_bytes + range.start);
        match (survey.sought, run.source) {
            (Sought::Allocated, Source::Drive(_) | Source::Beside(_)) => survey.add(start..start + len),
            (Sought::Uncorrectable, Source::Beside(address)) => {
                let within = address % BLOCK_BYTES;
                let (_, lost) = self.drive.read_side_record(address - within).await?;
                for sector in (within..within + len).step_by(SECTOR_BYTES as usize) {
                    if lost.has((sector / SECTOR_BYTES) as u32) {
                        let sector_start = start + sector - within;
                        survey.add(sector_start..sector_start + SECTOR_BYTES);
                    }
                }
            }
            (Sought::Allocated, Source::Zeros | Source::Unreadable)
            | (Sought::Uncorrectable, Source::Zeros | Source::Drive(_) | Source::Unreadable) => {}
        }
        Ok(len)
    }
}
