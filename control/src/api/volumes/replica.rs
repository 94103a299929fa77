//! What the nodes are told to make a volume's copies.

use std::future::Future;

use dataplane::node::{NodeError, VolumeSpec};
use tokio::task::JoinSet;

use crate::{
    app::App,
    envelope::{Code, Failure},
    model::{placement::Place, replica::Replica, volume::VolumeRecord},
};

/// Makes the copies of a new volume, the first at the first place. Every node has answered when this ends, so that what
/// some could not do can be undone everywhere.
///
/// # Errors
/// `NoAnswer` at once if a node is none of ours any more; later, what the first of those that could not says.
pub(super) fn make_replicas(
    app: &App,
    volume: &VolumeRecord,
    places: Vec<Place>,
) -> Result<impl Future<Output = Result<(), NodeError>> + use<>, NodeError> {
    let mut copies = Vec::with_capacity(places.len());
    for (replica, place) in volume.replicas.iter().zip(places) {
        copies.push((app.nodes.of(&place.backend)?, spec(volume, replica, place)));
    }
    Ok(async move {
        let mut made = JoinSet::new();
        for (node, spec) in copies {
            made.spawn(async move { node.create_volume(spec).await.map(drop) });
        }
        made.join_all().await.into_iter().collect()
    })
}

/// The copy of a simple volume. The host alone knows how equal several copies are, so none of them stands for the volume
/// (D60).
pub(crate) fn only_copy(volume: &VolumeRecord) -> Result<&Replica, Failure> {
    match volume.replicas.as_slice() {
        [replica] if !volume.is_replicated() => Ok(replica),
        _ => {
            let why = format!("volume {} has several copies, which its host keeps equal", volume.uuid);
            Err(Failure::new(Code::Replicated, why))
        }
    }
}

/// One copy, empty.
pub(crate) fn spec(volume: &VolumeRecord, replica: &Replica, place: Place) -> VolumeSpec {
    VolumeSpec {
        uuid: replica.uuid,
        size_bytes: volume.size.capacity_bytes(),
        block_size: volume.class.block_size(),
        reserved_bytes: volume.size.reserved_bytes,
        drives: place.drives,
    }
}
