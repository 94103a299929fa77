//! A node's volumes and snapshots, put together from the parts on its drives, and changes that concern several drives.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, MutexGuard, PoisonError},
};

use uuid::Uuid;

use super::{Node, NodeError, NodeObject, PartInfo, VolumeState, open_drive::OpenDrive};
use crate::{
    engine::{self, EngineError, Snapshot},
    mirror::ReplicaIdentity,
    rt,
    volume::{Volume, Whole, worst},
};

/// A part on its drive.
#[derive(Debug, Clone)]
pub(super) struct OnDrive<T> {
    pub(super) drive: Arc<OpenDrive>,
    pub(super) part: T,
}

pub(super) type VolumeParts = Whole<OnDrive<engine::Volume>>;
pub(super) type SnapshotParts = Whole<OnDrive<Snapshot>>;

impl<T> Whole<OnDrive<T>> {
    /// # Errors
    /// If a part is missing.
    pub(super) fn checked(self) -> Result<Self, NodeError> {
        match self.lack() {
            None => Ok(self),
            Some(lack) => Err(NodeError::Drive(lack)),
        }
    }

    /// What a person should know of a missing part.
    fn lack(&self) -> Option<String> {
        self.missing.map(|part| format!("part {part} of it is on no drive of this node: is a drive missing?"))
    }

    pub(super) fn infos(&self, size_bytes: impl Fn(&T) -> u64) -> Vec<PartInfo> {
        let info =
            |one: &OnDrive<T>| PartInfo { drive: one.drive.drive.uuid(), size_bytes: size_bytes(&one.part) };
        self.parts.iter().map(info).collect()
    }

    /// That of the part which is worst off; offline if one is missing.
    pub(super) fn state(&self, state: impl Fn(&T) -> VolumeState) -> VolumeState {
        worst(self.parts.iter().map(|one| state(&one.part)).chain(self.lack().map(VolumeState::Offline)))
    }

    /// Every part there is, those that do not count included.
    pub(super) fn into_all(self) -> impl Iterator<Item = OnDrive<T>> {
        self.parts.into_iter().chain(self.left_behind)
    }
}

impl Node {
    pub(super) fn all_volumes(&self) -> BTreeMap<Uuid, VolumeParts> {
        group_volumes(self.on_drives(|drive| drive.volumes()))
    }

    pub(super) fn all_snapshots(&self) -> BTreeMap<Uuid, SnapshotParts> {
        group_snapshots(self.on_drives(|drive| drive.snapshots()))
    }

    pub(super) fn volume_parts(&self, uuid: Uuid) -> Result<VolumeParts, NodeError> {
        let mut parts = self.on_drives(|drive| drive.volumes());
        parts.retain(|one| one.part.uuid() == uuid);
        group_volumes(parts).remove(&uuid).ok_or(NodeError::NotFound(NodeObject::Volume))
    }

    pub(super) fn snapshot_parts(&self, uuid: Uuid) -> Result<SnapshotParts, NodeError> {
        let mut parts = self.on_drives(|drive| drive.snapshots());
        parts.retain(|one| one.part.uuid() == uuid);
        group_snapshots(parts).remove(&uuid).ok_or(NodeError::NotFound(NodeObject::Snapshot))
    }

    /// Locked before any drive is looked at.
    pub(super) fn handles(&self) -> MutexGuard<'_, HashMap<Uuid, Volume>> {
        self.inner.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle that all who use a volume share.
    pub(super) fn find(&self, uuid: Uuid) -> Result<Volume, NodeError> {
        let mut handles = self.handles();
        if let Some(handle) = handles.get(&uuid) {
            return Ok(handle.clone());
        }
        let whole = self.volume_parts(uuid)?.checked()?;
        let volume = Volume::of_parts(whole.parts.into_iter().map(|one| one.part).collect());
        Ok(handles.entry(uuid).or_insert(volume).clone())
    }

    /// The same for hosts: one that other nodes hold, too, is used through its replica, or not at all.
    pub(super) fn for_hosts(&self, uuid: Uuid) -> Result<Volume, NodeError> {
        let volume = self.find(uuid)?;
        match self.inner.target.mirrors().get(uuid) {
            Some(mirror) => Ok(volume.through(mirror)),
            None if ReplicaIdentity::of(&volume).is_some() => {
                Err(NodeError::Invalid("volume: its replica here does not take part".into()))
            }
            None => Ok(volume),
        }
    }

    /// Some of a volume's parts are others now. In the handle that all who use it share, if there is one.
    pub(super) fn refresh(&self, handles: &HashMap<Uuid, Volume>, uuid: Uuid) {
        if let Some(handle) = handles.get(&uuid)
            && let Ok(whole) = self.volume_parts(uuid).and_then(VolumeParts::checked)
        {
            handle.set_parts(whole.parts.into_iter().map(|one| one.part).collect());
        }
    }

    /// The volume is gone: its UUID may come again as another one.
    pub(super) fn forget_handle(&self, uuid: Uuid) {
        self.handles().remove(&uuid);
    }

