//! A node's snapshots, snapshot volumes and clones.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use super::{
    BlockSize, CloneSpec, Node, NodeError, NodeObject, SnapshotInfo, SnapshotSpec, SnapshotVolumeSpec,
    VolumeInfo,
    open_drive::OpenDrive,
    parts::{OnDrive, SnapshotParts, VolumeParts},
    volumes::{Creating, check_alone, count},
};
use crate::{
    engine::{self, NewClone, Part, Seat, Snapshot},
    volume::share,
};

/// What is wanted of each drive that takes part in a change.
type PerDrive<T> = BTreeMap<Uuid, (Arc<OpenDrive>, Vec<T>)>;

impl Node {
    /// Takes snapshots of several volumes at one instant, wherever their parts lie: all or none. After a crash in the
    /// middle some of them, or parts of some, may be there: whoever asked for them deletes those (E14).
    pub async fn create_snapshots(&self, specs: Vec<SnapshotSpec>) -> Result<Vec<SnapshotInfo>, NodeError> {
        let mut creating = Vec::new();
        let mut wanted: PerDrive<(engine::Volume, Part)> = BTreeMap::new();
        for spec in &specs {
            creating.push(Creating::begin(self, spec.snapshot)?);
            self.check_unused(spec.snapshot)?;
            let whole = self.volume_parts(spec.volume)?.checked()?;
            check_alone(&whole, "has no snapshots yet")?;
            let of = count(whole.parts.len());
            for OnDrive { drive, part } in whole.parts {
                let new = Part { uuid: spec.snapshot, index: part.part(), of };
                wanted.entry(drive.drive.uuid()).or_insert_with(|| (drive, Vec::new())).1.push((part, new));
            }
        }
        self.take_snapshots(wanted).await?;
        specs.iter().map(|spec| Ok(info(spec.snapshot, &self.snapshot_parts(spec.snapshot)?))).collect()
    }

    async fn take_snapshots(&self, wanted: PerDrive<(engine::Volume, Part)>) -> Result<(), NodeError> {
        if let Some((_, (drive, wanted))) = wanted.first_key_value().filter(|_| wanted.len() == 1) {
            let (engine, wanted) = (drive.drive.clone(), wanted.clone());
            self.on_home(drive, move || async move { engine.create_snapshots(&wanted).await }).await?;
            return Ok(());
        }
        let _together = self.inner.together.take().await;
        let seats = Seat::for_parties(wanted.len());
        let changes = wanted.into_values().zip(seats).map(|((drive, wanted), seat)| {
            let engine = drive.drive.clone();
            (drive, move || async move { engine.create_snapshots_together(&wanted, seat).await })
        });
        match self.on_homes(changes.collect()).await {
            Ok(_) => Ok(()),
            Err((made, error)) => {
                self.delete_snapshot_parts(made.into_iter()).await?;
                Err(error)
            }
        }
    }

    /// Every snapshot of every drive.
    pub async fn snapshots(&self) -> Vec<SnapshotInfo> {
        self.all_snapshots().iter().map(|(&uuid, whole)| info(uuid, whole)).collect()
    }

    pub async fn snapshot(&self, uuid: Uuid) -> Result<SnapshotInfo, NodeError> {
        Ok(info(uuid, &self.snapshot_parts(uuid)?))
    }

    /// Bytes that come back when this snapshot alone is deleted (provisioner D63). Walks its map.
    pub async fn snapshot_unique_bytes(&self, uuid: Uuid) -> Result<u64, NodeError> {
        let mut bytes = 0;
        for OnDrive { drive, part } in self.snapshot_parts(uuid)?.parts {
            bytes += self.on_home(&drive, move || async move { part.unique_bytes().await }).await?;
        }
        Ok(bytes)
    }

    /// Deletes a snapshot as far as it is there, whatever depends on it: its volumes live on as clones.
    pub async fn delete_snapshot(&self, uuid: Uuid) -> Result<(), NodeError> {
        self.delete_snapshot_parts(self.snapshot_parts(uuid)?.into_all()).await
    }

