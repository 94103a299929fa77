//! Eviction (E10): clean pages, and resolved regions, give their frames back.
//!
//! ```text
//! Resident -> Evicting -> grace, all notes recorded, still clean? -> at rest -> grace -> frame free
//! ```
//! The first grace ends the operations that saw the page resident and may be changing it: what they changed is
//! noted, so the page is dirty by then. Later ones make the page resident again first. The second ends those that
//! still read the frame.

use std::sync::Arc;

use super::{
    drive::DriveShared,
    frames::Owner,
    layer::Layer,
    resolved::RegionKey,
    sync::lock,
    tree::{Slot, SlotRef},
};
use crate::rt;

/// Pages evicted together, for the sake of the grace periods.
const BATCH: usize = 64;
/// When there is nothing to evict: all frames are being filled or changed at this moment.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// Runs on the home core.
pub(super) async fn run(drive: Arc<DriveShared>) {
    loop {
        drive.frames.run_short().await;
        let (mut clean, mut regions) = (Vec::new(), Vec::new());
        for (frame, owner) in drive.frames.candidates(BATCH) {
            match owner {
                Owner::Region(key) => regions.push(key),
                Owner::Page(layer, leaf) if !drive.is_dirty(&layer, leaf) => {
                    clean.push(Page { frame, layer, leaf });
                }
                Owner::Page(..) => {}
            }
        }
        let some_left = drive.evict_regions(&regions).await;
        if !clean.is_empty() {
            drive.evict(clean).await;
        } else if !some_left {
            // Only a checkpoint makes clean pages.
            drive.checkpoints.run().await;
            rt::sleep(PAUSE).await;
        }
    }
}

/// A leaf page in its frame.
struct Page {
    frame: u32,
    layer: Arc<Layer>,
    leaf: u32,
}

impl Page {
    fn slot(&self) -> SlotRef<'_> {
        self.layer.tree.slot(self.leaf).expect("resident pages have loaded nodes")
    }
}

impl DriveShared {
    async fn evict(&self, candidates: Vec<Page>) {
        let leaving: Vec<_> = candidates
            .into_iter()
            .filter(|page| page.slot().change(Slot::Resident(page.frame), Slot::Evicting(page.frame)))
            .collect();
        self.grace.period().await;
        let recorded = self.journal.barrier().await.is_ok();
        let gone: Vec<_> = leaving
            .into_iter()
            .filter(|page| {
                if !recorded || self.is_dirty(&page.layer, page.leaf) {
                    page.slot().change(Slot::Evicting(page.frame), Slot::Resident(page.frame));
                    return false;
                }
                let child = page.layer.tree.leaf_child(page.leaf).expect("loaded, see above");
                page.slot().change(Slot::Evicting(page.frame), Slot::at_rest(child))
            })
            .collect();
        if gone.is_empty() {
            rt::sleep(PAUSE).await;
            return;
        }
        self.grace.period().await;
        for page in gone {
            self.frames.give_back(page.frame);
        }
    }

    /// False: there was none, or others are at it already. One that is on its way out may be shown again in another
    /// frame by now: then that one goes.
    async fn evict_regions(&self, candidates: &[RegionKey]) -> bool {
        let leaving: Vec<_> = candidates.iter().filter_map(|&key| self.regions.hide(key)).collect();
        if leaving.is_empty() {
            return false;
        }
        self.let_go(leaving).await;
        true
    }

    /// Whether the page holds more than the drive does.
    fn is_dirty(&self, layer: &Layer, leaf: u32) -> bool {
        let page = (layer.id, leaf);
        lock(&self.dirty).contains(&page) || lock(&self.writing).contains(&page)
    }
}
