//! What deleting one snapshot gives back (E13). Found by a walk over the maps concerned, not by counters: a counter
//! would make every first write look at the layer below, and would have to survive every crash.

use std::sync::Arc;

use super::{
    drive::DriveShared,
    error::EngineError,
    format::EXTENT_BYTES,
    layer::Layer,
    map::{BlockMask, LogicalExtent},
    merge::frees_extent,
    snapshot::Snapshot,
    structure::Structure,
    walk::extents_of,
};
use crate::rt;

impl Snapshot {
    /// Bytes that come back when this snapshot alone is deleted. Exact while nothing is written and the background
    /// work has settled.
    pub async fn unique_bytes(&self) -> Result<u64, EngineError> {
        loop {
            match self.count_unique().await {
                // A layer that the walk came by was merged away meanwhile: other layers stand there now.
                Err(EngineError::Offline) if !self.volume.is_gone() && !self.drive.is_offline() => {
                    rt::yield_now().await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn count_unique(&self) -> Result<u64, EngineError> {
        let drive = &*self.drive;
        let layer = self.volume.head();
        let after = drive.structure_without(Some(self.volume.name));
        if after.is_named(&layer) {
            return Ok(0);
        }
        let concerned = concerned(&after, &layer);
        let mut extents = 0;
        let mut from = 0;
        while let Some(leaf) = drive.next_leaf_of(&concerned, from).await? {
            for logical in extents_of(leaf) {
                extents += drive.freed_extents(&after, &layer, logical).await?;
            }
            rt::yield_now().await;
            from = leaf + 1;
        }
        Ok(extents * EXTENT_BYTES)
    }
}

/// The snapshot's layer and the nameless ones below it: more of them may be hidden without it.
fn concerned(after: &Structure, layer: &Arc<Layer>) -> Vec<Arc<Layer>> {
    let mut concerned = vec![layer.clone()];
    while let Some(lower) = concerned.last().and_then(|layer| after.lower(layer)) {
        if after.is_named(lower) {
            break;
        }
        concerned.push(lower.clone());
    }
    concerned
}

impl DriveShared {
    /// The first leaf from `from` on that one of the layers has.
    async fn next_leaf_of(&self, layers: &[Arc<Layer>], from: u32) -> Result<Option<u32>, EngineError> {
        let mut first = None;
        for layer in layers {
            let next = self.next_leaf(&layer.tree, from).await?;
            first = [first, next].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// How many extents of one logical extent come back when `layer` loses its last name.
    async fn freed_extents(
        &self,
        after: &Structure,
        layer: &Arc<Layer>,
        logical: LogicalExtent,
    ) -> Result<u64, EngineError> {
        let mut freed = 0;
        // What the layer above the present one covers then; nothing is left of it if there is none.
        let mut covers: Option<BlockMask> = None;
        let mut gone: Option<Arc<Layer>> = None;
        let mut present = Some(layer);
        while let Some(layer) = present.filter(|layer| !after.is_named(layer)) {
            let is_gone = |upper: &&Arc<Layer>| gone.as_ref().is_some_and(|gone| gone.id == upper.id);
            let others: Vec<_> =
                after.uppers(layer).iter().filter(|upper| !is_gone(upper)).cloned().collect();
            let entry = self.present(layer, logical).await?;
            let hidden = match (others.as_slice(), covers) {
                ([], None) => {
                    freed += u64::from(entry.extent().is_some());
                    None
                }
                ([upper], None) => {
                    let covered = self.covered(after, upper, logical).await?;
                    freed += u64::from(frees_extent(entry, self.present(upper, logical).await?, covered));
                    Some(covered)
                }
                (several, covers) => {
                    let by_others = match several {
                        [] => BlockMask::ALL,
                        several => self.covered_by_all(after, several, logical).await?,
                    };
                    let hidden = by_others.and(covers.unwrap_or(BlockMask::ALL));
                    let is_hidden = entry.stored().without(hidden).is_empty();
                    freed += u64::from(entry.extent().is_some() && is_hidden);
                    Some(hidden)
                }
            };
            covers = hidden.map(|hidden| hidden.or(entry.known()));
            gone = Some(layer.clone());
            present = after.lower(layer);
        }
        Ok(freed)
    }
}
