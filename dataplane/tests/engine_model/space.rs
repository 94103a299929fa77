//! Space on a quiet drive: everything that is deleted comes back, and as much of it as was said before.

use dataplane::engine::Drive;
use uuid::Uuid;

use crate::{actor::Actor, model::lock, recovery};

/// Deletes snapshots and volumes in a random order. Nothing else uses the drive meanwhile.
pub(crate) async fn delete_everything(actor: &Actor) {
    let drive = lock(&actor.world).drive.clone().expect("the drive is open");
    loop {
        recovery::check(&drive).await;
        let (volume, snapshot, snapshot_first) = {
            let world = &mut *lock(&actor.world);
            (world.pick_volume(), world.pick_snapshot(), world.model.rng.below(3) > 0)
        };
        match (volume, snapshot) {
            (Some(volume), None) => actor.delete(volume).await,
            (Some(volume), Some(_)) if !snapshot_first => actor.delete(volume).await,
            (_, Some(snapshot)) => delete_snapshot(actor, &drive, snapshot).await,
            (None, None) => break,
        }
    }
    drive.settled().await;
    assert_eq!(drive.used_bytes(), 0, "nothing is left that could own an extent");
}

async fn delete_snapshot(actor: &Actor, drive: &Drive, uuid: Uuid) {
    let snapshot = lock(&actor.world).snapshots.get(&uuid).cloned().expect("picked among those");
    let unique = snapshot.unique_bytes().await.expect("every page is readable");
    let used = drive.used_bytes();
    actor.delete_snapshot(uuid).await;
    drive.settled().await;
    assert_eq!(used - drive.used_bytes(), unique, "what the deletion of {uuid} gave back");
}
