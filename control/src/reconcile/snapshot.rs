//! The second halves of taking and deleting a snapshot: what a handler does after it recorded the intent, and what
//! is done after a crash between the two. The caller holds the snapshot's lock.

use dataplane::node::{NodeError, VolumeState};

use super::volume::Left;
use crate::{
    app::{App, retry},
    envelope::ApiError,
    model::{
        snapshot::{SnapshotPhase, SnapshotRecord},
        volume::VolumeRecord,
    },
    state::{Change, Stored},
};

/// Takes back a snapshot that was not finished; afterwards neither store nor node has it.
pub(crate) async fn undo_take(app: &App, snapshot: Stored<SnapshotRecord>) -> Result<(), ApiError> {
    assert_eq!(snapshot.value.phase, SnapshotPhase::Creating);
    match remove_from_node(app, &snapshot.value).await {
        Ok(()) => retry(|| forget(app, &snapshot)).await,
        Err(Left::Untouched(error) | Left::Unknown(error)) => Err(error.into()),
    }
}

/// Deletes the snapshot from the node, then the record. If the node cannot, the record is Ready again, and the
/// error says why. If the node was told and did not answer, the record stays as it is, as for a volume.
pub(crate) async fn finish_delete_snapshot(
    app: &App,
    mut snapshot: Stored<SnapshotRecord>,
) -> Result<(), ApiError> {
    assert_eq!(snapshot.value.phase, SnapshotPhase::Deleting);
    match remove_from_node(app, &snapshot.value).await {
        Ok(()) => retry(|| forget(app, &snapshot)).await,
        Err(Left::Unknown(error)) => Err(error.into()),
        Err(Left::Untouched(error)) => {
            snapshot.value.enter(SnapshotPhase::Ready);
            app.state.update(snapshot).await?;
            Err(error.into())
        }
    }
}

async fn remove_from_node(app: &App, snapshot: &SnapshotRecord) -> Result<(), Left> {
    if snapshot.replica.is_lost() {
        return Ok(());
    }
    let node = app.nodes.of(&snapshot.replica.backend).map_err(Left::Untouched)?;
    match node.snapshot(snapshot.uuid).await {
        Err(NodeError::NotFound(_)) => Ok(()),
        // Told before a crash: the node remembers, and needs nobody to go on.
        Ok(found) if found.state == VolumeState::Deleting => Ok(()),
        Err(error @ NodeError::NoAnswer(_)) => Err(Left::Untouched(error)),
        Ok(_) | Err(_) => node.delete_snapshot(snapshot.uuid).await.map_err(Left::after_deletion),
    }
}

/// The volumes that showed it live on as clones (D64).
async fn forget(app: &App, snapshot: &Stored<SnapshotRecord>) -> Result<(), ApiError> {
    let mut change = Change::default().remove(snapshot);
    for mut volume in app.state.list::<VolumeRecord>().await? {
        if volume.value.snapshot == Some(snapshot.value.uuid) {
            volume.value.snapshot = None;
            change = change.replace(&volume);
        }
    }
    Ok(app.state.commit(change).await?)
}
