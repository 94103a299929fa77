//! One move: a tree of layers from one drive to another.

use std::sync::Arc;

use crate::{
    engine::{
        catalogue::{Standing, VolumeKind, VolumeRecord},
        drive::{Drive, DriveShared},
        error::EngineError,
        format::{EXTENT_BYTES, LayerId},
        journal::Records,
        layer::Layer,
        part::Name,
        sync::lock,
        volume::{Volume, VolumeShared},
    },
    limits,
};

use super::{
    copy::{LayerCopy, Meter, Pace},
    tree::Tree,
};

/// So little is copied while writes are held back, if hosts let it become so little.
const REST_BYTES: u64 = 4 << 20;
/// Times that the copy follows what hosts wrote. From half of them on it does not let them go first.
const ROUNDS: u32 = 16;

/// Carries a move over that is decided; nothing in it waits.
pub type Switch<'a> = &'a dyn Fn() -> Vec<Volume>;

struct Mover<'a> {
    from: &'a Drive,
    to: &'a Drive,
    root: LayerId,
    /// Those below first.
    copies: Vec<LayerCopy>,
    prepared: Vec<Arc<VolumeShared>>,
    /// The record that decides may be on the drive.
    may_be_decided: bool,
    meter: &'a Meter,
}

impl Drive {
    /// Moves a tree to another drive, with all that joined it since it was looked for, while hosts use it. Durable when
    /// it answers. `around` gets the switch itself and must carry it out: it makes the volumes be over there and no
    /// longer here, and answers their new handles. Operations of hosts end with `Moved` from then on. Called on this
    /// drive's home core, for one tree at a time.
    ///
    /// # Errors
    /// Nothing has moved, and what was copied is given up. If this drive failed at the very decision, the next start
    /// finds out which of two equal copies counts; until then this one can be read.
    pub async fn move_tree(
        &self,
        tree: &Tree,
        to: &Self,
        meter: &Meter,
        around: impl FnOnce(Switch<'_>),
    ) -> Result<(), EngineError> {
        self.shared.check_writable()?;
        let mut mover = Mover {
            from: self,
            to,
            root: tree.root,
            copies: Vec::new(),
            prepared: Vec::new(),
            may_be_decided: false,
            meter,
        };
        let outcome = mover.run(around).await;
        if outcome.is_err() {
            mover.give_up().await;
        }
        outcome
    }
}

impl Mover<'_> {
    async fn run(&mut self, around: impl FnOnce(Switch<'_>)) -> Result<(), EngineError> {
        for round in 0..ROUNDS {
            let pace = if round < ROUNDS / 2 { Pace::Yielding } else { Pace::Swift };
            self.take_stock().await?;
            self.copy(pace).await?;
            if self.left_bytes() <= REST_BYTES {
                break;
            }
        }
        let mut around = Some(around);
        while !self.finish(&mut around).await? {
            // A snapshot or clone was made in between.
            self.take_stock().await?;
            self.copy(Pace::Swift).await?;
        }
        Ok(())
    }

    /// Makes a layer over there for each that has none.
    async fn take_stock(&mut self) -> Result<(), EngineError> {
        let from = &*self.from.shared;
        let new: Vec<_> = {
            let _turn = from.structure.take().await;
            let new = self.layers_without_copy();
            for layer in &new {
                layer.set_moving(true);
                layer.note_from_now_on();
            }
            new
        };
        if new.is_empty() {
            return Ok(());
        }
        for layer in new {
            let below = layer.parent().map(|parent| {
                let below = self.copies.iter().find(|copy| copy.layer.id == parent);
                below.expect("those below come first").copy.volume.head().id
            });
            let copy = self.to.begin_copy(&layer, below, from.uuid).await?;
            self.copies.push(LayerCopy { layer, copy, is_whole: false });
        }
        // Writes that began before may not be noted.
        from.grace.period().await;
        Ok(())
    }

    /// Only within a turn.
    fn layers_without_copy(&self) -> Vec<Arc<Layer>> {
        let mut layers = self.from.shared.structure().tree(self.root);
        layers.retain(|layer| self.copies.iter().all(|copy| copy.layer.id != layer.id));
        layers
    }

    async fn copy(&mut self, pace: Pace) -> Result<(), EngineError> {
        let from = &*self.from.shared;
        for copy in &mut self.copies {
            match copy.advance(from, pace, self.meter).await {
                Ok(()) => {}
                // It was deleted meanwhile, and is being given back.
                Err(_) if !from.structure().shows(&copy.layer) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn left_bytes(&self) -> u64 {
        let written = self.copies.iter().filter_map(|copy| copy.layer.written());
        written.map(|written| written.count() * EXTENT_BYTES).sum()
    }

    /// Holds writes back, copies the rest and lets go over there. False: there is a layer that has no copy.
    async fn finish<A: FnOnce(Switch<'_>)>(&mut self, around: &mut Option<A>) -> Result<bool, EngineError> {
        let from = &*self.from.shared;
        let _turn = from.structure.take().await;
        if !self.layers_without_copy().is_empty() {
            return Ok(false);
        }
        let volumes = from.volumes_of(&from.structure().tree(self.root));
        if volumes.is_empty() {
            // All were deleted meanwhile.
            self.give_up().await;
            return Ok(true);
        }
        if volumes.len() > limits::MOVED_TOGETHER {
            return Err(EngineError::Invalid("too many volumes share data to move together".into()));
        }
        if volumes.len() > limits::SNAPSHOT_GROUP {
            // Their records are long: none must find the journal full.
            from.checkpoints.run().await;
        }
        from.hold(&volumes).await;
        let decided = self.decide(&volumes).await;
        if decided.is_ok() {
            around.take().expect("a move is decided once")(&|| self.switch(&volumes));
        }
        volumes.iter().for_each(|volume| volume.set_chain(volume.chain().release()));
        decided?;
        self.let_go(&volumes).await;
        Ok(true)
    }

    /// In this order, so that no read here begins after a write over there.
    fn switch(&self, volumes: &[Arc<VolumeShared>]) -> Vec<Volume> {
        for volume in volumes {
            volume.set_standing(Standing::Moved);
            lock(&self.from.shared.volumes).remove(&volume.name);
        }
        self.to.shared.adopt(&self.prepared);
        let moved = self.prepared.iter().filter(|volume| volume.kind != VolumeKind::Snapshot);
        moved.map(|volume| self.to.handle(volume.clone())).collect()
    }

    /// Up to the record that counts. Writes are held back.
    async fn decide(&mut self, volumes: &[Arc<VolumeShared>]) -> Result<(), EngineError> {
        let (from, to) = (&*self.from.shared, &*self.to.shared);
        self.copy(Pace::Swift).await?;
        let records: Vec<_> = volumes.iter().map(|volume| (self.record_there(volume), volume.kind)).collect();
        let copies: Vec<_> = self.copies.iter().map(|copy| copy.copy.clone()).collect();
        self.prepared = self.to.prepare(&records, &copies).await?;
        to.copy_attachments(volumes, &self.prepared).await?;
        let _room = from.admit_clear().await?;
        let tombstones = volumes.iter().map(|volume| lock(&volume.record).moving(Standing::Moved, to.uuid));
        let tombstones: Vec<_> = tombstones.collect();
        // A checkpoint after the record must not forget it.
        lock(&from.moved).extend(tombstones.iter().map(|record| (record.name(), *record)));
        self.may_be_decided = true;
        let ticket = from.note_records(Records { layers: Vec::new(), volumes: tombstones });
        let outcome = from.make_durable(ticket).await;
        if outcome.is_err() {
            let mut moved = lock(&from.moved);
            moved.retain(|name, _| volumes.iter().all(|volume| volume.name != *name));
        }
        outcome
    }

    /// A volume's record as the other drive will have it.
    fn record_there(&self, volume: &VolumeShared) -> VolumeRecord {
        let head = volume.head();
        let copy = self.copies.iter().find(|copy| copy.layer.id == head.id).expect("all layers have copies");
        let mut record = lock(&volume.record).moving(Standing::Prepared, self.from.shared.uuid);
        record.head.set(copy.copy.volume.head().id.0);
        if volume.kind == VolumeKind::Writable {
            record.reserved_extents.set(head.account.reserved());
        }
        record
    }

    /// After the decision. What fails here the next start makes good.
    async fn let_go(&self, volumes: &[Arc<VolumeShared>]) {
        let from = &*self.from.shared;
        for volume in volumes {
            if volume.kind == VolumeKind::Writable {
                from.ledger.reserve(&volume.head().account, 0).expect("less is always possible");
            }
        }
        from.reclaims.ask();
        let names: Vec<_> = volumes.iter().map(|volume| volume.name).collect();
        let confirmed = match self.to.shared.make_recorded(&self.prepared).await {
            Ok(()) => from.forget_moved(&names).await,
            Err(error) => Err(error),
        };
        if let Err(error) = confirmed {
            tracing::warn!(from = %from.uuid, to = %self.to.uuid(), %error, "a move was made and not confirmed");
        }
    }

    async fn give_up(&self) {
        let (from, to) = (&*self.from.shared, &*self.to.shared);
        lock(&from.layers).values().for_each(|layer| layer.set_moving(false));
        from.reclaims.ask();
        if self.may_be_decided {
            tracing::error!(from = %from.uuid, to = %to.uuid, "whether a move was made is found out at the next start");
            return;
        }
        let unfinished = self.copies.iter().map(|copy| &copy.copy.volume).filter(|copy| !copy.is_gone());
        if let Err(error) = to.drop_copies(unfinished.chain(&self.prepared)).await {
            tracing::warn!(drive = %to.uuid, %error, "what was copied is given up at the next start");
        }
    }
}

impl DriveShared {
    /// Holds changes of volumes back; those under way have ended when it answers (E3).
    async fn hold(&self, volumes: &[Arc<VolumeShared>]) {
        for volume in volumes.iter().filter(|volume| volume.kind == VolumeKind::Writable) {
            let held = volume.chain().hold();
            volume.set_chain(held);
        }
        self.grace.period().await;
    }

    /// Takes tombstones away: the copies say themselves that they count. Durable when it answers.
    pub(super) async fn forget_moved(&self, names: &[Name]) -> Result<(), EngineError> {
        let mut records = Vec::new();
        {
            let mut moved = lock(&self.moved);
            for record in names.iter().filter_map(|name| moved.remove(name)) {
                records.push(record.moving(Standing::Gone, record.peer()));
            }
        }
        self.make_records_durable(&records).await
    }
}
