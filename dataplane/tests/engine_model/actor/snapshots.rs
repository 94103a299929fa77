//! Snapshots, the volumes that show them, and clones.

use dataplane::engine::{EngineError, Snapshot};
use uuid::Uuid;

use super::Actor;
use crate::{
    model::{Content, Copy, KnownSnapshot, KnownVolume, Model, Presence, lock},
    reference::ReferenceVolume,
};

impl Actor {
    /// Snapshots of several volumes at one instant. Empty: the drive has no room for them.
    pub(crate) async fn snapshot(&self, sources: &[Uuid]) -> Vec<Uuid> {
        let volumes: Vec<_> = sources.iter().filter_map(|source| self.handle(*source)).collect();
        let (began, wanted) = {
            let model = &mut lock(&self.world).model;
            let wanted: Vec<_> = volumes
                .into_iter()
                .map(|volume| {
                    let uuid = model.uuid();
                    let source = model.volume(volume.uuid());
                    let known = KnownSnapshot {
                        size_bytes: volume.size_bytes(),
                        block_bytes: source.block_bytes,
                        presence: Presence::Open,
                        frozen: None,
                        spots: source.spots.clone(),
                    };
                    model.snapshots.insert(uuid, known);
                    (volume, uuid)
                })
                .collect();
            let copies = wanted.iter().map(|(volume, uuid)| (volume.uuid(), Copy::Snapshot(*uuid))).collect();
            (model.begin_copies(copies), wanted)
        };
        let result = self.drive().create_snapshots(&wanted).await;
        let mut world = lock(&self.world);
        world.model.end_copies(began);
        match result {
            Ok(snapshots) => {
                for ((volume, uuid), snapshot) in wanted.iter().zip(snapshots) {
                    world.model.flushed(volume.uuid(), began);
                    accept(&mut world.model, &snapshot);
                    world.snapshots.insert(*uuid, snapshot);
                }
                wanted.into_iter().map(|(_, uuid)| uuid).collect()
            }
            Err(EngineError::NoFreeSpace { .. }) => {
                wanted.iter().for_each(|(_, uuid)| world.model.snapshot(*uuid).presence = Presence::Gone);
                Vec::new()
            }
            Err(error) => panic!("snapshot: {error}"),
        }
    }

    pub(crate) async fn delete_snapshot(&self, uuid: Uuid) {
        let Some(snapshot) = lock(&self.world).snapshots.remove(&uuid) else { return };
        lock(&self.world).model.snapshot(uuid).presence = Presence::Open;
        self.drive().delete_snapshot(&snapshot).await.expect("nothing stands against it");
        lock(&self.world).model.snapshot(uuid).presence = Presence::Gone;
    }

    /// What its deletion would give back, while others write and layers merge: any number, but no error.
    pub(crate) async fn ask_unique(&self, uuid: Uuid) {
        let Some(snapshot) = lock(&self.world).snapshots.get(&uuid).cloned() else { return };
        let bytes = snapshot.unique_bytes().await.expect("every page is readable");
        assert!(bytes <= self.drive().capacity_bytes(), "{bytes} bytes are more than there are");
    }

    /// A volume that shows a snapshot, as much larger. `None`: the drive has no room.
    pub(crate) async fn snapshot_volume(
        &self,
        snapshot: Uuid,
        writable: bool,
        more_bytes: u64,
        reserved_bytes: u64,
    ) -> Option<Uuid> {
        let handle = lock(&self.world).snapshots.get(&snapshot).cloned()?;
        let (uuid, size_bytes) = {
            let model = &mut lock(&self.world).model;
            let (uuid, now) = (model.uuid(), model.tick());
            let known = model.snapshot(snapshot).clone();
            let frozen = known.frozen.expect("only those that were taken are used");
            let content = if writable {
                Content::Own(ReferenceVolume::from_frozen(&model.frozen(frozen).sectors, now))
            } else {
                Content::View(frozen)
            };
            let size_bytes = known.size_bytes + more_bytes;
            let KnownSnapshot { block_bytes, spots, .. } = known;
            let sizes = vec![size_bytes];
            let attachments = vec![0];
            let volume =
                KnownVolume { block_bytes, sizes, presence: Presence::Open, content, attachments, spots };
            model.volumes.insert(uuid, volume);
            (uuid, size_bytes)
        };
        let drive = self.drive();
        let result = drive.create_snapshot_volume(&handle, uuid, writable, size_bytes, reserved_bytes).await;
        self.created(uuid, result)
    }

    /// An independent volume with what the source holds now, as much larger. `None`: the drive has no room.
    pub(crate) async fn clone_volume(
        &self,
        source: Uuid,
        more_bytes: u64,
        reserved_bytes: u64,
    ) -> Option<Uuid> {
        let volume = self.handle(source)?;
        let size_bytes = volume.size_bytes() + more_bytes;
        let (began, uuid) = {
            let model = &mut lock(&self.world).model;
            let uuid = model.uuid();
            let source = model.volume(source);
            let known = KnownVolume {
                block_bytes: source.block_bytes,
                sizes: vec![size_bytes],
                presence: Presence::Open,
                content: Content::Unknown,
                attachments: vec![0],
                spots: source.spots.clone(),
            };
            model.volumes.insert(uuid, known);
            (model.begin_copies(vec![(volume.uuid(), Copy::Clone(uuid))]), uuid)
        };
        let result = self.drive().clone_volume(&volume, uuid, size_bytes, reserved_bytes).await;
        lock(&self.world).model.end_copies(began);
        self.created(uuid, result)
    }

    /// Waits until nothing is left to do in the background.
    pub(crate) async fn settled(&self) {
        self.drive().settled().await;
    }
}

/// The snapshot was taken and says of itself what it should.
fn accept(model: &mut Model, snapshot: &Snapshot) {
    let known = model.snapshot(snapshot.uuid());
    assert_eq!((snapshot.size_bytes(), snapshot.block_bytes()), (known.size_bytes, known.block_bytes));
    known.presence = Presence::There;
}
