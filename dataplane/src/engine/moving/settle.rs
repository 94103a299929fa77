//! What a crash in the middle of a move left: decided by what the drive says that the copy comes from. Presumed
//! abandoned: a copy counts only where its source says that the volume moved to that very drive.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use crate::engine::{
    catalogue::Standing,
    drive::{Drive, DriveShared},
    error::EngineError,
    part::Name,
    sync::lock,
    volume::VolumeShared,
};

/// A copy that waits for its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    pub volume: Uuid,
    /// The drive that holds the copy.
    pub drive: Uuid,
    /// The drive that knows whether it counts.
    pub source: Uuid,
}

/// Ends the moves between drives, of which none is in use yet or all are long settled. Durable when it answers. The
/// answer is what stays closed, since its source is not among them.
///
/// # Errors
/// A drive takes no changes. What counts is served all the same.
pub async fn settle_moves(drives: &[Drive]) -> Result<Vec<Undecided>, EngineError> {
    let by_uuid: BTreeMap<Uuid, &DriveShared> =
        drives.iter().map(|drive| (drive.uuid(), &*drive.shared)).collect();
    let mut undecided = Vec::new();
    let mut outcome = Ok(());
    for drive in by_uuid.values() {
        let (mut counts, mut counts_not) = (Vec::new(), Vec::new());
        for (copy, source) in drive.prepared() {
            match by_uuid.get(&source) {
                Some(source) if source.says_moved(copy.name, drive.uuid) => counts.push(copy),
                Some(_) => counts_not.push(copy),
                None => undecided.push(Undecided { volume: copy.name.uuid, drive: drive.uuid, source }),
            }
        }
        drive.adopt(&counts);
        outcome = outcome.and(drive.make_recorded(&counts).await);
        outcome = outcome.and(drive.drop_copies(&counts_not).await);
    }
    outcome?;
    for drive in by_uuid.values() {
        // Who went to a drive that is here was adopted there, now or before.
        let arrived: Vec<Name> = {
            let moved = lock(&drive.moved);
            let arrived = moved.iter().filter(|(_, record)| by_uuid.contains_key(&record.peer()));
            arrived.map(|(name, _)| *name).collect()
        };
        drive.forget_moved(&arrived).await?;
    }
    Ok(undecided)
}

impl DriveShared {
    /// Copies that nobody decided on, and the drive that each comes from.
    fn prepared(&self) -> Vec<(Arc<VolumeShared>, Uuid)> {
        let volumes = lock(&self.volumes);
        let prepared = volumes.values().filter(|volume| volume.standing() == Standing::Prepared);
        prepared.map(|volume| (volume.clone(), lock(&volume.record).peer())).collect()
    }

    fn says_moved(&self, volume: Name, to: Uuid) -> bool {
        lock(&self.moved).get(&volume).is_some_and(|record| record.peer() == to)
    }
}
