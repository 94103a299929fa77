//! The second halves of creating, expanding and deleting a volume: what a handler does after it recorded the
//! intent, and what is done after a crash between the two. The caller holds the volume's lock.

use dataplane::node::{NodeError, VolumeState};
use uuid::Uuid;

use crate::{
    app::App,
    envelope::ApiError,
    model::{
        placement::CandidateDrive,
        replica::Replica,
        volume::{Phase, Size, VolumeRecord},
    },
    nodes::NodeHandle,
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

/// Makes the nodes keep to the volume's limits. What fails is tried again with the next look at everything.
pub(super) async fn set_limits(app: &App, volume: &VolumeRecord) {
    let limits = volume.limits();
    for replica in volume.replicas.iter().filter(|r| !r.is_lost()) {
        let there = match app.nodes.of(&replica.backend) {
            Ok(node) => node.volume(replica.uuid).await.map(|there| (node, there)),
            Err(error) => Err(error),
        };
        let set = match there {
            Ok((_, there)) if there.limits == limits => Ok(()),
            Ok((node, _)) => node.set_limits(replica.uuid, limits).await,
            Err(error) => Err(error),
        };
        if let Err(error) = set {
            tracing::warn!(volume = %volume.uuid, %error, "the volume's limits are not set");
        }
    }
}

/// Takes back a create that was not finished; afterwards neither store nor node has the volume.
/// A node that does not answer leaves it for the next look at everything.
pub(crate) async fn undo_create(app: &App, volume: Stored<VolumeRecord>) -> Result<(), ApiError> {
    assert_eq!(volume.value.phase, Phase::Creating);
    match remove_everywhere(app, &volume.value).await {
        Ok(()) => forget(app, &volume).await,
        Err(Left::Untouched(error) | Left::Unknown(error)) => Err(error.into()),
    }
}

/// Deletes the volume from its nodes, then the record. If a node cannot, the record is Ready again, and the error says
/// why. If a node was told and did not answer, or a copy is gone and another one not, the record stays as it is, and the
/// deletion is finished when the nodes can.
pub(crate) async fn finish_delete(app: &App, mut volume: Stored<VolumeRecord>) -> Result<(), ApiError> {
    assert_eq!(volume.value.phase, Phase::Deleting);
    match remove_everywhere(app, &volume.value).await {
        Ok(()) => forget(app, &volume).await,
        Err(Left::Unknown(error)) => Err(error.into()),
        Err(Left::Untouched(error)) => {
            volume.value.enter(Phase::Ready);
            app.state.update(volume).await?;
            Err(error.into())
        }
    }
}

/// Why a node still has a copy, or a snapshot.
pub(super) enum Left {
    /// It was not deleted.
    Untouched(NodeError),
    /// It may be deleted.
    Unknown(NodeError),
}

impl Left {
    /// What the node's answer to a deletion means.
    pub(super) fn after_deletion(error: NodeError) -> Self {
        match error {
            NodeError::NoAnswer(_) => Self::Unknown(error),
            error => Self::Untouched(error),
        }
    }

    /// As it is if another copy is gone already.
    fn in_part(self) -> Self {
        let (Self::Untouched(error) | Self::Unknown(error)) = self;
        Self::Unknown(error)
    }
}

/// Nothing is deleted unless every node answers.
async fn remove_everywhere(app: &App, volume: &VolumeRecord) -> Result<(), Left> {
    let (mut nodes, mut is_one_gone) = (Vec::with_capacity(volume.replicas.len()), false);
    let mut away = None;
    for replica in &volume.replicas {
        match find_copy(app, replica).await {
            Ok(Some(node)) => nodes.push((node, replica.uuid)),
            Ok(None) => is_one_gone |= !replica.is_lost(),
            Err(error) => away = Some(error),
        }
    }
    if let Some(error) = away {
        let left = Left::Untouched(error);
        return Err(if is_one_gone { left.in_part() } else { left });
    }
    for (node, replica) in nodes {
        let deleted = node.delete_volume(replica).await.map_err(Left::after_deletion);
        deleted.map_err(|left| if is_one_gone { left.in_part() } else { left })?;
        is_one_gone = true;
    }
    Ok(())
}

/// The node that has to be told to delete the copy, if one has.
pub(super) async fn find_copy(app: &App, replica: &Replica) -> Result<Option<NodeHandle>, NodeError> {
    if replica.is_lost() {
        return Ok(None);
    }
    let node = app.nodes.of(&replica.backend)?;
    match node.volume(replica.uuid).await {
        Err(NodeError::NotFound(_)) => Ok(None),
        // Told before a crash: the node remembers, and needs nobody to go on.
        Ok(found) if found.state == VolumeState::Deleting => Ok(None),
        Err(error @ NodeError::NoAnswer(_)) => Err(error),
        Ok(_) | Err(_) => Ok(Some(node)),
    }
}

async fn forget(app: &App, volume: &Stored<VolumeRecord>) -> Result<(), ApiError> {
    let change = Change::default().remove(volume).forget(&AliasRecord::of(&volume.value));
    Ok(app.state.commit(change).await?)
}

/// The drives of a copy's node that further parts of the volume may go to.
async fn span(app: &App, volume: &VolumeRecord, replica: &Replica) -> Result<Vec<Uuid>, ApiError> {
    let (volumes, observed) = (app.state.list::<VolumeRecord>().await?, app.observe().await);
    let records = volumes.iter().map(|v| &v.value);
    let drives = CandidateDrive::list(
        observed.drives_of(&replica.backend),
        &observed.volumes,
        records,
        Some(volume.uuid),
    );
    Ok(volume.class.may_span(&drives))
}

/// Expands every copy, then records the new size. If a node cannot, the old size stays, and the error says why; a copy
/// that has grown then is left so, and has less to grow the next time.
pub(crate) async fn finish_expand(
    app: &App,
    mut volume: Stored<VolumeRecord>,
    to: Size,
) -> Result<(), ApiError> {
    assert_eq!(volume.value.phase, Phase::Expanding { to });
    let mut expanded = Ok(());
    for replica in volume.value.replicas.iter().filter(|r| !r.is_lost()) {
        let drives = span(app, &volume.value, replica).await?;
        expanded = expanded.and(grow(app, replica, to, drives).await);
        if expanded.is_err() {
            break;
        }
    }
    if let Err(error @ NodeError::NoAnswer(_)) = expanded {
        // It may have grown: finished when the node answers again.
        return Err(error.into());
    }
    if expanded.is_ok() {
        volume.value.size = to;
        set_limits(app, &volume.value).await;
    }
    volume.value.enter(Phase::Ready);
    app.state.update(volume).await?;
    Ok(expanded?)
}

async fn grow(app: &App, replica: &Replica, to: Size, drives: Vec<Uuid>) -> Result<(), NodeError> {
    let node = app.nodes.of(&replica.backend)?;
    match node.volume(replica.uuid).await?.size_bytes > to.capacity_bytes() {
        true => Ok(()),
        false => node.expand_volume(replica.uuid, to.capacity_bytes(), to.reserved_bytes, drives).await,
    }
}
