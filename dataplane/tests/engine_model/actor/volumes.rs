//! Volumes come, grow and go; their drive grows.

use dataplane::engine::{EngineError, Volume};
use uuid::Uuid;

use super::Actor;
use crate::{
    model::{Content, KnownVolume, Presence, lock},
    reference::ReferenceVolume,
};

impl Actor {
    /// `None`: the drive has no room, or no such blocks.
    pub(crate) async fn create(
        &self,
        size_bytes: u64,
        block_bytes: u32,
        reserved_bytes: u64,
        spots: Vec<u64>,
    ) -> Option<Uuid> {
        let uuid = {
            let model = &mut lock(&self.world).model;
            let uuid = model.uuid();
            let known = KnownVolume {
                block_bytes,
                sizes: vec![size_bytes],
                presence: Presence::Open,
                content: Content::Own(ReferenceVolume::default()),
                attachments: vec![0],
                spots,
            };
            model.volumes.insert(uuid, known);
            uuid
        };
        let result = self.drive().create_volume(uuid, size_bytes, block_bytes, reserved_bytes).await;
        self.created(uuid, result)
    }

    /// A volume's creation was answered.
    pub(super) fn created(&self, uuid: Uuid, result: Result<Volume, EngineError>) -> Option<Uuid> {
        let mut world = lock(&self.world);
        match result {
            Ok(volume) => {
                world.model.volume(uuid).presence = Presence::There;
                world.handles.insert(uuid, volume);
                Some(uuid)
            }
            Err(EngineError::NoFreeSpace { .. } | EngineError::Invalid(_)) => {
                world.model.volume(uuid).presence = Presence::Gone;
                None
            }
            Err(error) => panic!("create: {error}"),
        }
    }

    pub(crate) async fn delete(&self, uuid: Uuid) {
        let Some(volume) = lock(&self.world).handles.remove(&uuid) else { return };
        lock(&self.world).model.volume(uuid).presence = Presence::Open;
        self.drive().delete_volume(&volume).await.expect("nothing stands against it");
        lock(&self.world).model.volume(uuid).presence = Presence::Gone;
    }

    pub(crate) async fn expand(&self, uuid: Uuid, more_bytes: u64) {
        let Some(volume) = self.handle(uuid) else { return };
        let size = volume.size_bytes() + more_bytes;
        lock(&self.world).model.volume(uuid).sizes.push(size);
        let reserved = volume.reserved_bytes();
        self.drive().expand_volume(&volume, size, reserved).await.expect("nothing stands against it");
        assert_eq!(volume.size_bytes(), size);
        lock(&self.world).model.volume(uuid).sizes = vec![size];
    }

    /// Makes the drive's medium larger, and the drive with it, unless it would become larger than that.
    pub(crate) async fn grow(&self, more_bytes: u64, max_bytes: u64) {
        let drive = self.drive();
        let size = drive.size_bytes() + more_bytes;
        if size <= max_bytes {
            lock(&self.world).model.drive_sizes.push(size);
            assert_eq!(drive.grow(Some(size)).await, Ok(size));
            lock(&self.world).model.drive_sizes = vec![size];
        }
    }

    /// Attaches a document of `len` equal bytes; of none if `len` is zero.
    pub(crate) async fn attach(&self, uuid: Uuid, byte: u8, len: usize) {
        let Some(volume) = self.handle(uuid) else { return };
        let first = if len == 0 { 0 } else { byte };
        lock(&self.world).model.volume(uuid).attachments.push(first);
        volume.set_attachment(&vec![byte; len]).await.expect("nothing stands against it");
        lock(&self.world).model.volume(uuid).attachments = vec![first];
    }
}
