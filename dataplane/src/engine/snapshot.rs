//! Snapshots: one freezes a volume's head and puts an empty one on top, so nothing is copied.
//!
//! ```text
//! hold changes back -> those under way end -> switch all heads, one record unit -> let go -> flush -> answer
//! ```
//!
//! Several drives do this together: each waits for the others before it holds, and before it switches.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    catalogue::{VolumeKind, VolumeRecord},
    chain::Chain,
    drive::{Drive, DriveShared},
    error::EngineError,
    format::EXTENT_BYTES,
    gathering::Seat,
    journal::{Records, Ticket},
    layer::Layer,
    part::Part,
    sync::lock,
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
        self.volume.name.uuid
    }

    /// Which part of the snapshot this is.
    pub fn part(&self) -> u8 {
        self.volume.name.index
    }

    /// How many parts the snapshot has; what the first part says counts.
    pub fn parts(&self) -> u8 {
        lock(&self.volume.record).parts()
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
    /// snapshot, answered in the same order. Durable when it answers, with every write that was answered before.
    pub async fn create_snapshots<P: Into<Part> + Copy>(
        &self,
        wanted: &[(Volume, P)],
    ) -> Result<Vec<Snapshot>, EngineError> {
        let wanted: Vec<_> = wanted.iter().map(|(volume, part)| (volume.clone(), (*part).into())).collect();
        self.while_space_comes_back(async || self.take_snapshots(&wanted, Seat::alone()).await).await
    }

    /// The same at one instant with other drives, of which each has a seat. `Abandoned` if one of them could not;
    /// after any other failure the others may have theirs.
    pub async fn create_snapshots_together(
        &self,
        wanted: &[(Volume, Part)],
        seat: Seat,
    ) -> Result<Vec<Snapshot>, EngineError> {
        // Found out before anything is held. Who finds too little space later gives up.
        self.while_space_comes_back(async || self.shared.check_room_for_heads(wanted)).await?;
        self.take_snapshots(wanted, seat).await
    }

    async fn take_snapshots(
        &self,
        wanted: &[(Volume, Part)],
        mut seat: Seat,
    ) -> Result<Vec<Snapshot>, EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let _turn = drive.structure.take().await;
        // Held in one order, always (E3).
        let mut held: Vec<_> = wanted.iter().enumerate().collect();
        held.sort_by_key(|(_, (volume, _))| volume.volume.name);
        let sources: Vec<_> = held.iter().map(|(_, (volume, _))| volume.volume.clone()).collect();
        check_group(&sources)?;
        let parts: Vec<Part> = held.iter().map(|(_, (_, part))| *part).collect();
        drive.check_unused(&parts.iter().map(|part| part.name()).collect::<Vec<_>>())?;
        let made = drive
            .at_one_instant(&sources, &mut seat, |shown, records| {
                let mut made = Vec::new();
                for ((&part, source), shown) in parts.iter().zip(&sources).zip(shown) {
                    made.push(drive.view(part, VolumeKind::Snapshot, source, shown.release(), records));
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
        let snapshots =
            volumes.values().filter(|volume| volume.kind == VolumeKind::Snapshot && volume.is_known());
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
        part: impl Into<Part>,
        writable: bool,
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<Volume, EngineError> {
        let part = part.into();
        if writable {
            let source = self.handle(snapshot.volume.clone());
            return self.clone_volume(&source, part, size_bytes, reserved_bytes).await;
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
        drive.check_unused(&[part.name()])?;
        let (volume, ticket) = {
            let mut records = Records::default();
            let shown = source.chain().release();
            let volume = drive.view(part, VolumeKind::ReadOnly, source, shown, &mut records);
            (volume, drive.note_records(records))
        };
        drive.make_durable(ticket).await?;
        Ok(self.handle(volume))
    }
}

/// Whether layers can be put on top of it.
pub(super) fn check_source(source: &VolumeShared) -> Result<(), EngineError> {
    source.check_here()?;
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
    if volumes.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err(EngineError::Invalid("a volume is named twice".into()));
    }
    if volumes.iter().any(|volume| volume.kind != VolumeKind::Writable) {
        return Err(EngineError::Invalid("a read-only volume needs no snapshot".into()));
    }
    volumes.iter().try_for_each(|volume| check_source(volume))
}

impl DriveShared {
    /// Freezes what volumes hold at one instant (E3), which all who have a seat share. `make` gets the frozen chain of
    /// each and adds the records that stand on them; it runs at that instant. Durable when it answers, with every write
    /// that was answered before.
    pub(super) async fn at_one_instant<T>(
        &self,
        volumes: &[Arc<VolumeShared>],
        seat: &mut Seat,
        make: impl Fn(&[Chain], &mut Records) -> T,
    ) -> Result<T, EngineError> {
        let _room = self.admit_clear().await?;
        self.back_new_heads(volumes).await?;
        seat.meet().await?;
        for volume in volumes {
            let held = volume.chain().hold();
            volume.set_chain(held);
        }
        self.grace.period().await;
        let made = match seat.meet().await {
            Ok(()) => self.switch_when_backed(volumes, &make).await,
            Err(error) => Err(error),
        };
        if made.is_err() {
            volumes.iter().for_each(|volume| volume.set_chain(volume.chain().release()));
        }
        let (made, ticket) = made?;
        self.make_durable(ticket).await?;
        Ok(made)
    }

    /// Sees that what the volumes' new heads will be promised exists underneath.
    async fn back_new_heads(&self, volumes: &[Arc<VolumeShared>]) -> Result<(), EngineError> {
        self.back_more(self.cost_of_new_heads(volumes)).await
    }

    /// Extents.
    fn cost_of_new_heads(&self, volumes: &[Arc<VolumeShared>]) -> u64 {
        let heads: Vec<_> = volumes.iter().map(|volume| volume.head()).collect();
        self.ledger.cost_of_new_heads(heads.iter().map(|head| &head.account))
    }

    /// Whether new heads can be promised what the old ones are.
    fn check_room_for_heads(&self, wanted: &[(Volume, Part)]) -> Result<(), EngineError> {
        let volumes: Vec<_> = wanted.iter().map(|(volume, _)| volume.volume.clone()).collect();
        let needed_bytes = self.cost_of_new_heads(&volumes) * EXTENT_BYTES;
        let available_bytes = self.ledger.unreserved_bytes();
        if needed_bytes > available_bytes {
            return Err(EngineError::NoFreeSpace { needed_bytes, available_bytes });
        }
        Ok(())
    }

    /// Writes may have used more of the reserve before they were held back than was allocated underneath.
    async fn switch_when_backed<T>(
        &self,
        volumes: &[Arc<VolumeShared>],
        make: impl Fn(&[Chain], &mut Records) -> T,
    ) -> Result<(T, Ticket), EngineError> {
        loop {
            if let Some(switched) = self.switch(volumes, &make)? {
                return Ok(switched);
            }
            self.back_new_heads(volumes).await?;
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
        part: Part,
        kind: VolumeKind,
        source: &VolumeShared,
        shown: Chain,
        records: &mut Records,
    ) -> Arc<VolumeShared> {
        let head = shown.head().id;
        let record = VolumeRecord::new(part, kind, head, source.size_bytes(), source.block_bytes);
        let volume = Arc::new(VolumeShared::new(record, kind, shown));
        lock(&self.volumes).insert(volume.name, volume.clone());
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
