//! A layer: one map from logical extents to entries. A volume is a writable head over frozen parents.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    error::Corruption,
    format::{Child, LayerId},
    tree::Tree,
};

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) id: LayerId,
    pub(super) tree: Tree,
    /// The older layer that answers where this one is silent.
    pub(super) parent: Option<LayerId>,
    /// Extents that the journal's records give to this layer. Changed by the journal builder only.
    pub(super) recorded_extents: AtomicU64,
    /// What was found wrong first; its volumes take no writes any more.
    damage: OnceLock<Corruption>,
    damaged: AtomicBool,
}

impl Layer {
    pub(super) fn new(
        id: LayerId,
        parent: Option<LayerId>,
        roots: Vec<Child>,
        recorded_extents: u64,
    ) -> Self {
        Self {
            id,
            tree: Tree::new(id, roots),
            parent,
            recorded_extents: AtomicU64::new(recorded_extents),
            damage: OnceLock::new(),
            damaged: AtomicBool::new(false),
        }
    }

    pub(super) fn set_damage(&self, corruption: Corruption) {
        if self.damage.set(corruption).is_ok() {
            self.damaged.store(true, Ordering::Release);
            tracing::error!(layer = self.id.0, damage = ?self.damage.get(), "a layer is damaged: its volumes are read-only now");
        }
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    pub(super) fn damage(&self) -> Option<&Corruption> {
        self.damage.get()
    }
}
