//! The second halves of adding and removing a copy of a volume, as `volume` has them for the volume itself.

use super::{
    run::subsystems,
    volume::{Left, find_copy, set_limits},
};
use crate::{
    app::App,
    envelope::ApiError,
    model::volume::{Phase, VolumeRecord},
    state::Stored,
};

/// Sets the limits of the new copy and makes it known. Its node has it already.
pub(crate) async fn finish_add_replica(app: &App, mut volume: Stored<VolumeRecord>) -> Result<(), ApiError> {
    assert!(matches!(volume.value.phase, Phase::AddingReplica(_)));
    set_limits(app, &volume.value).await;
    volume.value.enter(Phase::Ready);
    app.state.update(volume).await?;
    Ok(())
}

/// Takes back a copy that was not finished. A node that does not answer leaves it for the next look at everything.
pub(crate) async fn undo_add_replica(app: &App, volume: Stored<VolumeRecord>) -> Result<(), ApiError> {
    assert!(matches!(volume.value.phase, Phase::AddingReplica(_)));
    match remove_pending(app, &volume.value).await {
        Ok(()) => forget_pending(app, volume).await,
        Err(Left::Untouched(error) | Left::Unknown(error)) => Err(error.into()),
    }
}

/// Takes the copy from its hosts and deletes it, then forgets it. If its node cannot, the record is Ready again, and the
/// error says why. If the node was told and did not answer, it is finished when the node answers again.
pub(crate) async fn finish_remove_replica(
    app: &App,
    mut volume: Stored<VolumeRecord>,
) -> Result<(), ApiError> {
    assert!(matches!(volume.value.phase, Phase::RemovingReplica(_)));
    // What is exported cannot be deleted.
    subsystems(app).await?;
    match remove_pending(app, &volume.value).await {
        Ok(()) => forget_pending(app, volume).await,
        Err(Left::Unknown(error)) => Err(error.into()),
        Err(Left::Untouched(error)) => {
            volume.value.enter(Phase::Ready);
            app.state.update(volume).await?;
            Err(error.into())
        }
    }
}

/// Deletes the copy that the phase names.
async fn remove_pending(app: &App, volume: &VolumeRecord) -> Result<(), Left> {
    let Some(replica) = volume.pending_replica() else { return Ok(()) };
    match find_copy(app, replica).await {
        Ok(Some(node)) => node.delete_volume(replica.uuid).await.map_err(Left::after_deletion),
        Ok(None) => Ok(()),
        Err(error) => Err(Left::Untouched(error)),
    }
}

async fn forget_pending(app: &App, mut volume: Stored<VolumeRecord>) -> Result<(), ApiError> {
    let gone = volume.value.pending_replica().map(|replica| replica.uuid);
    volume.value.replicas.retain(|replica| Some(replica.uuid) != gone);
    volume.value.enter(Phase::Ready);
    app.state.update(volume).await?;
    Ok(())
}
