//! Volumes come, grow and go. Each change is one absolute record, durable before the answer.

use std::sync::{Arc, atomic::Ordering};

use super::{
    catalogue::{Standing, VolumeKind, VolumeRecord},
    chain::Chain,
    drive::{Drive, DriveShared},
    error::EngineError,
    format::{BLOCK_BYTES, EXTENT_BYTES, LayerId, MAX_BYTES},
    journal::{Records, Ticket},
    layer::Layer,
    part::{Name, Part},
    space::Account,
    sync::lock,
    volume::{Volume, VolumeShared},
};

impl Drive {
    /// Makes a volume, or a part of one. Durable when it answers.
    pub async fn create_volume(
        &self,
        part: impl Into<Part>,
        size_bytes: u64,
        block_bytes: u32,
        reserved_bytes: u64,
    ) -> Result<Volume, EngineError> {
        let drive = &self.shared;
        let part = part.into();
        drive.check_writable()?;
        check_shape(size_bytes, block_bytes, reserved_bytes)?;
        if u64::from(block_bytes) == BLOCK_BYTES && !drive.atomic_4k {
            return Err(EngineError::Invalid(
                "this drive may tear 4096-byte blocks when power fails: use 512-byte blocks, or open it with \
                 torn-safe, or with assume-4k-atomic if you know better"
                    .into(),
            ));
        }
        let (_turn, layer) = self
            .while_space_comes_back(async || {
                let turn = drive.structure.take().await;
                if drive.retired.load(Ordering::Relaxed) {
                    return Err(EngineError::Invalid("the drive is being removed".into()));
                }
                drive.check_unused(&[part.name()])?;
                let layer = drive.new_layer(None);
                self.reserve(&layer.account, reserved_bytes).await?;
                Ok((turn, layer))
            })
            .await?;
        let _room = drive.admit_clear().await?;
        let record = VolumeRecord::new(part, VolumeKind::Writable, layer.id, size_bytes, block_bytes);
        let (volume, ticket) = {
            let mut records = Records::default();
            (drive.put_head(record, &layer, &mut records), drive.note_records(records))
        };
        drive.make_durable(ticket).await?;
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
        check_shape(new_size_bytes, volume.block_bytes(), new_reserved_bytes)?;
        let (_turn, head) = self
            .while_space_comes_back(async || {
                let turn = drive.structure.take().await;
                check_growth(volume, new_size_bytes)?;
                let head = volume.volume.head();
                self.reserve(&head.account, new_reserved_bytes).await?;
                Ok((turn, head))
            })
            .await?;
        let _room = drive.admit_clear().await?;
        let ticket = {
            let mut record = lock(&volume.volume.record);
            record.size_bytes.set(new_size_bytes);
            record.reserved_extents.set(head.account.reserved());
            drive.note_records(Records { layers: Vec::new(), volumes: vec![*record] })
        };
        drive.make_durable(ticket).await?;
        volume.volume.grow_to(new_size_bytes);
        Ok(())
    }

    /// Says how many parts a volume has, in the record of its first. Durable when it answers: from then on those count.
    pub async fn set_parts(&self, first: &Volume, parts: u8) -> Result<(), EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let _turn = drive.structure.take().await;
        first.volume.check_here()?;
        let _room = drive.admit_clear().await?;
        let ticket = {
            let mut record = lock(&first.volume.record);
            record.set_parts(parts);
            drive.note_records(Records { layers: Vec::new(), volumes: vec![*record] })
        };
        drive.make_durable(ticket).await
    }

    /// Promises space to a head, and sees that a sparse file underneath has it. On failure nothing changed.
    pub(super) async fn reserve(&self, head: &Account, reserved_bytes: u64) -> Result<(), EngineError> {
        let drive = &self.shared;
        let before = head.reserved();
        let unreserved = drive.ledger.unreserved_bytes();
        drive.ledger.reserve(head, reserved_bytes.div_ceil(EXTENT_BYTES))?;
        if reserved_bytes == 0 {
            return Ok(());
        }
        match drive.start_backing().await {
            Ok(()) => Ok(()),
            Err(error) => {
                drive.ledger.reserve(head, before)?;
                Err(match error {
                    EngineError::CapacityExceeded => {
                        EngineError::NoFreeSpace { needed_bytes: reserved_bytes, available_bytes: unreserved }
                    }
                    other => other,
                })
            }
        }
    }

    /// From now on no volume is made here. False, and nothing changed, if there is a volume or snapshot, or another
    /// drive still has to ask this one whether a volume has moved.
    pub async fn retire(&self) -> bool {
        let _turn = self.shared.structure.take().await;
        let empty = lock(&self.shared.volumes).is_empty() && lock(&self.shared.moved).is_empty();
        self.shared.retired.store(empty, Ordering::Relaxed);
        empty
    }

    /// Whether volumes may be made here; those that are there go on. Undoes [`retire`](Self::retire), too.
    pub fn set_closed_to_new(&self, closed: bool) {
        self.shared.retired.store(closed, Ordering::Relaxed);
    }

    /// Deletes a volume. Durable when it answers; what nothing else refers to is given back in the background.
    pub async fn delete_volume(&self, volume: &Volume) -> Result<(), EngineError> {
        self.shared.remove(&volume.volume).await
    }
}

