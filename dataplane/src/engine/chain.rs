//! The layers that a volume reads through, the youngest first. Replaced as a whole, never changed: whoever looks at
//! one within an operation sees one state of affairs, and what an old one leads to is reused only after the
//! operations that may see it (E7).

use std::{collections::BTreeMap, sync::Arc};

use super::{error::Corruption, format::LayerId, layer::Layer};

/// At least one layer.
#[derive(Debug)]
pub(super) struct Chain {
    layers: Box<[Arc<Layer>]>,
    /// A snapshot is being taken: changes wait (E3).
    held: bool,
}

impl Chain {
    pub(super) fn new(layers: Vec<Arc<Layer>>) -> Self {
        assert!(!layers.is_empty(), "a volume has a head");
        Self { layers: layers.into(), held: false }
    }

    /// A head and its parents.
    pub(super) fn from_head(
        head: &Arc<Layer>,
        layers: &BTreeMap<LayerId, Arc<Layer>>,
    ) -> Result<Self, Corruption> {
        let mut chain = vec![head.clone()];
        while let Some(parent) = chain.last().and_then(|layer| layer.parent()) {
            chain.push(layers.get(&parent).cloned().ok_or(Corruption::UnknownLayer(parent.0))?);
        }
        Ok(Self::new(chain))
    }

    /// The same with changes held back.
    pub(super) fn hold(&self) -> Self {
        Self { layers: self.layers.clone(), held: true }
    }

    /// The same with changes let go.
    pub(super) fn release(&self) -> Self {
        Self { layers: self.layers.clone(), held: false }
    }

    /// A new head on top.
    pub(super) fn push(&self, head: Arc<Layer>) -> Self {
        Self::new(std::iter::once(head).chain(self.layers.iter().cloned()).collect())
    }

    /// One layer less; still held if this one is.
    pub(super) fn without(&self, layer: LayerId) -> Self {
        let layers: Box<[_]> = self.layers.iter().filter(|other| other.id != layer).cloned().collect();
        assert!(!layers.is_empty(), "a head is never merged");
        Self { layers, held: self.held }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn head(&self) -> &Arc<Layer> {
        &self.layers[0]
    }

    /// What shows through a head that knows nothing; `None` if there is nothing.
    pub(super) fn under_head(&self) -> Option<Self> {
        (self.layers.len() > 1).then(|| Self::new(self.frozen().to_vec()))
    }

    /// The frozen layers under the head.
    pub(super) fn frozen(&self) -> &[Arc<Layer>] {
        &self.layers[1..]
    }

    pub(super) fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    pub(super) fn contains(&self, layer: LayerId) -> bool {
        self.layers.iter().any(|other| other.id == layer)
    }
}
