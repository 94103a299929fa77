//! Emptying a drive that is to be removed: its volumes and snapshots move to the others while hosts use them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

use super::{DriveState, Evacuation, Node, NodeError, NodeObject, open_drive::OpenDrive};
use crate::{
    engine::{self, Meter, Switch, Tree, Volume},
    rt::CoreId,
};

/// Of one drive, from the first tree to the last.
#[derive(Debug)]
pub(super) struct Emptying {
    meter: Meter,
    total_bytes: u64,
    /// Why it ended with volumes left.
    failure: Mutex<Option<String>>,
}

impl Emptying {
    fn new(total_bytes: u64) -> Self {
        Self { meter: Meter::default(), total_bytes, failure: Mutex::default() }
    }

    pub(super) fn info(&self) -> Evacuation {
        let moved_bytes = self.meter.copied_bytes();
        Evacuation {
            moved_bytes,
            // Hosts write meanwhile.
            total_bytes: self.total_bytes.max(moved_bytes),
            failure: self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn fail(&self, error: &NodeError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }
}

impl Node {
    /// Finds out whether all that is on a drive can move to others, and keeps new volumes away from it. Nothing has
    /// moved when it answers: [`evacuate_drive`](Self::evacuate_drive) does that.
    ///
    /// # Errors
    /// `NoFreeSpace` if no other drive has room for what must stay together; `InUse` if it is being emptied already.
    pub async fn prepare_evacuation(&self, uuid: Uuid) -> Result<(), NodeError> {
        let drive = self.inner.drives.get(uuid)?;
        if drive.emptying().is_some_and(|emptying| emptying.is_under_way()) {
            return Err(NodeError::InUse(NodeObject::Drive));
        }
        if let DriveState::ReadOnly(reason) | DriveState::Failed(reason) = drive.drive.state() {
            let problem = format!("volumes leave a drive only while it takes writes: {reason}");
            return Err(NodeError::Invalid(problem));
        }
        drive.drive.set_closed_to_new(true);
        match self.assign(&drive).await {
            Ok(assigned) => {
                let total = assigned.iter().map(|(tree, _)| tree.owned_bytes()).sum();
                drive.set_emptying(Arc::new(Emptying::new(total)));
                Ok(())
            }
            Err(error) => {
                drive.drive.set_closed_to_new(false);
                Err(error)
            }
        }
    }

    /// Moves everything away from a drive, which can be [removed](Self::remove_drive) then. After an error what has
    /// moved stays where it is, and the drive serves on with the rest;
    /// [`DriveInfo::evacuation`](super::DriveInfo::evacuation) says why.
    pub async fn evacuate_drive(&self, uuid: Uuid) -> Result<(), NodeError> {
        let drive = self.inner.drives.get(uuid)?;
        let emptying = drive.emptying().ok_or(NodeError::NotFound(NodeObject::Evacuation))?;
        let outcome = self.empty(&drive, &emptying).await;
        if let Err(error) = &outcome {
            emptying.fail(error);
            drive.drive.set_closed_to_new(false);
            tracing::error!(drive = drive.name, %error, "the drive was not emptied");
        }
        outcome
    }

    /// Tree by tree, each time asking anew what there is: snapshots come and go meanwhile.
    async fn empty(&self, drive: &Arc<OpenDrive>, emptying: &Arc<Emptying>) -> Result<(), NodeError> {
        while let Some((tree, to)) = self.assign(drive).await?.into_iter().next() {
            tracing::info!(from = drive.name, to = to.name, volumes = ?tree.volumes().collect::<Vec<_>>(), "volumes move");
            let (node, from, emptying) = (self.clone(), drive.drive.clone(), emptying.clone());
            self.on_home(drive, move || async move {
                from.move_tree(&tree, &to.drive, &emptying.meter, |switch| node.switch_parts(switch)).await
            })
            .await?;
        }
        Ok(())
    }

    /// Ends what a crash left of moves between the drives that are here.
    pub(super) async fn settle_moves(&self) {
        let drives: Vec<_> = self.inner.drives.all().iter().map(|drive| drive.drive.clone()).collect();
        let settling = || async move { engine::settle_moves(&drives).await };
        match self.inner.handle.call_on(CoreId(0), settling).await {
            Some(Ok(undecided)) => {
                for engine::Undecided { volume, drive, source } in undecided {
                    tracing::error!(%volume, %drive, %source, "a copy stays closed: the drive it comes from is not here");
                }
            }
            Some(Err(error)) => tracing::error!(%error, "moves between drives were settled and not recorded"),
            None => {}
        }
    }

    /// Carries a decided move over, for all who use the volumes.
    fn switch_parts(&self, switch: Switch<'_>) {
        let handles = self.handles();
        let moved = {
            let _alone = self.inner.moves.write().unwrap_or_else(PoisonError::into_inner);
            switch()
        };
        let uuids: BTreeSet<Uuid> = moved.iter().map(Volume::uuid).collect();
        uuids.into_iter().for_each(|uuid| self.refresh(&handles, uuid));
    }

    /// A drive with room for each tree.
    async fn assign(&self, drive: &Arc<OpenDrive>) -> Result<Vec<(Tree, Arc<OpenDrive>)>, NodeError> {
        let engine = drive.drive.clone();
        let trees = self.on_home(drive, move || async move { engine.trees().await }).await?;
        let mut others = self.inner.drives.all();
        others.retain(|other| other.drive.uuid() != drive.drive.uuid());
        let mut room: Vec<u64> = others.iter().map(|other| other.drive.unreserved_bytes()).collect();
        let takes = |tree: &Tree| others.iter().map(|other| other.drive.takes(tree)).collect();
        let needs = trees.into_iter().map(|tree| (tree.needed_bytes(), takes(&tree), tree)).collect();
        let assigned = fit(needs, &mut room)?;
        Ok(assigned.into_iter().map(|(tree, place)| (tree, others[place].clone())).collect())
    }
}

/// Gives each tree a drive, the largest first, each to the roomiest that takes it. A tree comes with what it needs and
/// which drives take it.
fn fit<T>(mut needs: Vec<(u64, Vec<bool>, T)>, room_bytes: &mut [u64]) -> Result<Vec<(T, usize)>, NodeError> {
    needs.sort_by_key(|(needed_bytes, ..)| std::cmp::Reverse(*needed_bytes));
    let mut fitted = Vec::new();
    for (needed_bytes, takes, tree) in needs {
        let takers = (0..room_bytes.len()).filter(|&drive| takes[drive]);
        let roomiest = takers.max_by_key(|&drive| room_bytes[drive]);
        if roomiest.is_none() && !room_bytes.is_empty() {
            let problem = "no other drive that is online promises hosts as much as this one does: \
                           write-through, or whole 4 KiB blocks after a power cut";
            return Err(NodeError::Invalid(problem.to_owned()));
        }
        let available_bytes = roomiest.map_or(0, |drive| room_bytes[drive]);
        match roomiest {
            Some(drive) if available_bytes >= needed_bytes => {
                room_bytes[drive] -= needed_bytes;
                fitted.push((tree, drive));
            }
            _ => return Err(NodeError::NoFreeSpace { needed_bytes, available_bytes }),
        }
    }
    Ok(fitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tree_gets_a_drive_or_none_moves() {
        let all = || vec![true, true];
        let fitted = fit(vec![(3, all(), 'a'), (7, all(), 'b'), (5, all(), 'c')], &mut [8, 9]);
        assert_eq!(fitted.unwrap(), [('b', 1), ('c', 0), ('a', 0)]);
        let short = fit(vec![(5, all(), 'a'), (5, all(), 'b')], &mut [9, 4]);
        assert!(matches!(short, Err(NodeError::NoFreeSpace { needed_bytes: 5, available_bytes: 4 })));
        let alone = fit(vec![(5, vec![], 'a')], &mut []);
        assert!(matches!(alone, Err(NodeError::NoFreeSpace { needed_bytes: 5, available_bytes: 0 })));
        let picky = fit(vec![(1, vec![false, true], 'a')], &mut [9, 4]);
        assert_eq!(picky.unwrap(), [('a', 1)]);
        let nobody = fit(vec![(1, vec![false, false], 'a')], &mut [9, 4]);
        assert!(matches!(nobody, Err(NodeError::Invalid(_))));
        assert_eq!(fit::<char>(vec![], &mut []).unwrap(), []);
    }
}
