//! Walks over a layer's leaves that skip what is absent.

use super::{
    drive::DriveShared,
    error::{Corruption, EngineError},
    format::{Child, ENTRIES_PER_PAGE, FANOUT, ROOT_CHILDREN},
    map::LogicalExtent,
    sync::lock,
    tree::{Slot, Tree, lower_of, upper_of},
};

/// The logical extents of a leaf, ascending.
pub(super) fn extents_of(leaf: u32) -> impl Iterator<Item = LogicalExtent> {
    let first = leaf * ENTRIES_PER_PAGE as u32;
    (first..=first + (ENTRIES_PER_PAGE as u32 - 1)).map(LogicalExtent)
}

/// Where a walk goes on that met damage at leaf `at`: behind all that the damaged page leads to.
pub(super) fn first_leaf_behind(corruption: &Corruption, at: u32) -> u32 {
    match corruption {
        Corruption::Page { level, page, .. } => (page + 1) * (FANOUT as u32).pow(u32::from(*level)),
        _ => at + 1,
    }
    .max(at + 1)
}

/// One behind the last leaf of a tree.
const LEAVES: u32 = (ROOT_CHILDREN * FANOUT * FANOUT) as u32;

impl DriveShared {
    /// The first leaf from `from` on that is not known to be absent. Loads the index pages on the way, and skips
    /// what no index page leads to.
    pub(super) async fn next_leaf(&self, tree: &Tree, from: u32) -> Result<Option<u32>, EngineError> {
        let mut leaf = from;
        while leaf < LEAVES {
            if let Some(skip_to) = self.absent_until(tree, leaf) {
                leaf = skip_to;
                continue;
            }
            self.load_nodes(tree, leaf).await?;
            if tree.slot(leaf).is_some_and(|slot| slot.load() != Slot::Absent) {
                return Ok(Some(leaf));
            }
            leaf += 1;
        }
        Ok(None)
    }

    /// If no index page leads to `leaf`: the first leaf for which one might.
    fn absent_until(&self, tree: &Tree, leaf: u32) -> Option<u32> {
        let lower = lower_of(leaf);
        let upper = upper_of(lower);
        let (below, loaded, child) = if tree.upper(upper).is_none() {
            ((FANOUT * FANOUT) as u32, false, tree.child(2, upper))
        } else {
            (FANOUT as u32, tree.lower(lower).is_some(), tree.child(1, lower))
        };
        if loaded || child != Some(Child::None) {
            return None;
        }
        let end = (leaf / below + 1) * below;
        let waiting =
            lock(&self.overlay).range((tree.layer, leaf)..(tree.layer, end)).next().map(|(at, _)| at.1);
        match waiting {
            // News of recovery makes a page where none was.
            Some(at) if at == leaf => None,
            Some(at) => Some(at),
            None => Some(end),
        }
    }
}
