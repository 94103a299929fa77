//! The second halves of taking and deleting a snapshot: what a handler does after it recorded the intent, and what
//! is done after a crash between the two. The caller holds the snapshot's lock.

use dataplane::node::{NodeError, VolumeState};

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
    remove_everywhere(app, &snapshot).await
}

/// Deletes the snapshot from the node, then the record. If the node cannot, the record is Ready again, and the
/// error says why.
pub(crate) async fn finish_delete_snapshot(
    app: &App,
    mut snapshot: Stored<SnapshotRecord>,
) -> Result<(), ApiError> {
    assert_eq!(snapshot.value.phase, SnapshotPhase::Deleting);
    match remove_everywhere(app, &snapshot).await {
        Err(ApiError::Domain(failure)) => {
            snapshot.value.enter(SnapshotPhase::Ready);
            app.state.update(snapshot).await?;
            Err(failure.into())
        }
        done => done,
    }
}

async fn remove_everywhere(app: &App, snapshot: &Stored<SnapshotRecord>) -> Result<(), ApiError> {
    let uuid = snapshot.value.uuid;
    match app.node.snapshot(uuid).await {
        Err(NodeError::NotFound(_)) => {}
        // Told before a crash: the node remembers, and needs nobody to go on.
        Ok(found) if found.state == VolumeState::Deleting => {}
        Ok(_) | Err(_) => app.node.delete_snapshot(uuid).await?,
    }
    retry(|| forget(app, snapshot)).await
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
