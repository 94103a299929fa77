//! The receiving drive's side of a move. All of it is made by the ordinary means of the engine; what its records say
//! is in `catalogue::Standing`.

use std::sync::{Arc, atomic::Ordering};

use uuid::Uuid;

use crate::{
    engine::{
        catalogue::{Standing, VolumeKind, VolumeRecord},
        chain::Chain,
        drive::{Drive, DriveShared},
        error::EngineError,
        format::{EXTENT_BYTES, LayerId},
        journal::{Records, Ticket},
        layer::Layer,
        sync::lock,
        volume::{Volume, VolumeShared},
    },
    rt,
};

/// Records of one unit, where they need not count together.
const RECORDS_AT_ONCE: usize = 128;

impl Drive {
    /// Makes an empty layer for a copy, with room promised for what the layer has and what is promised to it.
    pub(super) async fn begin_copy(
        &self,
        layer: &Layer,
        parent: Option<LayerId>,
        from: Uuid,
    ) -> Result<Volume, EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let (owned, reserved) = (layer.account.owned(), layer.account.reserved());
        let (_turn, head) = self
            .while_space_comes_back(async || {
                let turn = drive.structure.take().await;
                if drive.retired.load(Ordering::Relaxed) {
                    return Err(EngineError::Invalid("the drive is being removed".into()));
                }
                let head = drive.new_layer(parent);
                self.reserve(&head.account, reserved * EXTENT_BYTES).await?;
                // What is no reserve there needs no file space in advance.
                drive.ledger.reserve(&head.account, owned.max(reserved)).inspect_err(|_| {
                    let _ = drive.ledger.reserve(&head.account, 0);
                })?;
                Ok((turn, head))
            })
            .await?;
        let _room = drive.admit_clear().await?;
        let name = Uuid::from_u64_pair(rt::random_u64(), rt::random_u64());
        let record = VolumeRecord::new(name.into(), VolumeKind::Writable, head.id, EXTENT_BYTES, 512);
        let mut records = Records::default();
        let copy = drive.put_head(record.moving(Standing::Copying, from), &head, &mut records);
        drive.note_records(records);
        Ok(self.handle(copy))
    }

    /// Gives the copies the names of what they are copies of. Durable when it answers, with all that was copied.
    pub(super) async fn prepare(
        &self,
        records: &[(VolumeRecord, VolumeKind)],
        copies: &[Volume],
    ) -> Result<Vec<Arc<VolumeShared>>, EngineError> {
        let drive = &self.shared;
        let heads = lock(&drive.layers).clone();
        for copy in copies {
            let head = copy.volume.head();
            let volume = records
                .iter()
                .find(|(record, kind)| *kind == VolumeKind::Writable && record.head_id() == head.id);
            let reserved = volume.map_or(0, |(record, _)| record.reserved_extents.get());
            drive.ledger.reserve(&head.account, 0)?;
            self.reserve(&head.account, reserved * EXTENT_BYTES).await?;
        }
        let prepared: Vec<_> = records
            .iter()
            .map(|(record, kind)| {
                let head = &heads[&record.head_id()];
                Ok(Arc::new(VolumeShared::new(*record, *kind, Chain::from_head(head, &heads)?)))
            })
            .collect::<Result<_, EngineError>>()?;
        {
            // At once: a layer without a name would be merged or given back.
            let mut volumes = lock(&drive.volumes);
            volumes.extend(prepared.iter().map(|volume| (volume.name, volume.clone())));
            for copy in copies {
                copy.volume.set_standing(Standing::Gone);
                volumes.remove(&copy.volume.name);
            }
        }
        let all = prepared.iter().chain(copies.iter().map(|copy| &copy.volume));
        drive.make_recorded(all).await?;
        Ok(prepared)
    }
}

impl DriveShared {
    /// Copies that count from now on. Not recorded yet: until then their source says that they do.
    pub(super) fn adopt<'a>(&self, copies: impl IntoIterator<Item = &'a Arc<VolumeShared>>) {
        for copy in copies {
            copy.set_standing(Standing::Here);
        }
        self.reclaims.ask();
    }

    /// Takes copies away that do not count. Recorded durably when it answers.
    pub(super) async fn drop_copies<'a>(
        &self,
        copies: impl IntoIterator<Item = &'a Arc<VolumeShared>> + Clone,
    ) -> Result<(), EngineError> {
        for copy in copies.clone() {
            copy.set_standing(Standing::Gone);
            lock(&self.volumes).remove(&copy.name);
            copy.chain().layers().iter().for_each(|layer| layer.set_thinned_at(0));
            if copy.kind == VolumeKind::Writable {
                self.ledger.reserve(&copy.head().account, 0)?;
            }
        }
        self.reclaims.ask();
        self.make_recorded(copies).await
    }

    /// Records volumes as they are now; not all at one instant. Durable when it answers.
    pub(super) async fn make_recorded<'a>(
        &self,
        volumes: impl IntoIterator<Item = &'a Arc<VolumeShared>>,
    ) -> Result<(), EngineError> {
        let records: Vec<_> = volumes.into_iter().map(|volume| *lock(&volume.record)).collect();
        self.make_records_durable(&records).await
    }

    pub(super) async fn make_records_durable(&self, records: &[VolumeRecord]) -> Result<(), EngineError> {
        let mut last: Option<Ticket> = None;
        for some in records.chunks(RECORDS_AT_ONCE) {
            let _room = self.admit_clear().await?;
            last = Some(self.note_records(Records { layers: Vec::new(), volumes: some.to_vec() }));
        }
        match last {
            Some(ticket) => self.make_durable(ticket).await,
            None => Ok(()),
        }
    }
}
