//! A node's volumes: made on a drive with room, found on whichever drive holds them.

use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use super::{BlockSize, DriveState, Node, NodeError, VolumeInfo, VolumeSpec, open_drive::OpenDrive};
use crate::engine::{Drive, EngineError, Volume};

impl Node {
    /// Every volume of every drive, those being deleted included.
    pub async fn volumes(&self) -> Vec<VolumeInfo> {
        let of_drive = |drive: &Arc<OpenDrive>| {
            let uuid = drive.drive.uuid();
            drive.drive.volumes().iter().map(|volume| self.info(volume, uuid)).collect::<Vec<_>>()
        };
        self.inner.drives.all().iter().flat_map(of_drive).collect()
    }

    pub async fn volume(&self, uuid: Uuid) -> Result<VolumeInfo, NodeError> {
        let (drive, volume) = self.locate(uuid)?;
        Ok(self.info(&volume, drive.drive.uuid()))
    }

    /// Makes a volume durable and ready to be exported. On the named drive, else on the one with most room.
    pub async fn create_volume(&self, spec: VolumeSpec) -> Result<VolumeInfo, NodeError> {
        let _alone = Creating::begin(self, spec.uuid)?;
        self.check_unused(spec.uuid)?;
        let drive = self.choose(&spec)?;
        let (engine, uuid) = (drive.drive.clone(), drive.drive.uuid());
        let volume = self
            .on_home(&drive, move || async move {
                let block_bytes = spec.block_size.bytes();
                engine.create_volume(spec.uuid, spec.size_bytes, block_bytes, spec.reserved_bytes).await
            })
            .await?;
        Ok(self.info(&volume, uuid))
    }

    /// Makes a volume larger while it is in use; connected hosts are told.
    pub async fn expand_volume(
        &self,
        uuid: Uuid,
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<VolumeInfo, NodeError> {
        let (drive, volume) = self.locate(uuid)?;
        let (engine, expanding) = (drive.drive.clone(), volume.clone());
        self.on_home(&drive, move || async move {
            engine.expand_volume(&expanding, size_bytes, reserved_bytes).await
        })
        .await?;
        self.inner.target.volume_changed(uuid);
        Ok(self.info(&volume, drive.drive.uuid()))
    }

    /// Deletes a volume that no subsystem exports. Its space comes back in the background.
    pub async fn delete_volume(&self, uuid: Uuid) -> Result<(), NodeError> {
        let (drive, volume) = self.locate(uuid)?;
        let exported = |spec: &super::SubsystemSpec| spec.namespaces.iter().any(|ns| ns.volume == uuid);
        if self.inner.target.subsystems().iter().any(exported) {
            return Err(NodeError::InUse("volume"));
        }
        let engine = drive.drive.clone();
        self.on_home(&drive, move || async move { engine.delete_volume(&volume).await }).await?;
        self.inner.target.forget_limits(uuid);
        Ok(())
    }

    pub(super) fn find(&self, uuid: Uuid) -> Result<Volume, NodeError> {
        self.locate(uuid).map(|(_, volume)| volume)
    }

    pub(super) fn locate(&self, uuid: Uuid) -> Result<(Arc<OpenDrive>, Volume), NodeError> {
        let holds = |drive: &Drive| drive.volumes().into_iter().find(|volume| volume.uuid() == uuid);
        self.inner
            .drives
            .all()
            .into_iter()
            .find_map(|drive| holds(&drive.drive).map(|volume| (drive, volume)))
            .ok_or(NodeError::NotFound("volume"))
    }

    pub(super) fn info(&self, volume: &Volume, drive: Uuid) -> VolumeInfo {
        VolumeInfo {
            uuid: volume.uuid(),
            drive,
            size_bytes: volume.size_bytes(),
            block_size: BlockSize::of(volume.block_bytes()),
            reserved_bytes: volume.reserved_bytes(),
            used_bytes: volume.used_bytes(),
            shared_bytes: volume.shared_bytes(),
            writable: volume.is_writable(),
            limits: self.inner.target.limits(volume.uuid()),
            state: volume.state(),
        }
    }

    fn choose(&self, spec: &VolumeSpec) -> Result<Arc<OpenDrive>, NodeError> {
        if let Some(uuid) = spec.drive {
            return self.inner.drives.get(uuid);
        }
        let roomiest = self
            .inner
            .drives
            .all()
            .into_iter()
            .filter(|drive| drive.drive.state() == DriveState::Online)
            .max_by_key(|drive| drive.drive.unreserved_bytes());
        roomiest.ok_or(NodeError::NoFreeSpace { needed_bytes: spec.reserved_bytes, available_bytes: 0 })
    }

    pub(super) async fn on_home<T, F>(
        &self,
        drive: &OpenDrive,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, NodeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, EngineError>> + 'static,
    {
        let answer = self.inner.handle.call_on(drive.home, make).await;
        Ok(answer.ok_or(NodeError::ShuttingDown)??)
    }
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
            return Err(NodeError::AlreadyExists("volume"));
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
            EngineError::AlreadyExists => Self::AlreadyExists("volume"),
            EngineError::Invalid(reason) => Self::Invalid(reason.to_string()),
            other => Self::Drive(other.to_string()),
        }
    }
}
