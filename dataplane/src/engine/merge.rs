//! Merging (E6): a frozen layer without a name gives what it has to the one layer above it.
//!
//! Entry by entry, ascending. The layer above takes the blocks that it says nothing about: with the extent, if it has
//! none there; else the blocks are copied into its extent. Then one journal group says both: the layer above has it,
//! this one has not. In memory this one stays as it was, since reads under way may have looked at the layer above
//! before; `Layer::merged_before` tells the two apart.

use std::sync::Arc;

use super::{
    drive::{DriveShared, Fault},
    error::EngineError,
    journal::{MergedExtent, Records},
    layer::Layer,
    map::{BlockMask, Entry, Extent, LogicalExtent},
    paging::Purpose,
    sync::lock,
    volume::VolumeShared,
    walk::extents_of,
};
use crate::rt::{Buf, Durability};

/// What is to be done for one entry.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It says nothing.
    Nothing,
    /// Blocks must be copied into the upper layer's extent first.
    Copy { from: Extent, into: Extent, blocks: BlockMask },
    /// The upper entry becomes this, and the lower one goes.
    Hand { upper: Entry, extent: MergedExtent },
}

/// Whether an extent of `lower` comes back when it is merged into `upper`, which covers these blocks: itself, or
/// with what stands on it.
pub(super) fn frees_extent(lower: Entry, upper: Entry, covered: BlockMask) -> bool {
    let stored = lower.stored().without(covered);
    lower.extent().is_some() && (stored.is_empty() || upper.extent().is_some())
}

impl Step {
    /// `shows_through`: there is a layer below both, which zeros of the lower one hide.
    fn plan(lower: Entry, upper: Entry, shows_through: bool) -> Self {
        if lower == Entry::ABSENT {
            return Self::Nothing;
        }
        let missing = lower.known().without(upper.known());
        let stored = missing.and(lower.stored());
        let freed = lower.extent().map_or(MergedExtent::None, MergedExtent::Freed);
        let taken = if shows_through { missing } else { stored };
        match (lower.extent(), upper.extent()) {
            _ if stored.is_empty() => {
                let zeros = taken.without(stored);
                Self::Hand { upper: upper.with_states_of(lower, zeros), extent: freed }
            }
            (Some(from), Some(into)) => Self::Copy { from, into, blocks: stored },
            (extent, None) => Self::Hand {
                upper: upper.with_states_of(lower, taken).with_extent(extent),
                extent: MergedExtent::GoesAlong,
            },
            (None, Some(_)) => unreachable!("stored blocks are in an extent"),
        }
    }
}

/// Extents copied before the next snapshot, creation or deletion gets its turn: some milliseconds.
const COPIES_AT_ONCE: u32 = 32;

/// A merge under way.
struct Merge<'a> {
    drive: &'a DriveShared,
    lower: &'a Arc<Layer>,
    upper: &'a Arc<Layer>,
    /// Whose head the upper layer is, or was when the merge began.
    writer: Option<Arc<VolumeShared>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Blocks were copied; the lower layer still has them, too.
    Copied,
}

/// Whether a step may take the lower layer's entry away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extents {
    Stay,
    Go,
}

impl DriveShared {
    /// Merges some entries of `lower` into `upper`, the only layer that shows it; no more than one leaf's. False:
    /// there are none left.
    pub(super) async fn merge_some(
        &self,
        lower: &Arc<Layer>,
        upper: &Arc<Layer>,
    ) -> Result<bool, EngineError> {
        let Some(leaf) = self.next_leaf(&lower.tree, lower.next_leaf()).await? else { return Ok(false) };
        let merge = Merge { drive: self, lower, upper, writer: self.writer_of(upper) };
        let mut ready = Vec::new();
        let mut copies = 0;
        for logical in extents_of(leaf).filter(|logical| !lower.is_merged(*logical)) {
            copies += u32::from(merge.step(logical, Extents::Stay).await? == Outcome::Copied);
            ready.push(logical);
            if copies == COPIES_AT_ONCE {
                break;
            }
        }
        if copies > 0 {
            merge.forget(leaf).await;
        }
        self.activity.merged(ready.len());
        for logical in ready {
            while merge.step(logical, Extents::Go).await? == Outcome::Copied {
                // A write came in between.
                merge.forget(leaf).await;
            }
        }
        Ok(true)
    }

