//! The second halves of creating, expanding and deleting a volume: what a handler does after it recorded the
//! intent, and what is done after a crash between the two. The caller holds the volume's lock.

use dataplane::node::{NodeError, VolumeState};
use uuid::Uuid;

use crate::{
    app::App,
    envelope::ApiError,
    model::{
        placement::CandidateDrive,
        volume::{Phase, Size, VolumeRecord},
    },
    state::{AliasRecord, Change, Stored},
};

/// Sets the new volume's limits and makes it known. The node has it already.
pub(crate) async fn finish_create(app: &App, mut volume: Stored<VolumeRecord>) -> Result<(), ApiError> {
    assert_eq!(volume.value.phase, Phase::Creating);
    set_limits(app, &volume.value).await;
    volume.value.enter(Phase::Ready);
    app.state.update(volume).await?;
    Ok(())
}

/// Makes the node keep to the volume's limits. What fails is tried again with the next look at everything.
pub(super) async fn set_limits(app: &App, volume: &VolumeRecord) {
    let limits = volume.limits();
    for replica in &volume.replicas {
        let there = app.node.volume(replica.uuid).await;
        let set = match there {
            Ok(there) if there.limits == limits => Ok(()),
            Ok(_) => app.node.set_limits(replica.uuid, limits).await,
            Err(error) => Err(error),
        };
        if let Err(error) = set {
            tracing::warn!(volume = %volume.uuid, %error, "the volume's limits are not set");
        }
    }
}

/// Takes back a create that was not finished; afterwards neither store nor node has the volume.
pub(crate) async fn undo_create(app: &App, volume: Stored<VolumeRecord>) -> Result<(), ApiError> {
    assert_eq!(volume.value.phase, Phase::Creating);
    remove_everywhere(app, &volume).await
}

/// Deletes the volume from the node, then the record. If the node cannot, the record is Ready again, and the
/// error says why.
pub(crate) async fn finish_delete(app: &App, mut volume: Stored<VolumeRecord>) -> Result<(), ApiError> {
    assert_eq!(volume.value.phase, Phase::Deleting);
    match remove_everywhere(app, &volume).await {
        Err(ApiError::Domain(failure)) => {
            volume.value.enter(Phase::Ready);
            app.state.update(volume).await?;
            Err(failure.into())
        }
        done => done,
    }
}

async fn remove_everywhere(app: &App, volume: &Stored<VolumeRecord>) -> Result<(), ApiError> {
    for replica in &volume.value.replicas {
        match app.node.volume(replica.uuid).await {
            Err(NodeError::NotFound(_)) => {}
            // Told before a crash: the node remembers, and needs nobody to go on.
            Ok(found) if found.state == VolumeState::Deleting => {}
            Ok(_) | Err(_) => app.node.delete_volume(replica.uuid).await?,
        }
    }
    let change = Change::default().remove(volume).forget(&AliasRecord::of(&volume.value));
    Ok(app.state.commit(change).await?)
}

/// The drives that further parts of the volume may go to.
async fn span(app: &App, volume: &VolumeRecord) -> Result<Vec<Uuid>, ApiError> {
    let (volumes, observed) = (app.state.list::<VolumeRecord>().await?, app.observe().await);
    let records = volumes.iter().map(|v| &v.value);
    let drives = CandidateDrive::list(&observed.drives, &observed.volumes, records, Some(volume.uuid));
    Ok(volume.class.may_span(&drives))
}

/// Expands the volume on the node, then records the new size. If the node cannot, the old size stays, and the
/// error says why.
pub(crate) async fn finish_expand(
    app: &App,
    mut volume: Stored<VolumeRecord>,
    to: Size,
) -> Result<(), ApiError> {
    assert_eq!(volume.value.phase, Phase::Expanding { to });
    let drives = span(app, &volume.value).await?;
    let mut expanded = Ok(());
    for replica in &volume.value.replicas {
        let done =
            app.node.expand_volume(replica.uuid, to.capacity_bytes(), to.reserved_bytes, &drives).await;
        expanded = expanded.and(done.map(drop));
    }
    if expanded.is_ok() {
        volume.value.size = to;
        set_limits(app, &volume.value).await;
    }
    volume.value.enter(Phase::Ready);
    app.state.update(volume).await?;
    Ok(expanded?)
}
