//! Volumes come, grow and go. Each change is one absolute record, durable before the answer.

use std::sync::{Arc, atomic::Ordering};

use uuid::Uuid;

use super::{
    catalogue::{LayerRecord, VolumeRecord},
    drive::{Drive, DriveShared},
    error::EngineError,
    format::{BLOCK_BYTES, Child, ENTRIES_PER_PAGE, EXTENT_BYTES, FANOUT, LayerId, MAX_BYTES, ROOT_CHILDREN},
    layer::Layer,
    map::{Entry, LogicalExtent},
    paging::Purpose,
    sync::lock,
    tree::{Slot, Tree, lower_of, upper_of},
    volume::{Volume, VolumeShared},
};
use crate::rt;

impl Drive {
    /// Makes a volume. Durable when it answers.
    pub async fn create_volume(
        &self,
        uuid: Uuid,
        size_bytes: u64,
        block_bytes: u32,
        reserved_bytes: u64,
    ) -> Result<Volume, EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let _room = drive.admit_clear().await?;
        check_shape(size_bytes, block_bytes, reserved_bytes)?;
        if u64::from(block_bytes) == BLOCK_BYTES && !drive.atomic_4k {
            return Err(EngineError::Invalid(
                "this drive may tear 4096-byte blocks when power fails: use 512-byte blocks, or open it with \
                 torn-safe, or with assume-4k-atomic if you know better"
                    .into(),
            ));
        }
        let id = LayerId(drive.next_layer.fetch_add(1, Ordering::Relaxed));
        let layer = Arc::new(Layer::new(id, None, Vec::new(), 0));
        let mut record = VolumeRecord::new(uuid, id, block_bytes);
        record.size_bytes.set(size_bytes);
        let volume = Arc::new(VolumeShared::new(record, Box::new([layer.clone()])));
        if lock(&drive.volumes).contains_key(&uuid) {
            return Err(EngineError::AlreadyExists);
        }
        self.reserve(&volume, reserved_bytes).await?;
        let ticket = {
            let mut volumes = lock(&drive.volumes);
            if volumes.contains_key(&uuid) {
                drive.ledger.reserve(&volume.account, 0)?;
                return Err(EngineError::AlreadyExists);
            }
            let mut record = lock(&volume.record);
            record.reserved_extents.set(volume.account.reserved());
            // Known before it is recorded: a checkpoint after the record must not forget it.
            lock(&drive.layers).insert(id, layer);
            volumes.insert(uuid, volume.clone());
            let mut book = drive.journal.book();
            book.layer(LayerRecord::new(id, None, 0));
            book.volume(*record);
            book.close()
        };
        drive.journal.written(ticket).await?;
        drive.flush().await?;
        Ok(self.handle(volume))
    }

    /// Makes a volume larger, its reserve too. Durable when it answers; the new size counts from then on.
    pub async fn expand_volume(
        &self,
        volume: &Volume,
        new_size_bytes: u64,
        new_reserved_bytes: u64,
    ) -> Result<(), EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let _room = drive.admit_clear().await?;
        check_shape(new_size_bytes, volume.block_bytes(), new_reserved_bytes)?;
        if volume.volume.is_deleting() {
            return Err(EngineError::Offline);
        }
        if new_size_bytes < volume.size_bytes() {
            return Err(EngineError::Invalid("a volume does not shrink".into()));
        }
        self.reserve(&volume.volume, new_reserved_bytes).await?;
        let ticket = {
            let mut record = lock(&volume.volume.record);
            let size_bytes = record.size_bytes.get().max(new_size_bytes);
            record.size_bytes.set(size_bytes);
            record.reserved_extents.set(volume.volume.account.reserved());
            let mut book = drive.journal.book();
            book.volume(*record);
            book.close()
        };
        drive.journal.written(ticket).await?;
        drive.flush().await?;
        volume.volume.grow_to(new_size_bytes);
        Ok(())
    }

    /// Promises space to a volume, and sees that a sparse file underneath has it. On failure nothing changed.
    async fn reserve(&self, volume: &VolumeShared, reserved_bytes: u64) -> Result<(), EngineError> {
        let drive = &self.shared;
        let before = volume.account.reserved();
        let unreserved = drive.ledger.unreserved_bytes();
        drive.ledger.reserve(&volume.account, reserved_bytes.div_ceil(EXTENT_BYTES))?;
        if reserved_bytes == 0 {
            return Ok(());
        }
        match drive.start_backing().await {
            Ok(()) => Ok(()),
            Err(error) => {
                drive.ledger.reserve(&volume.account, before)?;
                Err(match error {
                    EngineError::CapacityExceeded => {
                        EngineError::NoFreeSpace { needed_bytes: reserved_bytes, available_bytes: unreserved }
                    }
                    other => other,
                })
            }
        }
    }

    /// Deletes a volume. Durable when it answers; its extents are given back in the background.
    pub async fn delete_volume(&self, volume: &Volume) -> Result<(), EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let _room = drive.admit_clear().await?;
        if volume.volume.is_deleting() {
            return Err(EngineError::Offline);
        }
        volume.volume.set_deleting();
        let ticket = {
            let mut record = lock(&volume.volume.record);
            record.reserved_extents.set(0);
            let mut book = drive.journal.book();
            book.volume(*record);
            book.close()
        };
        drive.journal.written(ticket).await?;
        drive.flush().await?;
        // What it never used is free at once; the rest follows extent by extent.
        drive.ledger.reserve(&volume.volume.account, 0)?;
        volume.start_emptying();
        Ok(())
    }
}