impl DriveShared {
    /// Removes a volume or snapshot. Its content stays as far as others show it.
    pub(super) async fn remove(&self, volume: &VolumeShared) -> Result<(), EngineError> {
        self.check_writable()?;
        let _turn = self.structure.take().await;
        let _room = self.admit_clear().await?;
        volume.check_here()?;
        volume.set_standing(Standing::Gone);
        lock(&self.volumes).remove(&volume.name);
        // Without it more of them may be hidden.
        volume.chain().layers().iter().for_each(|layer| layer.set_thinned_at(0));
        let ticket = {
            let record = *lock(&volume.record);
            self.note_records(Records { layers: Vec::new(), volumes: vec![record] })
        };
        self.make_durable(ticket).await?;
        if volume.kind == VolumeKind::Writable {
            // What it never used is free at once; the rest follows extent by extent.
            self.ledger.reserve(&volume.head().account, 0)?;
        }
        self.reclaims.ask();
        Ok(())
    }

    /// Refuses names that something on this drive has.
    pub(super) fn check_unused(&self, names: &[Name]) -> Result<(), EngineError> {
        let volumes = lock(&self.volumes);
        let taken = names
            .iter()
            .enumerate()
            .any(|(index, name)| volumes.contains_key(name) || names[..index].contains(name));
        if taken { Err(EngineError::AlreadyExists) } else { Ok(()) }
    }

    /// A layer with a number of its own, which nobody knows yet.
    pub(super) fn new_layer(&self, parent: Option<LayerId>) -> Arc<Layer> {
        Arc::new(Layer::empty(LayerId(self.next_layer.fetch_add(1, Ordering::Relaxed)), parent))
    }

    /// Makes a volume with a new, writable head known; what it stands on is known already. A checkpoint after its
    /// records must not forget it, so this comes before they are noted.
    pub(super) fn put_head(
        &self,
        mut record: VolumeRecord,
        head: &Arc<Layer>,
        records: &mut Records,
    ) -> Arc<VolumeShared> {
        record.reserved_extents.set(head.account.reserved());
        records.layers.push(head.record());
        records.volumes.push(record);
        let chain = {
            let mut layers = lock(&self.layers);
            layers.insert(head.id, head.clone());
            Chain::from_head(head, &layers).expect("parents of known layers are known")
        };
        let volume = Arc::new(VolumeShared::new(record, VolumeKind::Writable, chain));
        lock(&self.volumes).insert(volume.name, volume.clone());
        volume
    }

    /// Hands records to the journal. What they say is already so in memory.
    pub(super) fn note_records(&self, records: Records) -> Ticket {
        let mut book = self.journal.book();
        book.records(records);
        book.close()
    }
}

fn check_growth(volume: &Volume, new_size_bytes: u64) -> Result<(), EngineError> {
    volume.volume.check_here()?;
    let problem = if !volume.is_writable() {
        "a read-only volume keeps its size"
    } else if new_size_bytes < volume.size_bytes() {
        "a volume does not shrink"
    } else {
        return Ok(());
    };
    Err(EngineError::Invalid(problem.into()))
}

pub(super) fn check_shape(size_bytes: u64, block_bytes: u32, reserved_bytes: u64) -> Result<(), EngineError> {
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
