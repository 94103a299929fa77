//! Which layers stand on which, as far as volumes and snapshots show them; and what hides what.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
};

use super::{
    drive::DriveShared,
    error::EngineError,
    format::LayerId,
    layer::Layer,
    map::{BlockMask, Entry, LogicalExtent},
    paging::Purpose,
    part::Name,
    sync::lock,
};

/// As it was at one moment.
#[derive(Debug, Default)]
pub(super) struct Structure {
    shown: BTreeMap<LayerId, Arc<Layer>>,
    /// Heads, and frozen layers of snapshots and read-only volumes.
    named: BTreeSet<LayerId>,
    uppers: BTreeMap<LayerId, Vec<Arc<Layer>>>,
}

impl Structure {
    /// Whether any volume or snapshot reads through it.
    pub(super) fn shows(&self, layer: &Layer) -> bool {
        self.shown.contains_key(&layer.id)
    }

    pub(super) fn is_named(&self, layer: &Layer) -> bool {
        self.named.contains(&layer.id)
    }

    /// The layers that stand on this one.
    pub(super) fn uppers(&self, layer: &Layer) -> &[Arc<Layer>] {
        self.uppers.get(&layer.id).map_or(&[], Vec::as_slice)
    }

    /// A layer and all that stand on it: whoever reads from it does so through one of them.
    pub(super) fn and_above(&self, layer: &Arc<Layer>) -> Vec<Arc<Layer>> {
        let mut found = vec![layer.clone()];
        let mut next = 0;
        while next < found.len() {
            found.extend_from_slice(self.uppers(&found[next].clone()));
            next += 1;
        }
        found
    }

    /// The last journal sequence that changed what hides blocks of this layer.
    pub(super) fn recorded_above(&self, layer: &Layer) -> u64 {
        let hides = |upper: &Arc<Layer>| {
            let further = if self.is_named(upper) { 0 } else { self.recorded_above(upper) };
            upper.recorded_at().max(further)
        };
        self.uppers(layer).iter().map(hides).max().unwrap_or(0)
    }

    /// Shown layers that stand on nothing.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.shown.values().filter(|layer| layer.parent().is_none())
    }

    /// A layer and all that stands on it, those below first. Empty if nothing shows it.
    pub(super) fn tree(&self, root: LayerId) -> Vec<Arc<Layer>> {
        let mut tree: Vec<_> = self.shown.get(&root).cloned().into_iter().collect();
        let mut next = 0;
        while let Some(layer) = tree.get(next) {
            let uppers = self.uppers(layer).to_vec();
            tree.extend(uppers);
            next += 1;
        }
        tree
    }

    /// The layer that this one stands on.
    pub(super) fn lower(&self, layer: &Layer) -> Option<&Arc<Layer>> {
        self.shown.get(&layer.parent()?)
    }
}

impl DriveShared {
    pub(super) fn structure(&self) -> Structure {
        self.structure_without(None)
    }

    /// As it would be without a volume or snapshot. Layers that nothing else shows are missing then.
    pub(super) fn structure_without(&self, gone: Option<Name>) -> Structure {
        let mut structure = Structure::default();
        for volume in lock(&self.volumes).values().filter(|volume| Some(volume.name) != gone) {
            let chain = volume.chain();
            structure.named.insert(chain.head().id);
            for layer in chain.layers() {
                structure.shown.insert(layer.id, layer.clone());
            }
        }
        for layer in structure.shown.values() {
            if let Some(lower) = layer.parent() {
                structure.uppers.entry(lower).or_default().push(layer.clone());
            }
        }
        structure
    }

    /// The blocks of an extent that nobody who reads through `layer` gets from below it.
    pub(super) async fn covered(
        &self,
        structure: &Structure,
        layer: &Arc<Layer>,
        logical: LogicalExtent,
    ) -> Result<BlockMask, EngineError> {
        let known = self.present(layer, logical).await?.known();
        if structure.is_named(layer) || known == BlockMask::ALL {
            return Ok(known);
        }
        let uppers = structure.uppers(layer);
        Ok(known.or(self.covered_by_all(structure, uppers, logical).await?))
    }

    /// The blocks that all of several layers cover; none, if there are no layers.
    pub(super) fn covered_by_all<'a>(
        &'a self,
        structure: &'a Structure,
        layers: &'a [Arc<Layer>],
        logical: LogicalExtent,
    ) -> Pin<Box<dyn Future<Output = Result<BlockMask, EngineError>> + 'a>> {
        Box::pin(async move {
            let mut mask = if layers.is_empty() { BlockMask::NONE } else { BlockMask::ALL };
            for layer in layers {
                if mask.is_empty() {
                    break;
                }
                mask = mask.and(self.covered(structure, layer, logical).await?);
            }
            Ok(mask)
        })
    }

    /// An entry as it is now.
    pub(super) async fn present(
        &self,
        layer: &Arc<Layer>,
        logical: LogicalExtent,
    ) -> Result<Entry, EngineError> {
        loop {
            {
                let _operation = self.grace.enter();
                if let Some(entry) = self.entry(layer, logical) {
                    return Ok(layer.recorded(logical, entry));
                }
            }
            self.page_in(layer, logical.leaf(), Purpose::Read).await?;
        }
    }
}
