//! A node's snapshots, snapshot volumes and clones.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    CloneSpec, Node, NodeError, SnapshotInfo, SnapshotSpec, SnapshotVolumeSpec, VolumeInfo, api::BlockSize,
    open_drive::OpenDrive, volumes::Creating,
};
use crate::engine::{Drive, Snapshot, Volume};

impl Node {
    /// Takes snapshots of several volumes at one instant: all or none. They must lie on one drive.
    pub async fn create_snapshots(&self, specs: Vec<SnapshotSpec>) -> Result<Vec<SnapshotInfo>, NodeError> {
        let mut creating = Vec::new();
        for spec in &specs {
            creating.push(Creating::begin(self, spec.snapshot)?);
            self.check_unused(spec.snapshot)?;
        }
        let Some(first) = specs.first() else { return Ok(Vec::new()) };
        let (drive, _) = self.locate(first.volume)?;
        let wanted = specs.iter().map(|spec| {
            let (place, volume) = self.locate(spec.volume)?;
            if place.drive.uuid() != drive.drive.uuid() {
                let problem = format!("volumes {} and {} lie on different drives", first.volume, spec.volume);
                return Err(NodeError::Invalid(problem));
            }
            Ok((volume, spec.snapshot))
        });
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let (engine, uuid) = (drive.drive.clone(), drive.drive.uuid());
        let made =
            self.on_home(&drive, move || async move { engine.create_snapshots(&wanted).await }).await?;
        Ok(made.iter().map(|snapshot| snapshot_info(snapshot, uuid)).collect())
    }

    /// Every snapshot of every drive.
    pub async fn snapshots(&self) -> Vec<SnapshotInfo> {
        let of_drive = |drive: &Arc<OpenDrive>| {
            let uuid = drive.drive.uuid();
            drive.drive.snapshots().iter().map(|snapshot| snapshot_info(snapshot, uuid)).collect::<Vec<_>>()
        };
        self.inner.drives.all().iter().flat_map(of_drive).collect()
    }

    pub async fn snapshot(&self, uuid: Uuid) -> Result<SnapshotInfo, NodeError> {
        let (drive, snapshot) = self.locate_snapshot(uuid)?;
        Ok(snapshot_info(&snapshot, drive.drive.uuid()))
    }

    /// Bytes that come back when this snapshot alone is deleted (provisioner D63). Walks its map.
    pub async fn snapshot_unique_bytes(&self, uuid: Uuid) -> Result<u64, NodeError> {
        let (drive, snapshot) = self.locate_snapshot(uuid)?;
        self.on_home(&drive, move || async move { snapshot.unique_bytes().await }).await
    }

    /// Deletes a snapshot, whatever depends on it: its volumes live on as clones.
    pub async fn delete_snapshot(&self, uuid: Uuid) -> Result<(), NodeError> {
        let (drive, snapshot) = self.locate_snapshot(uuid)?;
        let engine = drive.drive.clone();
        self.on_home(&drive, move || async move { engine.delete_snapshot(&snapshot).await }).await
    }

    pub async fn create_snapshot_volume(&self, spec: SnapshotVolumeSpec) -> Result<VolumeInfo, NodeError> {
        let _alone = Creating::begin(self, spec.uuid)?;
        self.check_unused(spec.uuid)?;
        let (drive, snapshot) = self.locate_snapshot(spec.snapshot)?;
        let engine = drive.drive.clone();
        let volume = self
            .on_home(&drive, move || async move {
                let SnapshotVolumeSpec { uuid, writable, size_bytes, reserved_bytes, .. } = spec;
                engine.create_snapshot_volume(&snapshot, uuid, writable, size_bytes, reserved_bytes).await
            })
            .await?;
        Ok(self.info(&volume, drive.drive.uuid()))
    }

    /// Makes a volume of what another holds at this instant.
    pub async fn clone_volume(&self, spec: CloneSpec) -> Result<VolumeInfo, NodeError> {
        let _alone = Creating::begin(self, spec.uuid)?;
        self.check_unused(spec.uuid)?;
        let (drive, source): (_, Volume) = self.locate(spec.source)?;
        let engine = drive.drive.clone();
        let volume = self
            .on_home(&drive, move || async move {
                engine.clone_volume(&source, spec.uuid, spec.size_bytes, spec.reserved_bytes).await
            })
            .await?;
        Ok(self.info(&volume, drive.drive.uuid()))
    }

    fn locate_snapshot(&self, uuid: Uuid) -> Result<(Arc<OpenDrive>, Snapshot), NodeError> {
        let holds = |drive: &Drive| drive.snapshots().into_iter().find(|snapshot| snapshot.uuid() == uuid);
        self.inner
            .drives
            .all()
            .into_iter()
            .find_map(|drive| holds(&drive.drive).map(|snapshot| (drive, snapshot)))
            .ok_or(NodeError::NotFound("snapshot"))
    }

    /// Volumes and snapshots share their names, over all drives.
    pub(super) fn check_unused(&self, uuid: Uuid) -> Result<(), NodeError> {
        if self.locate(uuid).is_ok() {
            return Err(NodeError::AlreadyExists("volume"));
        }
        if self.locate_snapshot(uuid).is_ok() { Err(NodeError::AlreadyExists("snapshot")) } else { Ok(()) }
    }
}

fn snapshot_info(snapshot: &Snapshot, drive: Uuid) -> SnapshotInfo {
    SnapshotInfo {
        uuid: snapshot.uuid(),
        drive,
        size_bytes: snapshot.size_bytes(),
        block_size: BlockSize::of(snapshot.block_bytes()),
        owned_bytes: snapshot.owned_bytes(),
        state: snapshot.state(),
    }
}
