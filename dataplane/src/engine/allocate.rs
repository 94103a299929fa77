//! Extents for first writes, and their return.
//!
//! ```text
//! free --(run)--> a core's --> a writer's spare --(entry)--> owned --(trim)--> unusable --(mark, grace)--> free
//! ```

use std::sync::Arc;

use super::{
    drive::DriveShared,
    error::EngineError,
    format::{Child, EXTENT_BYTES, FREE_MAP, PageId},
    free_map::{Found, Run},
    layer::Layer,
    map::Extent,
    relocate::in_motion_extents,
    sync::lock,
};
use crate::rt;

/// Extents that a core takes at once: 2 MiB side by side.
const RUN_EXTENTS: u32 = 32;

/// An extent that a writer took and has not given to an entry yet; goes back on drop.
#[derive(Debug)]
pub(super) struct Spare<'a> {
    drive: &'a DriveShared,
    /// Who is charged for it; nobody, if it will replace another.
    layer: Option<Arc<Layer>>,
    pub(super) extent: Extent,
    kept: bool,
}

impl Spare<'_> {
    /// An entry owns it now.
    pub(super) fn keep(mut self) {
        // Nobody is refunded.
        self.layer = None;
        self.kept = true;
    }

    pub(super) fn is_for(&self, layer: &Arc<Layer>) -> bool {
        self.layer.as_ref().is_some_and(|charged| Arc::ptr_eq(charged, layer))
    }
}

impl Drop for Spare<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Some(layer) = &self.layer {
            self.drive.ledger.refund(&layer.account);
        }
        self.drive.own_runs(|runs| runs.push(Run { first: self.extent.0, count: 1 }));
    }
}

impl DriveShared {
    /// An extent for a head, counted against it. Never within an operation: it may wait for a grace period.
    pub(super) async fn take_extent(&self, layer: Arc<Layer>) -> Result<Spare<'_>, EngineError> {
        self.ledger.charge(&layer.account)?;
        let found = match self.back_promises().await {
            Ok(()) => self.find_extent().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(extent) => Ok(Spare { drive: self, layer: Some(layer), extent, kept: false }),
            Err(error) => {
                self.ledger.refund(&layer.account);
                Err(error)
            }
        }
    }

    /// An extent to replace another of the same volume, which is freed then.
    pub(super) async fn take_replacement(&self) -> Result<Spare<'_>, EngineError> {
        // So it may be where the drive was filled before such extents were kept back.
        if self.ledger.is_over_promised_by(in_motion_extents(self.torn_safe)) {
            return Err(EngineError::CapacityExceeded);
        }
        let extent = self.find_extent().await?;
        Ok(Spare { drive: self, layer: None, extent, kept: false })
    }

    /// What the ledger promised exists; at worst it must become reusable first.
    pub(super) async fn find_extent(&self) -> Result<Extent, EngineError> {
        loop {
            if let Some(extent) = self.own_runs(pop) {
                return Ok(extent);
            }
            if let Some(mut run) = self.take_run(RUN_EXTENTS).await? {
                let extent = Extent(run.first);
                run.first += 1;
                run.count -= 1;
                if run.count > 0 {
                    self.own_runs(|runs| runs.push(run));
                }
                return Ok(extent);
            }
            if let Some(extent) = self.runs.iter().find_map(|runs| pop(&mut lock(runs))) {
                return Ok(extent);
            }
            self.flush().await?;
            rt::sleep(WAIT_FOR_REUSE).await;
        }
    }

    /// An extent for metadata: of those kept for it, else of those that it was granted beyond.
    pub(super) async fn find_metadata_extent(&self) -> Result<Extent, EngineError> {
        loop {
            let found = lock(&self.free).take_for_metadata();
            match found {
                Found::Run(run) => return Ok(Extent(run.first)),
                Found::NeedsPage(page) => self.load_bitmap(page).await?,
                Found::Nothing => return self.find_extent().await,
            }
        }
    }

    /// A run of free extents out of the free map; `None` if there is none.
    pub(super) async fn take_run(&self, count: u32) -> Result<Option<Run>, EngineError> {
        loop {
            let found = lock(&self.free).take(count);
            match found {
                Found::Run(run) => return Ok(Some(run)),
                Found::Nothing => return Ok(None),
                Found::NeedsPage(page) => self.load_bitmap(page).await?,
            }
        }
    }

    /// Makes a page of the free map resident; it stays so.
    pub(super) async fn load_bitmap(&self, page: u32) -> Result<(), EngineError> {
        if lock(&self.free).is_loaded(page) {
            return Ok(());
        }
        let result = self.read_bitmap(page).await;
        match result {
            // Another loader was quicker, and a checkpoint may have moved the page since.
            Err(_) if lock(&self.free).is_loaded(page) => Ok(()),
            Err(EngineError::Corruption(corruption)) => {
                self.fail(&format!("free map: {corruption}"));
                Err(corruption.into())
            }
            other => other,
        }
    }

    async fn read_bitmap(&self, page: u32) -> Result<(), EngineError> {
        self.load_nodes(&self.free_tree, page).await?;
        let child = self.free_tree.leaf_child(page).expect("its nodes were loaded above");
        if child == Child::None {
            lock(&self.free).put(page, None);
            return Ok(());
        }
        let id = PageId { layer: FREE_MAP, level: 0, number: page };
        let bytes = self.read_page(id, child).await?;
        lock(&self.free).put(page, Some(&bytes));
        Ok(())
    }

    fn own_runs<T>(&self, change: impl FnOnce(&mut Vec<Run>) -> T) -> T {
        change(&mut lock(&self.runs[usize::from(rt::core_id().0)]))
    }
}

/// How long a writer on a full drive waits before it looks again for extents that others gave up.
const WAIT_FOR_REUSE: std::time::Duration = std::time::Duration::from_millis(1);

fn pop(runs: &mut Vec<Run>) -> Option<Extent> {
    let run = runs.last_mut()?;
    let extent = Extent(run.first);
    run.first += 1;
    run.count -= 1;
    if run.count == 0 {
        runs.pop();
    }
    Some(extent)
}

/// Makes freed extents reusable (E7): their freeing record is under a mark, and every operation that may have seen
/// them has ended. Runs on the home core.
pub(super) async fn run_releaser(drive: Arc<DriveShared>) {
    loop {
        let ready = drive
            .reusable
            .wait_until(|| {
                let marked = drive.journal.marked_sequence();
                let mut unusable = lock(&drive.unusable);
                let count = unusable.partition_point(|&(sequence, _)| sequence <= marked);
                (count > 0).then(|| unusable.drain(..count).collect::<Vec<_>>())
            })
            .await;
        drive.grace.period().await;
        let mut extents: Vec<Extent> = ready.into_iter().map(|(_, extent)| extent).collect();
        extents.sort_unstable();
        for run in extents.chunk_by(|a, b| a.0 + 1 == b.0) {
            if !drive.backing.is_needed() {
                // Gives the space back to the file system underneath. A drive that cannot is none the worse.
                let _ = drive.disk.discard(run[0].offset_bytes(), run.len() as u64 * EXTENT_BYTES).await;
            }
            let mut free = lock(&drive.free);
            run.iter().for_each(|extent| free.release(*extent));
        }
    }
}
