//! Snapshots and clones. A snapshot freezes a volume's head and puts an empty one on top: nothing is copied. A clone
//! is a new head over a frozen layer.
//!
//! ```text
//! hold changes back -> those under way end -> switch all heads, one record unit -> let go -> flush -> answer
//! ```

use std::sync::Arc;

use uuid::Uuid;

use super::{
    catalogue::{VolumeKind, VolumeRecord},
    chain::Chain,
    drive::{Drive, DriveShared},
    error::EngineError,
    format::EXTENT_BYTES,
    journal::{Records, Ticket},
    layer::Layer,
    manage::check_shape,
    sync::{Turn, lock},
    volume::{Volume, VolumeShared},
};
use crate::{limits, node::VolumeState};

/// A volume's content at one instant. Cheap to clone. To read it, make a snapshot volume.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) drive: Arc<DriveShared>,
    pub(super) volume: Arc<VolumeShared>,
}

impl Snapshot {
    pub fn uuid(&self) -> Uuid {
        self.volume.uuid
    }

    /// Of the volume when it was taken.
    pub fn size_bytes(&self) -> u64 {
        self.volume.size_bytes()
    }

    pub fn block_bytes(&self) -> u32 {
        self.volume.block_bytes
    }

    /// Extents of its own layer, in bytes.
    pub fn owned_bytes(&self) -> u64 {
        self.volume.head().account.owned() * EXTENT_BYTES
    }

    pub fn state(&self) -> VolumeState {
        self.volume.state(&self.drive)
    }
}

impl Drive {
    /// Takes snapshots of volumes of this drive at one instant, all or none; each pair is a volume and the new
    /// snapshot's UUID, answered in the same order. Durable when it answers, with every write that was answered
    /// before.
    pub async fn create_snapshots(&self, wanted: &[(Volume, Uuid)]) -> Result<Vec<Snapshot>, EngineError> {
        self.while_space_comes_back(async || self.try_create_snapshots(wanted).await).await
    }