    /// Ends a merge: `upper` stands on what `lower` stood on.
    pub(super) async fn unlink(&self, lower: &Arc<Layer>, upper: &Arc<Layer>) -> Result<(), EngineError> {
        self.journal.barrier().await?;
        let _room = self.admit_clear().await?;
        upper.set_parent(lower.parent());
        // Some of what it got may be hidden.
        upper.set_thinned_at(0);
        for volume in lock(&self.volumes).values() {
            let shorter = {
                let chain = volume.chain();
                chain.contains(lower.id).then(|| chain.without(lower.id))
            };
            shorter.into_iter().for_each(|chain| volume.set_chain(chain));
        }
        let ticket = self.note_records(Records { layers: vec![upper.record()], volumes: Vec::new() });
        self.journal.written(ticket).await
    }

    /// The volume whose head that layer is, or was when this was asked: then nobody writes to it.
    fn writer_of(&self, layer: &Layer) -> Option<Arc<VolumeShared>> {
        lock(&self.volumes).values().find(|volume| volume.writes_to(layer)).cloned()
    }

    fn settle_account(&self, lower: &Layer, upper: &Layer, extent: MergedExtent) {
        match extent {
            MergedExtent::None => {}
            MergedExtent::GoesAlong => self.ledger.transfer(&lower.account, &upper.account),
            MergedExtent::Freed(_) => self.ledger.refund(&lower.account),
        }
    }

    async fn copy_blocks(&self, from: Extent, into: Extent, blocks: BlockMask) -> Result<(), EngineError> {
        if self.fault == Some(Fault::MergeCopiesNothing) {
            return Ok(());
        }
        for (first, last) in blocks.runs() {
            let len = into.block_bytes(last + 1) - into.block_bytes(first);
            let buf = Buf::alloc(len as usize).await;
            let (buf, result) = self.disk.read(buf, from.block_bytes(first)).await;
            result?;
            self.disk.write(buf, into.block_bytes(first), Durability::Cached).await.1?;
        }
        Ok(())
    }
}