    /// Makes a volume that shows a snapshot, on the snapshot's drives.
    pub async fn create_snapshot_volume(&self, spec: SnapshotVolumeSpec) -> Result<VolumeInfo, NodeError> {
        let _alone = Creating::begin(self, spec.uuid)?;
        self.check_unused(spec.uuid)?;
        let whole = self.snapshot_parts(spec.snapshot)?.checked()?;
        let sizes: Vec<u64> = whole.parts.iter().map(|one| one.part.size_bytes()).collect();
        let shapes = shapes(&sizes, spec.size_bytes, spec.reserved_bytes)?;
        let of = count(whole.parts.len());
        // The first part comes last: without it the others count for nothing (E14).
        let makings =
            whole.parts.into_iter().zip(shapes).rev().map(|(OnDrive { drive, part: snapshot }, shape)| {
                let engine = drive.drive.clone();
                let part = Part { uuid: spec.uuid, index: snapshot.part(), of };
                let make = move || async move {
                    let (size_bytes, reserved_bytes) = shape;
                    engine
                        .create_snapshot_volume(&snapshot, part, spec.writable, size_bytes, reserved_bytes)
                        .await
                };
                (drive, make)
            });
        self.make_in_turn(makings).await?;
        self.volume(spec.uuid).await
    }

    /// Makes a volume of what another holds at this instant, on the other's drives.
    pub async fn clone_volume(&self, spec: CloneSpec) -> Result<VolumeInfo, NodeError> {
        let _alone = Creating::begin(self, spec.uuid)?;
        self.check_unused(spec.uuid)?;
        let source = self.volume_parts(spec.source)?.checked()?;
        check_alone(&source, "has no clones yet")?;
        let wanted = clones_of(source, spec)?;
        let _together = self.inner.together.take().await;
        let seats = Seat::for_parties(wanted.len());
        let changes = wanted.into_values().zip(seats).map(|((drive, wanted), seat)| {
            let engine = drive.drive.clone();
            (drive, move || async move { engine.clone_volumes_together(wanted, seat).await })
        });
        if let Err((made, error)) = self.on_homes(changes.collect()).await {
            self.delete_parts(made.into_iter()).await?;
            return Err(error);
        }
        self.volume(spec.uuid).await
    }

    /// Volumes and snapshots share their names, over all drives.
    pub(super) fn check_unused(&self, uuid: Uuid) -> Result<(), NodeError> {
        if self.volume_parts(uuid).is_ok() {
            return Err(NodeError::AlreadyExists(NodeObject::Volume));
        }
        if self.snapshot_parts(uuid).is_ok() {
            Err(NodeError::AlreadyExists(NodeObject::Snapshot))
        } else {
            Ok(())
        }
    }
}

/// What a clone needs on each drive of its source.
fn clones_of(source: VolumeParts, spec: CloneSpec) -> Result<PerDrive<NewClone>, NodeError> {
    let sizes: Vec<u64> = source.parts.iter().map(|one| one.part.size_bytes()).collect();
    let shapes = shapes(&sizes, spec.size_bytes, spec.reserved_bytes)?;
    let of = count(sizes.len());
    let mut wanted: PerDrive<NewClone> = BTreeMap::new();
    for (OnDrive { drive, part: source }, (size_bytes, reserved_bytes)) in
        source.parts.into_iter().zip(shapes)
    {
        let part = Part { uuid: spec.uuid, index: source.part(), of };
        let clone = NewClone { source, part, size_bytes, reserved_bytes };
        wanted.entry(drive.drive.uuid()).or_insert_with(|| (drive, Vec::new())).1.push(clone);
    }
    Ok(wanted)
}

/// Size and reserve of each part of a volume that begins with parts of these sizes: the last one takes what it has
/// more.
fn shapes(sizes: &[u64], size_bytes: u64, reserved_bytes: u64) -> Result<Vec<(u64, u64)>, NodeError> {
    let least: u64 = sizes.iter().sum();
    if size_bytes < least {
        return Err(NodeError::Invalid(format!("the size must be at least the source's {least} bytes")));
    }
    if reserved_bytes > size_bytes {
        return Err(NodeError::Invalid("the reserve exceeds the size".into()));
    }
    let mut sizes = sizes.to_vec();
    if let Some(last) = sizes.last_mut() {
        *last += size_bytes - least;
    }
    let reserves = share(reserved_bytes, &sizes);
    Ok(sizes.into_iter().zip(reserves).collect())
}

fn info(uuid: Uuid, whole: &SnapshotParts) -> SnapshotInfo {
    let sum = |of: fn(&Snapshot) -> u64| whole.parts.iter().map(|one| of(&one.part)).sum();
    SnapshotInfo {
        uuid,
        parts: whole.infos(Snapshot::size_bytes),
        size_bytes: sum(Snapshot::size_bytes),
        block_size: BlockSize::of(whole.parts[0].part.block_bytes()),
        owned_bytes: sum(Snapshot::owned_bytes),
        state: whole.state(Snapshot::state),
    }
}
