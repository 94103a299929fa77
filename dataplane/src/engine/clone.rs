//! Clones: a clone is a new head over what another volume, or a snapshot, holds. Nothing is copied, and afterwards
//! neither knows of the other.

use std::sync::Arc;

use super::{
    catalogue::{VolumeKind, VolumeRecord},
    chain::Chain,
    drive::{Drive, DriveShared},
    error::EngineError,
    format::LayerId,
    gathering::Seat,
    journal::Records,
    layer::Layer,
    manage::check_shape,
    part::Part,
    snapshot::check_source,
    sync::Turn,
    volume::{Volume, VolumeShared},
};

/// A volume to be made of what another, or a snapshot, holds.
#[derive(Debug, Clone)]
pub struct NewClone {
    pub source: Volume,
    pub part: Part,
    /// At least the source's.
    pub size_bytes: u64,
    pub reserved_bytes: u64,
}

impl Drive {
    /// Makes a volume of what `source` holds at this instant; independent from then on.
    pub async fn clone_volume(
        &self,
        source: &Volume,
        part: impl Into<Part>,
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<Volume, EngineError> {
        let clone = NewClone { source: source.clone(), part: part.into(), size_bytes, reserved_bytes };
        let mut made = self.clone_volumes_together(vec![clone], Seat::alone()).await?;
        Ok(made.remove(0))
    }

    /// Makes clones, all or none, at one instant with other drives, as
    /// [`create_snapshots_together`](Self::create_snapshots_together).
    pub async fn clone_volumes_together(
        &self,
        wanted: Vec<NewClone>,
        mut seat: Seat,
    ) -> Result<Vec<Volume>, EngineError> {
        let drive = &self.shared;
        let begin = async || self.new_branches(&wanted).await;
        let (_turn, heads) = self.while_space_comes_back(begin).await?;
        let sources: Vec<_> = wanted.iter().map(|clone| clone.source.volume.clone()).collect();
        let made = if sources.iter().all(|source| source.kind == VolumeKind::Writable) {
            let put = |shown: &[Chain], records: &mut Records| {
                let below = shown.iter().map(|chain| chain.head().id);
                drive.put_branches(&wanted, &heads, below, records)
            };
            drive.at_one_instant(&sources, &mut seat, put).await
        } else {
            // What they show never changes: there is no instant to agree on.
            drive.branch(&wanted, &heads).await
        };
        if made.is_err() {
            drive.give_up_heads(&heads)?;
        }
        Ok(made?.into_iter().map(|made| self.handle(made)).collect())
    }

    /// What comes before new heads can stand on their sources: checks, and their reserves.
    async fn new_branches(&self, wanted: &[NewClone]) -> Result<(Turn<'_>, Vec<Arc<Layer>>), EngineError> {
        let drive = &self.shared;
        drive.check_writable()?;
        let turn = drive.structure.take().await;
        for clone in wanted {
            let source = &clone.source.volume;
            check_shape(clone.size_bytes, source.block_bytes, clone.reserved_bytes)?;
            check_source(source)?;
            if clone.size_bytes < source.size_bytes() {
                return Err(EngineError::Invalid("a clone is at least as large as its source".into()));
            }
        }
        let names: Vec<_> = wanted.iter().map(|clone| clone.part.name()).collect();
        drive.check_unused(&names)?;
        let mut heads = Vec::new();
        for clone in wanted {
            let head = drive.new_layer(None);
            if let Err(error) = self.reserve(&head.account, clone.reserved_bytes).await {
                drive.give_up_heads(&heads)?;
                return Err(error);
            }
            heads.push(head);
        }
        Ok((turn, heads))
    }
}

impl DriveShared {
    /// Puts new heads over frozen chains.
    async fn branch(
        &self,
        wanted: &[NewClone],
        heads: &[Arc<Layer>],
    ) -> Result<Vec<Arc<VolumeShared>>, EngineError> {
        let _room = self.admit_clear().await?;
        let (made, ticket) = {
            let mut records = Records::default();
            let below = wanted.iter().map(|clone| clone.source.volume.head().id);
            let made = self.put_branches(wanted, heads, below, &mut records);
            (made, self.note_records(records))
        };
        self.make_durable(ticket).await?;
        Ok(made)
    }

    /// Makes clones known, each with its head over the layer of `below`.
    fn put_branches(
        &self,
        wanted: &[NewClone],
        heads: &[Arc<Layer>],
        below: impl Iterator<Item = LayerId>,
        records: &mut Records,
    ) -> Vec<Arc<VolumeShared>> {
        let mut made = Vec::new();
        for ((clone, head), below) in wanted.iter().zip(heads).zip(below) {
            head.set_parent(Some(below));
            let block_bytes = clone.source.block_bytes();
            let record =
                VolumeRecord::new(clone.part, VolumeKind::Writable, head.id, clone.size_bytes, block_bytes);
            made.push(self.put_head(record, head, records));
        }
        made
    }

    /// Takes the reserves of heads back that nobody will use.
    fn give_up_heads(&self, heads: &[Arc<Layer>]) -> Result<(), EngineError> {
        heads.iter().try_for_each(|head| self.ledger.reserve(&head.account, 0))
    }
}