impl Merge<'_> {
    /// Takes one entry a step further.
    async fn step(&self, logical: LogicalExtent, extents: Extents) -> Result<Outcome, EngineError> {
        let Self { drive, lower, upper, .. } = *self;
        loop {
            let (first, second) = (drive.admit_clear().await?, drive.admit_clear().await?);
            // Writers of the same blocks wait; nobody else changes either entry (E1).
            let _claim = match &self.writer {
                Some(volume) => Some(volume.claims().take(logical, BlockMask::ALL).await),
                None => None,
            };
            let operation = drive.grace.enter();
            let cells = (drive.cell(lower, logical), drive.cell(upper, logical));
            let (Some(lower_cell), Some(upper_cell)) = cells else {
                drop(operation);
                drive.page_in(lower, logical.leaf(), Purpose::Merge).await?;
                drive.page_in(upper, logical.leaf(), Purpose::Merge).await?;
                continue;
            };
            let before = upper_cell.load();
            match Step::plan(lower_cell.load(), before, lower.parent().is_some()) {
                Step::Copy { from, into, blocks } => {
                    drive.copy_blocks(from, into, blocks).await?;
                    let after = before.with_states_of(lower_cell.load(), blocks);
                    let mut book = drive.journal.book();
                    if upper_cell.change(before, after).is_ok() {
                        book.changed(upper, logical, first);
                        let ticket = book.close();
                        drop(operation);
                        // The claim is kept until then, as a writer keeps it: an overwrite of the copy, answered
                        // sooner, would be lost if the record were.
                        drive.journal.written(ticket).await?;
                        return Ok(Outcome::Copied);
                    }
                }
                _ if extents == Extents::Stay => return Ok(Outcome::Done),
                Step::Nothing => {
                    lower.set_merged_before(u64::from(logical.0) + 1);
                    return Ok(Outcome::Done);
                }
                Step::Hand { upper: after, extent } => {
                    let mut book = drive.journal.book();
                    if before != after {
                        if upper_cell.change(before, after).is_err() {
                            continue;
                        }
                        book.changed(upper, logical, first);
                    }
                    lower.set_merged_before(u64::from(logical.0) + 1);
                    book.merged(lower, upper, logical, extent, second);
                    book.close();
                    drive.settle_account(lower, upper, extent);
                    return Ok(Outcome::Done);
                }
            }
        }
    }

    /// Blocks of a frozen upper layer lie elsewhere now: nobody may find them through what was resolved before,
    /// once their old place is given up. What a head has is never looked for below it.
    async fn forget(&self, leaf: u32) {
        let is_head = self.writer.as_ref().is_some_and(|volume| volume.writes_to(self.upper));
        if !is_head && self.drive.fault != Some(Fault::MergeForgetsNothing) {
            let concerned = self.drive.structure().and_above(self.upper);
            self.drive.forget_resolved(&concerned, leaf).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::map::BlockState;

    fn entry(extent: u32, data: (u32, u32), zero: Option<(u32, u32)>) -> Entry {
        let entry = Entry::ABSENT.with_extent(Some(Extent(extent)));
        let entry = entry.with(BlockMask::span(data.0, data.1), BlockState::Data);
        zero.map_or(entry, |zero| entry.with(BlockMask::span(zero.0, zero.1), BlockState::Zero))
    }

    fn zeros(first: u32, last: u32) -> Entry {
        Entry::ABSENT.with(BlockMask::span(first, last), BlockState::Zero)
    }

    #[test]
    fn every_case() {
        let lower = entry(7, (0, 3), Some((4, 5)));
        let freed = MergedExtent::Freed(Extent(7));
        let along = MergedExtent::GoesAlong;
        let table = [
            (Entry::ABSENT, entry(9, (0, 3), None), true, Step::Nothing),
            // Nothing above: all goes up; zeros only where they hide something.
            (lower, Entry::ABSENT, true, Step::Hand { upper: lower, extent: along }),
            (lower, Entry::ABSENT, false, Step::Hand { upper: entry(7, (0, 3), None), extent: along }),
            // The upper layer's zeros win.
            (lower, zeros(0, 1), false, Step::Hand { upper: entry(7, (2, 3), Some((0, 1))), extent: along }),
            // Hidden altogether.
            (lower, zeros(0, 15), true, Step::Hand { upper: zeros(0, 15), extent: freed }),
            (
                lower,
                entry(9, (0, 3), None),
                true,
                Step::Hand { upper: entry(9, (0, 3), Some((4, 5))), extent: freed },
            ),
            (
                lower,
                entry(9, (0, 3), None),
                false,
                Step::Hand { upper: entry(9, (0, 3), None), extent: freed },
            ),
            (zeros(2, 2), zeros(3, 3), true, Step::Hand { upper: zeros(2, 3), extent: MergedExtent::None }),
            // Both have data.
            (
                lower,
                entry(9, (3, 8), None),
                true,
                Step::Copy { from: Extent(7), into: Extent(9), blocks: BlockMask::span(0, 2) },
            ),
        ];
        for (lower, upper, shows_through, expected) in table {
            let step = Step::plan(lower, upper, shows_through);
            assert_eq!(step, expected, "{lower:x?} under {upper:x?}");
            let frees = matches!(step, Step::Copy { .. } | Step::Hand { extent: MergedExtent::Freed(_), .. });
            assert_eq!(frees_extent(lower, upper, upper.known()), frees);
        }
    }
}
