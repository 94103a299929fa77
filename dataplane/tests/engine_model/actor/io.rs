//! Reads, writes, marks, trims and flushes.

use std::ops::Range;

use dataplane::{engine::EngineError, rt::Buf};
use uuid::Uuid;

use super::Actor;
use crate::{
    model::lock,
    reference::{BLOCK, Moment, SECTOR, UNCORRECTABLE, fill, sectors, values},
};

/// How blocks are cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clearing {
    /// Leaves partly covered 4 KiB blocks alone.
    Deallocate,
    WriteZeroes,
}

impl Actor {
    pub(crate) async fn write(&self, uuid: Uuid, offset: u64, len: u64, fua: bool) {
        let Some(volume) = self.handle(uuid) else { return };
        let (value, began) = {
            let model = &mut lock(&self.world).model;
            let (value, began) = (model.value(), model.tick());
            if !model.volume(uuid).is_view() {
                model.volume(uuid).reference().begin(sectors(offset, len), value, began);
            }
            (value, began)
        };
        let mut buf = Buf::alloc(len as usize).await;
        fill(&mut buf, offset / SECTOR, value);
        let (_, result) = volume.write(offset, buf, fua).await;
        self.written(uuid, sectors(offset, len), began, fua, result);
    }

    /// A write, or a mark, that began then has ended so.
    fn written(
        &self,
        uuid: Uuid,
        sectors: Range<u64>,
        began: Moment,
        fua: bool,
        result: Result<(), EngineError>,
    ) {
        let model = &mut lock(&self.world).model;
        match result {
            Ok(()) => {
                let (now, reading_since) = (model.tick(), model.reading_since());
                let durable = fua || self.write_through;
                model.volume(uuid).reference().end(sectors, began, now, durable, reading_since);
            }
            Err(EngineError::CapacityExceeded | EngineError::Offline) => {}
            Err(EngineError::ReadOnly) if model.volume(uuid).is_view() => {}
            Err(error) => panic!("write: {error}"),
        }
    }

    /// Marks a range uncorrectable.
    pub(crate) async fn mark(&self, uuid: Uuid, offset: u64, len: u64, fua: bool) {
        let Some(volume) = self.handle(uuid) else { return };
        let began = {
            let model = &mut lock(&self.world).model;
            let began = model.tick();
            if !model.volume(uuid).is_view() {
                model.volume(uuid).reference().begin(sectors(offset, len), UNCORRECTABLE, began);
            }
            began
        };
        let result = volume.write_uncorrectable(offset, len, fua).await;
        self.written(uuid, sectors(offset, len), began, fua, result);
    }

    pub(crate) async fn read(&self, uuid: Uuid, offset: u64, len: u64) {
        let Some(volume) = self.handle(uuid) else { return };
        let began = lock(&self.world).model.begin_read();
        let result = values(&volume, offset, len).await;
        let world = &mut *lock(&self.world);
        let now = world.model.end_read(began);
        let values = match result {
            Ok(values) => values,
            Err(EngineError::Offline) => return,
            Err(error) => panic!("read: {error}"),
        };
        for (sector, value) in sectors(offset, len).zip(values) {
            world.model.saw(uuid, sector, value, (began, now));
        }
    }

    pub(crate) async fn clear(&self, uuid: Uuid, offset: u64, len: u64, fua: bool, how: Clearing) {
        let Some(volume) = self.handle(uuid) else { return };
        let cleared = match how {
            Clearing::Deallocate => {
                let start = offset.next_multiple_of(BLOCK);
                sectors(start, ((offset + len) / BLOCK * BLOCK).saturating_sub(start))
            }
            Clearing::WriteZeroes => sectors(offset, len),
        };
        let began = {
            let model = &mut lock(&self.world).model;
            let began = model.tick();
            if !model.volume(uuid).is_view() {
                model.volume(uuid).reference().begin(cleared.clone(), 0, began);
            }
            began
        };
        let result = match how {
            Clearing::Deallocate => volume.deallocate(offset, len).await,
            Clearing::WriteZeroes => volume.write_zeroes(offset, len, true, fua).await,
        };
        let model = &mut lock(&self.world).model;
        match result {
            Ok(()) => {
                let (now, reading_since) = (model.tick(), model.reading_since());
                let durable = self.write_through || (fua && how == Clearing::WriteZeroes);
                model.volume(uuid).reference().end(cleared, began, now, durable, reading_since);
            }
            Err(EngineError::CapacityExceeded | EngineError::Offline) => {}
            Err(EngineError::ReadOnly) if model.volume(uuid).is_view() => {}
            Err(error) => panic!("{how:?}: {error}"),
        }
    }

    pub(crate) async fn flush(&self, uuid: Uuid) {
        let Some(volume) = self.handle(uuid) else { return };
        let began = lock(&self.world).model.tick();
        match volume.flush().await {
            Ok(()) => lock(&self.world).model.flushed(uuid, began),
            Err(EngineError::Offline) => {}
            Err(error) => panic!("flush: {error}"),
        }
    }
}
