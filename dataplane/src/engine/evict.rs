//! Eviction (E10): clean pages give their frames back.
//!
//! ```text
//! Resident -> Evicting -> grace, all notes recorded, still clean? -> at rest -> grace -> frame free
//! ```
//! The first grace ends the operations that saw the page resident and may be changing it: what they changed is
//! noted, so the page is dirty by then. Later ones make the page resident again first. The second ends those that
//! still read the frame.

use std::sync::Arc;

use super::{drive::DriveShared, frames::Owner, sync::lock, tree::Slot};
use crate::rt;

/// Pages evicted together, for the sake of the grace periods.
const BATCH: usize = 64;
/// When there is nothing to evict: all frames are being filled or changed at this moment.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// Runs on the home core.
pub(super) async fn run(drive: Arc<DriveShared>) {
    loop {
        drive.frames.run_short().await;
        let candidates = drive.frames.candidates(BATCH);
        let clean: Vec<_> = candidates.into_iter().filter(|(_, owner)| !drive.is_dirty(owner)).collect();
        if clean.is_empty() {
            // Only a checkpoint makes clean pages.
            drive.checkpoints.run().await;
            rt::sleep(PAUSE).await;
        } else {
            drive.evict(clean).await;
        }
    }
}

impl DriveShared {
    async fn evict(&self, candidates: Vec<(u32, Owner)>) {
        let leaving: Vec<_> = candidates
            .into_iter()
            .filter(|(frame, owner)| {
                let slot = owner.layer.tree.slot(owner.leaf).expect("resident pages have loaded nodes");
                slot.change(Slot::Resident(*frame), Slot::Evicting(*frame))
            })
            .collect();
        self.grace.period().await;
        let recorded = self.journal.barrier().await.is_ok();
        let gone: Vec<_> = leaving
            .into_iter()
            .filter(|(frame, owner)| {
                let slot = owner.layer.tree.slot(owner.leaf).expect("resident pages have loaded nodes");
                if !recorded || self.is_dirty(owner) {
                    slot.change(Slot::Evicting(*frame), Slot::Resident(*frame));
                    return false;
                }
                let child = owner.layer.tree.leaf_child(owner.leaf).expect("loaded, see above");
                slot.change(Slot::Evicting(*frame), Slot::at_rest(child))
            })
            .collect();
        if gone.is_empty() {
            rt::sleep(PAUSE).await;
            return;
        }
        self.grace.period().await;
        for (frame, _) in gone {
            self.frames.give_back(frame);
        }
    }

    /// Whether the page holds more than the drive does.
    fn is_dirty(&self, owner: &Owner) -> bool {
        let page = (owner.layer.id, owner.leaf);
        lock(&self.dirty).contains(&page) || lock(&self.writing).contains(&page)
    }
}
