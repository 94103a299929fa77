//! A node's volumes: made on a drive with room, found on whichever drive holds them.

use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use super::{
    BlockSize, DriveState, Node, NodeError, NodeObject, VolumeInfo, VolumeSpec,
    open_drive::OpenDrive,
    parts::{OnDrive, VolumeParts},
};
use crate::{
    engine::{self, EngineError, Part},
    mirror::{META_BYTES, ReplicaIdentity},
    volume::spread,
};

/// A part of a volume that is to be made.
#[derive(Debug)]
pub(super) struct NewPart {
    pub(super) drive: Arc<OpenDrive>,
    pub(super) size_bytes: u64,
    pub(super) reserved_bytes: u64,
}

impl Node {
    /// Every volume of every drive, those being deleted included.
    pub async fn volumes(&self) -> Vec<VolumeInfo> {
        self.all_volumes().iter().map(|(&uuid, whole)| self.info(uuid, whole)).collect()
    }

    pub async fn volume(&self, uuid: Uuid) -> Result<VolumeInfo, NodeError> {
        Ok(self.info(uuid, &self.volume_parts(uuid)?))
    }

    /// Makes a volume durable and ready to be exported. On the drive with most room; where none has enough, over
    /// several.
    pub async fn create_volume(&self, spec: VolumeSpec) -> Result<VolumeInfo, NodeError> {
        let _alone = Creating::begin(self, spec.uuid)?;
        self.check_unused(spec.uuid)?;
        let parts = self.divide(&spec.drives, spec.size_bytes, spec.reserved_bytes)?;
        let of = count(parts.len());
        self.make_parts(spec.uuid, spec.block_size, parts, 0..of, of).await?;
        self.volume(spec.uuid).await
    }

    /// Deletes a volume that no subsystem exports, as far as it is there. Its space comes back in the background.
    pub async fn delete_volume(&self, uuid: Uuid) -> Result<(), NodeError> {
        let whole = self.volume_parts(uuid)?;
        let exported = |spec: &super::SubsystemSpec| spec.namespaces.iter().any(|ns| ns.volume == uuid);
        let takes_part = self.inner.target.mirrors().get(uuid).is_some();
        if takes_part || self.inner.target.subsystems().iter().any(exported) {
            return Err(NodeError::InUse(NodeObject::Volume));
        }
        self.delete_parts(whole.into_all()).await?;
        self.inner.target.forget_volume(uuid);
        self.forget_handle(uuid);
        Ok(())
    }

    pub(super) fn info(&self, uuid: Uuid, whole: &VolumeParts) -> VolumeInfo {
        let sum = |of: fn(&engine::Volume) -> u64| whole.parts.iter().map(|one| of(&one.part)).sum::<u64>();
        let first = &whole.parts[0].part;
        let (replica, hidden_bytes) = (replica_of(whole), hidden_bytes(whole));
        VolumeInfo {
            uuid,
            parts: whole.infos(engine::Volume::size_bytes),
            complete: whole.missing.is_none(),
            size_bytes: sum(engine::Volume::size_bytes).saturating_sub(hidden_bytes),
            block_size: BlockSize::of(first.block_bytes()),
            reserved_bytes: sum(engine::Volume::reserved_bytes).saturating_sub(hidden_bytes),
            used_bytes: sum(engine::Volume::used_bytes),
            shared_bytes: sum(engine::Volume::shared_bytes),
            replica,
            writable: first.is_writable(),
            limits: self.inner.target.limits(uuid),
            state: whole.state(engine::Volume::state),
        }
    }

    /// Where the parts of something new go: on the given drives, or on all that take writes.
    pub(super) fn divide(
        &self,
        drives: &[Uuid],
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<Vec<NewPart>, NodeError> {
        let mut drives = match drives {
            [] => self.inner.drives.all(),
            named => named.iter().map(|&uuid| self.inner.drives.get(uuid)).collect::<Result<_, _>>()?,
        };
        if drives.len() > 1 {
            drives.retain(|drive| drive.state() == DriveState::Online);
        }
        let room_bytes: Vec<u64> = drives.iter().map(|drive| drive.drive.unreserved_bytes()).collect();
        let new_part = |part: crate::volume::Room| NewPart {
            drive: drives[part.drive].clone(),
            size_bytes: part.size_bytes,
            reserved_bytes: part.reserved_bytes,
        };
        if let Some(parts) = spread(size_bytes, reserved_bytes, &room_bytes) {
            return Ok(parts.into_iter().map(new_part).collect());
        }
        // The only one answers for itself: it knows what is just being given back.
        match drives.as_slice() {
            [drive] => Ok(vec![NewPart { drive: drive.clone(), size_bytes, reserved_bytes }]),
            _ => Err(NodeError::NoFreeSpace {
                needed_bytes: reserved_bytes,
                available_bytes: room_bytes.iter().sum(),
            }),
        }
    }

    /// Makes the parts `numbers` of a volume that has `of` in all, all or none. The first part comes last: without it
    /// the others count for nothing (E14).
    pub(super) async fn make_parts(
        &self,
        uuid: Uuid,
        block_size: BlockSize,
        parts: Vec<NewPart>,
        numbers: std::ops::Range<u8>,
        of: u8,
    ) -> Result<Vec<OnDrive<engine::Volume>>, NodeError> {
        let makings =
            numbers.zip(parts).rev().map(|(index, NewPart { drive, size_bytes, reserved_bytes })| {
                let (engine, part) = (drive.drive.clone(), Part { uuid, index, of });
                let make = move || async move {
                    engine.create_volume(part, size_bytes, block_size.bytes(), reserved_bytes).await
                };
                (drive, make)
            });
        let mut made = self.make_in_turn(makings).await?;
        made.reverse();
        Ok(made)
    }
}

/// Which replica it is, if other nodes hold some of the same volume.
fn replica_of(whole: &VolumeParts) -> Option<ReplicaIdentity> {
    ReplicaIdentity::decode(&whole.parts.first()?.part.attachment())
}

/// What hosts do not see of it.
pub(super) fn hidden_bytes(whole: &VolumeParts) -> u64 {
    if replica_of(whole).is_some() { META_BYTES } else { 0 }
}

/// What replicas do not do together yet.
pub(super) fn check_alone(whole: &VolumeParts, what: &str) -> Result<(), NodeError> {
    if replica_of(whole).is_some() {
        return Err(NodeError::Invalid(format!("volume: a replicated one {what}")));
    }
    Ok(())
}

/// Of parts.
pub(super) fn count(parts: usize) -> u8 {
    u8::try_from(parts).expect("limits::VOLUME_PARTS is small")
}

/// Keeps a UUID from being made twice at once, until dropped.
pub(super) struct Creating<'a> {
    node: &'a Node,
    uuid: Uuid,
}

impl<'a> Creating<'a> {
    pub(super) fn begin(node: &'a Node, uuid: Uuid) -> Result<Self, NodeError> {
        let mut creating = node.inner.creating.lock().unwrap_or_else(PoisonError::into_inner);
        if !creating.insert(uuid) {
            return Err(NodeError::AlreadyExists(NodeObject::Volume));
        }
        Ok(Self { node, uuid })
    }
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        self.node.inner.creating.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.uuid);
    }
}

impl From<EngineError> for NodeError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NoFreeSpace { needed_bytes, available_bytes } => {
                Self::NoFreeSpace { needed_bytes, available_bytes }
            }
            EngineError::AlreadyExists => Self::AlreadyExists(NodeObject::Volume),
            EngineError::Invalid(reason) => Self::Invalid(reason.to_string()),
            other => Self::Drive(other.to_string()),
        }
    }
}