fn check_shape(size_bytes: u64, block_bytes: u32, reserved_bytes: u64) -> Result<(), EngineError> {
    let problem = if !matches!(block_bytes, 512 | 4096) {
        "the block size must be 512 or 4096"
    } else if size_bytes == 0 || !size_bytes.is_multiple_of(u64::from(block_bytes)) {
        "the size must be a multiple of the block size, and not zero"
    } else if size_bytes > MAX_BYTES {
        "a volume cannot exceed 256 TiB on one drive"
    } else if reserved_bytes > size_bytes.next_multiple_of(EXTENT_BYTES) {
        "the reserve exceeds the size"
    } else {
        return Ok(());
    };
    Err(EngineError::Invalid(problem.into()))
}

impl Volume {
    /// Gives the extents of a deleted volume back, on the drive's home core. Begun again after a crash.
    pub(super) fn start_emptying(&self) {
        let volume = self.clone();
        rt::spawn_on(self.drive.home, move || async move {
            let drive = volume.drive.clone();
            drive.serve(|_| async move {
                if let Err(error) = volume.empty().await {
                    tracing::error!(volume = %volume.uuid(), %error, "a deleted volume keeps its space");
                }
            });
        });
    }

    async fn empty(&self) -> Result<(), EngineError> {
        let drive = &*self.drive;
        // Operations that began before the deletion end first.
        drive.grace.period().await;
        let head = self.head();
        let mut from = 0;
        while let Some(leaf) = drive.next_leaf(&head.tree, from).await? {
            drive.page_in(head, leaf, Purpose::Read).await?;
            let first = leaf * ENTRIES_PER_PAGE as u32;
            for logical in (first..=first + (ENTRIES_PER_PAGE as u32 - 1)).map(LogicalExtent) {
                drive.clear_entry(head, logical, &self.volume.account, |_| Entry::ABSENT).await?;
            }
            from = leaf + 1;
        }
        drive.journal.barrier().await?;
        *lock(&self.volume.emptied_at) = Some(drive.journal.written_sequence());
        // The next checkpoint leaves it out.
        drive.checkpoints.ask();
        Ok(())
    }
}

/// One behind the last leaf of a tree.
const LEAVES: u32 = (ROOT_CHILDREN * FANOUT * FANOUT) as u32;

impl DriveShared {
    /// The first leaf from `from` on that is not known to be absent. Loads the index pages on the way, and skips
    /// what no index page leads to.
    pub(super) async fn next_leaf(&self, tree: &Tree, from: u32) -> Result<Option<u32>, EngineError> {
        let mut leaf = from;
        while leaf < LEAVES {
            if let Some(skip_to) = self.absent_until(tree, leaf) {
                leaf = skip_to;
                continue;
            }
            self.load_nodes(tree, leaf).await?;
            if tree.slot(leaf).is_some_and(|slot| slot.load() != Slot::Absent) {
                return Ok(Some(leaf));
            }
            leaf += 1;
        }
        Ok(None)
    }

    /// If no index page leads to `leaf`: the first leaf for which one might.
    fn absent_until(&self, tree: &Tree, leaf: u32) -> Option<u32> {
        let lower = lower_of(leaf);
        let upper = upper_of(lower);
        let (below, loaded, child) = if tree.upper(upper).is_none() {
            ((FANOUT * FANOUT) as u32, false, tree.child(2, upper))
        } else {
            (FANOUT as u32, tree.lower(lower).is_some(), tree.child(1, lower))
        };
        if loaded || child != Some(Child::None) {
            return None;
        }
        let end = (leaf / below + 1) * below;
        let waiting =
            lock(&self.overlay).range((tree.layer, leaf)..(tree.layer, end)).next().map(|(at, _)| at.1);
        match waiting {
            // News of recovery makes a page where none was.
            Some(at) if at == leaf => None,
            Some(at) => Some(at),
            None => Some(end),
        }
    }
}