    async fn try_create_snapshots(&self, wanted: &[(Volume, Uuid)]) -> Result<Vec<Snapshot>, EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let _turn = drive.structure.take().await;
        // Held in one order, always (E3).
        let mut held: Vec<_> = wanted.iter().enumerate().collect();
        held.sort_by_key(|(_, (volume, _))| volume.uuid());
        let sources: Vec<_> = held.iter().map(|(_, (volume, _))| volume.volume.clone()).collect();
        check_group(&sources)?;
        let names: Vec<Uuid> = held.iter().map(|(_, (_, name))| *name).collect();
        drive.check_unused(&names)?;
        let made = drive
            .at_one_instant(&sources, |shown, records| {
                let mut made = Vec::new();
                for ((&name, source), shown) in names.iter().zip(&sources).zip(shown) {
                    made.push(drive.view(name, VolumeKind::Snapshot, source, shown.release(), records));
                }
                made
            })
            .await?;
        let mut made: Vec<_> = held.iter().map(|(asked, _)| asked).zip(made).collect();
        made.sort_by_key(|(asked, _)| **asked);
        let handle = |volume| Snapshot { drive: drive.clone(), volume };
        Ok(made.into_iter().map(|(_, volume)| handle(volume)).collect())
    }

    pub fn snapshots(&self) -> Vec<Snapshot> {
        let volumes = lock(&self.shared.volumes);
        let snapshots = volumes.values().filter(|volume| volume.kind == VolumeKind::Snapshot);
        snapshots.map(|volume| Snapshot { drive: self.shared.clone(), volume: volume.clone() }).collect()
    }

    /// Deletes a snapshot, whatever depends on it. Durable when it answers; its space comes back in the background.
    pub async fn delete_snapshot(&self, snapshot: &Snapshot) -> Result<(), EngineError> {
        self.shared.remove(&snapshot.volume).await
    }

    /// Makes a volume that shows a snapshot. A read-only one has the snapshot's size and no reserve.
    pub async fn create_snapshot_volume(
        &self,
        snapshot: &Snapshot,
        uuid: Uuid,
        writable: bool,
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<Volume, EngineError> {
        if writable {
            return self.branch(&snapshot.volume, uuid, size_bytes, reserved_bytes).await;
        }
        if size_bytes != snapshot.size_bytes() || reserved_bytes > 0 {
            let problem = "a read-only volume has its snapshot's size and no reserve";
            return Err(EngineError::Invalid(problem.into()));
        }
        let drive = &self.shared;
        drive.check_writable()?;
        let _turn = drive.structure.take().await;
        let _room = drive.admit_clear().await?;
        let source = &snapshot.volume;
        check_source(source)?;
        drive.check_unused(&[uuid])?;
        let (volume, ticket) = {
            let mut records = Records::default();
            let shown = source.chain().release();
            let volume = drive.view(uuid, VolumeKind::ReadOnly, source, shown, &mut records);
            (volume, drive.note_records(records))
        };
        drive.make_durable(ticket).await?;
        Ok(self.handle(volume))
    }

    /// Makes a volume of what `source` holds at this instant; independent from then on.
    pub async fn clone_volume(
        &self,
        source: &Volume,
        uuid: Uuid,
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<Volume, EngineError> {
        if !source.is_writable() {
            return self.branch(&source.volume, uuid, size_bytes, reserved_bytes).await;
        }
        let drive = &self.shared;
        let begin = async || self.new_branch(&source.volume, uuid, size_bytes, reserved_bytes).await;
        let (_turn, head) = self.while_space_comes_back(begin).await?;
        let record = VolumeRecord::new(uuid, VolumeKind::Writable, head.id, size_bytes, source.block_bytes());
        let made = drive
            .at_one_instant(std::slice::from_ref(&source.volume), |shown, records| {
                head.set_parent(Some(shown[0].head().id));
                drive.put_head(record, &head, records)
            })
            .await;
        if made.is_err() {
            drive.ledger.reserve(&head.account, 0)?;
        }
        made.map(|made| self.handle(made))
    }

    /// A new head over a frozen chain.
    async fn branch(
        &self,
        source: &Arc<VolumeShared>,
        uuid: Uuid,
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<Volume, EngineError> {
        let drive = &self.shared;
        let begin = async || self.new_branch(source, uuid, size_bytes, reserved_bytes).await;
        let (_turn, head) = self.while_space_comes_back(begin).await?;
        let _room = drive.admit_clear().await?;
        let record = VolumeRecord::new(uuid, VolumeKind::Writable, head.id, size_bytes, source.block_bytes);
        let (made, ticket) = {
            let mut records = Records::default();
            head.set_parent(Some(source.head().id));
            (drive.put_head(record, &head, &mut records), drive.note_records(records))
        };
        drive.make_durable(ticket).await?;
        Ok(self.handle(made))
    }

    /// What comes before a new head can stand on `source`: checks, and its reserve.
    async fn new_branch(
        &self,
        source: &VolumeShared,
        uuid: Uuid,
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<(Turn<'_>, Arc<Layer>), EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        check_shape(size_bytes, source.block_bytes, reserved_bytes)?;
        let turn = drive.structure.take().await;
        check_source(source)?;
        if size_bytes < source.size_bytes() {
            return Err(EngineError::Invalid("a clone is at least as large as its source".into()));
        }
        drive.check_unused(&[uuid])?;
        let head = drive.new_layer(None);
        self.reserve(&head.account, reserved_bytes).await?;
        Ok((turn, head))
    }
}

/// Whether layers can be put on top of it.
fn check_source(source: &VolumeShared) -> Result<(), EngineError> {
    if source.is_gone() {
        return Err(EngineError::Offline);
    }
    if source.chain().layers().len() >= limits::CHAIN_LAYERS {
        let most = limits::CHAIN_LAYERS;
        return Err(EngineError::Invalid(format!(
            "at most {most} snapshots and clones stand on one another"
        )));
    }
    Ok(())
}

fn check_group(volumes: &[Arc<VolumeShared>]) -> Result<(), EngineError> {
    if volumes.len() > limits::SNAPSHOT_GROUP {
        let most = limits::SNAPSHOT_GROUP;
        return Err(EngineError::Invalid(format!("at most {most} volumes can be held at one instant")));
    }
    if volumes.windows(2).any(|pair| pair[0].uuid == pair[1].uuid) {
        return Err(EngineError::Invalid("a volume is named twice".into()));
    }
    if volumes.iter().any(|volume| volume.kind != VolumeKind::Writable) {
        return Err(EngineError::Invalid("a read-only volume needs no snapshot".into()));
    }
    volumes.iter().try_for_each(|volume| check_source(volume))
}

impl DriveShared {
    /// Freezes what volumes hold at one instant (E3). `make` gets the frozen chain of each and adds the records that
    /// stand on them; it runs at that instant. Durable when it answers, with every write that was answered before.
    async fn at_one_instant<T>(
        &self,
        volumes: &[Arc<VolumeShared>],
        make: impl Fn(&[Chain], &mut Records) -> T,
    ) -> Result<T, EngineError> {
        let _room = self.admit_clear().await?;
        loop {
            let heads: Vec<_> = volumes.iter().map(|volume| volume.head()).collect();
            let more = self.ledger.cost_of_new_heads(heads.iter().map(|head| &head.account));
            self.back_more(more).await?;
            for volume in volumes {
                let held = volume.chain().hold();
                volume.set_chain(held);
            }
            self.grace.period().await;
            match self.switch(volumes, &make) {
                Ok(Some((made, ticket))) => {
                    self.make_durable(ticket).await?;
                    return Ok(made);
                }
                other => {
                    volumes.iter().for_each(|volume| volume.set_chain(volume.chain().release()));
                    // Else writes used more of the reserve meanwhile than was allocated underneath: once more.
                    other?;
                }
            }
        }
    }

    /// The instant itself: no change is under way, and nothing else of the home core runs. `None`: more of the file
    /// underneath must be allocated first.
    fn switch<T>(
        &self,
        volumes: &[Arc<VolumeShared>],
        make: impl Fn(&[Chain], &mut Records) -> T,
    ) -> Result<Option<(T, Ticket)>, EngineError> {
        let bases: Vec<Base> = volumes.iter().map(|volume| self.base_of(volume)).collect();
        let heads: Vec<_> = bases.iter().filter_map(|base| base.new_head.as_ref()).collect();
        let accounts: Vec<_> = heads.iter().map(|(old, new)| (&old.account, &new.account)).collect();
        if !self.ledger.take_over(&accounts, self.backed_extents())? {
            return Ok(None);
        }
        let mut records = Records::default();
        let mut shown = Vec::new();
        for (volume, base) in volumes.iter().zip(bases) {
            let next = match base.new_head {
                Some((_, head)) => {
                    lock(&self.layers).insert(head.id, head.clone());
                    let mut record = lock(&volume.record);
                    record.head.set(head.id.0);
                    records.layers.push(head.record());
                    records.volumes.push(*record);
                    base.chain.push(head)
                }
                None => volume.chain().release(),
            };
            volume.set_chain(next);
            shown.push(base.chain);
        }
        let made = make(&shown, &mut records);
        Ok(Some((made, self.note_records(records))))
    }

    /// What to freeze of a volume. A head that nothing was written to stays the head, and a snapshot of it stands
    /// on the layer below: so a thousand clones of an idle volume are not a thousand layers deep. That layer is
    /// whole: nothing was merged from it into such a head, and such a head hid nothing of it.
    fn base_of(&self, volume: &VolumeShared) -> Base {
        let chain = volume.chain();
        let head = chain.head();
        match chain.under_head() {
            Some(frozen) if head.is_blank() && !frozen.head().is_merging() => {
                Base { chain: frozen, new_head: None }
            }
            _ => {
                let new = self.new_layer(Some(head.id));
                Base { chain: chain.release(), new_head: Some((head.clone(), new)) }
            }
        }
    }

    /// Makes a name for a frozen chain known.
    fn view(
        &self,
        uuid: Uuid,
        kind: VolumeKind,
        source: &VolumeShared,
        shown: Chain,
        records: &mut Records,
    ) -> Arc<VolumeShared> {
        let head = shown.head().id;
        let record = VolumeRecord::new(uuid, kind, head, source.size_bytes(), source.block_bytes);
        let volume = Arc::new(VolumeShared::new(record, kind, shown));
        lock(&self.volumes).insert(uuid, volume.clone());
        records.volumes.push(record);
        volume
    }

    /// Waits for records and makes them durable, with all that came before.
    pub(super) async fn make_durable(&self, ticket: Ticket) -> Result<(), EngineError> {
        self.journal.written(ticket).await?;
        self.flush().await
    }
}

/// What a volume shows at the instant of a snapshot, and its old and new head if it gets one.
struct Base {
    chain: Chain,
    new_head: Option<(Arc<Layer>, Arc<Layer>)>,
}