    /// Removes parts that do not count: an expansion or a removal was not finished. One that cannot be removed is
    /// harmless, and takes up space until the next start.
    pub(super) async fn remove_left_behind(&self) {
        // An expansion makes its parts before they count.
        let _together = self.inner.together.take().await;
        let volumes = self.all_volumes().into_values().flat_map(|whole| whole.left_behind);
        for one in volumes.collect::<Vec<_>>() {
            let drive = one.drive.clone();
            if let Err(error) = self.delete_parts(std::iter::once(one)).await {
                tracing::warn!(drive = drive.name, %error, "a part that no volume counts is not removed");
            }
        }
    }

    /// Makes parts one after the other on the home cores of their drives, all or none.
    pub(super) async fn make_in_turn<C, F>(
        &self,
        makings: impl Iterator<Item = (Arc<OpenDrive>, C)>,
    ) -> Result<Vec<OnDrive<engine::Volume>>, NodeError>
    where
        C: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<engine::Volume, EngineError>> + 'static,
    {
        let mut made = Vec::new();
        for (drive, make) in makings {
            match self.on_home(&drive, make).await {
                Ok(part) => made.push(OnDrive { drive, part }),
                Err(error) => {
                    self.delete_parts(made.into_iter()).await?;
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// Deletes parts, one after the other: the first of a whole first, since the others count for nothing without it.
    pub(super) async fn delete_parts(
        &self,
        parts: impl Iterator<Item = OnDrive<engine::Volume>>,
    ) -> Result<(), NodeError> {
        for OnDrive { drive, part } in parts {
            let engine = drive.drive.clone();
            self.on_home(&drive, move || async move { engine.delete_volume(&part).await }).await?;
        }
        Ok(())
    }

    /// As [`delete_parts`](Self::delete_parts).
    pub(super) async fn delete_snapshot_parts(
        &self,
        parts: impl Iterator<Item = OnDrive<Snapshot>>,
    ) -> Result<(), NodeError> {
        for OnDrive { drive, part } in parts {
            let engine = drive.drive.clone();
            self.on_home(&drive, move || async move { engine.delete_snapshot(&part).await }).await?;
        }
        Ok(())
    }

    /// Runs something on the home core of a drive.
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

    /// Runs a change of several drives on their home cores side by side; `Err` has what was made all the same, and
    /// why the rest was not.
    pub(super) async fn on_homes<T, C, F>(
        &self,
        changes: Vec<(Arc<OpenDrive>, C)>,
    ) -> Result<Vec<OnDrive<T>>, (Vec<OnDrive<T>>, NodeError)>
    where
        T: Send + 'static,
        C: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Vec<T>, EngineError>> + 'static,
    {
        let calls = changes.into_iter().map(|(drive, change)| {
            Box::pin(async move { (self.inner.handle.call_on(drive.home, change).await, drive) })
        });
        let (mut made, mut failures) = (Vec::new(), Vec::new());
        for (answer, drive) in rt::join_all(calls.collect()).await {
            match answer {
                Some(Ok(parts)) => {
                    made.extend(parts.into_iter().map(|part| OnDrive { drive: drive.clone(), part }));
                }
                // Some other drive tells why: it comes first.
                Some(Err(error @ EngineError::Abandoned)) => failures.push(error.into()),
                Some(Err(error)) => failures.insert(0, error.into()),
                None => failures.insert(0, NodeError::ShuttingDown),
            }
        }
        if failures.is_empty() { Ok(made) } else { Err((made, failures.remove(0))) }
    }

    fn on_drives<T>(&self, held: impl Fn(&engine::Drive) -> Vec<T>) -> Vec<OnDrive<T>> {
        let mut all = Vec::new();
        let _still = self.inner.moves.read().unwrap_or_else(PoisonError::into_inner);
        for drive in self.inner.drives.all() {
            all.extend(held(&drive.drive).into_iter().map(|part| OnDrive { drive: drive.clone(), part }));
        }
        all
    }
}

fn group_volumes(found: Vec<OnDrive<engine::Volume>>) -> BTreeMap<Uuid, VolumeParts> {
    group(found, engine::Volume::uuid, engine::Volume::part, engine::Volume::parts)
}

fn group_snapshots(found: Vec<OnDrive<Snapshot>>) -> BTreeMap<Uuid, SnapshotParts> {
    group(found, Snapshot::uuid, Snapshot::part, Snapshot::parts)
}

fn group<T>(
    found: Vec<OnDrive<T>>,
    uuid: impl Fn(&T) -> Uuid,
    index: impl Fn(&T) -> u8,
    of: impl Fn(&T) -> u8,
) -> BTreeMap<Uuid, Whole<OnDrive<T>>> {
    let mut groups: BTreeMap<Uuid, Vec<OnDrive<T>>> = BTreeMap::new();
    for one in found {
        groups.entry(uuid(&one.part)).or_default().push(one);
    }
    let whole =
        |parts| Whole::of(parts, |one: &OnDrive<T>| index(&one.part), |one: &OnDrive<T>| of(&one.part));
    groups.into_iter().map(|(uuid, parts)| (uuid, whole(parts))).collect()
}
