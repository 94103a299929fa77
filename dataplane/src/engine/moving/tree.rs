//! What moves together: the layers that stand on one, and every volume, snapshot and view that shows them.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use uuid::Uuid;

use crate::{
    engine::{
        drive::{Drive, DriveShared},
        error::EngineError,
        format::{EXTENT_BYTES, LayerId},
        layer::Layer,
        part::Name,
        sync::lock,
        volume::VolumeShared,
    },
    limits,
    node::DriveState,
};

/// Volumes and snapshots that share layers, as they were when they were looked for.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) root: LayerId,
    names: Vec<Name>,
    needed_bytes: u64,
    owned_bytes: u64,
    /// What the drive promises to hosts, who were told: of power cuts, and of writes that no flush follows.
    atomic_4k: bool,
    write_through: bool,
}

impl Tree {
    /// Its volumes, views and snapshots, or those that it has parts of.
    pub fn volumes(&self) -> impl Iterator<Item = Uuid> {
        self.names.iter().map(|name| name.uuid)
    }

    /// Room that it takes on another drive: its extents and what is promised to it.
    pub fn needed_bytes(&self) -> u64 {
        self.needed_bytes
    }

    /// Bytes in extents that its layers own: what there is to copy.
    pub fn owned_bytes(&self) -> u64 {
        self.owned_bytes
    }
}

impl Drive {
    /// All that would have to move for the drive to be empty, in trees.
    ///
    /// # Errors
    /// `Invalid` names what cannot move and says what to do about it.
    pub async fn trees(&self) -> Result<Vec<Tree>, EngineError> {
        let drive = &self.shared;
        let _turn = drive.structure.take().await;
        if let Some(undecided) = lock(&drive.volumes).values().find(|volume| !volume.is_known()) {
            return Err(EngineError::Invalid(format!(
                "the drive holds a copy of {} that counts or not by what drive {} says: add that one first",
                undecided.name.uuid,
                lock(&undecided.record).peer()
            )));
        }
        let structure = drive.structure();
        structure.roots().map(|root| drive.describe(root.id, &structure.tree(root.id))).collect()
    }

    /// Whether a tree may move here, room aside: the drive is online, and promises hosts no less.
    pub fn takes(&self, tree: &Tree) -> bool {
        let drive = &self.shared;
        drive.state() == DriveState::Online
            && !drive.retired.load(Ordering::Relaxed)
            && (drive.atomic_4k || !tree.atomic_4k)
            && (drive.write_through || !tree.write_through)
            && drive.check_unused(&tree.names).is_ok()
    }
}

impl DriveShared {
    fn describe(&self, root: LayerId, layers: &[Arc<Layer>]) -> Result<Tree, EngineError> {
        let volumes = self.volumes_of(layers);
        for volume in &volumes {
            let chain = volume.chain();
            if let Some(damage) = chain.layers().iter().find_map(|layer| layer.damage()) {
                let problem =
                    format!("{} is damaged and cannot move: {damage}; delete it first", volume.name.uuid);
                return Err(EngineError::Invalid(problem));
            }
        }
        if volumes.len() > limits::MOVED_TOGETHER {
            return Err(EngineError::Invalid(format!(
                "{} volumes and snapshots share data with {}: at most {} can move together",
                volumes.len(),
                volumes[0].name.uuid,
                limits::MOVED_TOGETHER
            )));
        }
        let promised = |layer: &Arc<Layer>| layer.account.owned().max(layer.account.reserved());
        Ok(Tree {
            root,
            needed_bytes: layers.iter().map(promised).sum::<u64>() * EXTENT_BYTES,
            owned_bytes: layers.iter().map(|layer| layer.account.owned()).sum::<u64>() * EXTENT_BYTES,
            atomic_4k: self.atomic_4k,
            write_through: self.write_through,
            names: volumes.iter().map(|volume| volume.name).collect(),
        })
    }

    /// What shows these layers, in the order in which volumes are held (E3).
    pub(super) fn volumes_of(&self, layers: &[Arc<Layer>]) -> Vec<Arc<VolumeShared>> {
        let layers: BTreeSet<LayerId> = layers.iter().map(|layer| layer.id).collect();
        let volumes = lock(&self.volumes);
        volumes.values().filter(|volume| layers.contains(&volume.head().id)).cloned().collect()
    }
}
