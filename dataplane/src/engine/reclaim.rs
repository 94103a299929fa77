//! What nothing refers to any more gives its extents back, in the background: layers that no volume shows, and
//! frozen layers without a name, which merge into the one layer above them, or thin out under several.
//!
//! Nothing of this is written down: what is to be done follows from which layers and volumes there are, so it goes
//! on after a crash. It works leaf by leaf and lets the hosts' operations go first.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    drive::{Drive, DriveShared},
    error::EngineError,
    format::LayerId,
    layer::Layer,
    map::{BlockMask, BlockState, Entry},
    paging::Purpose,
    sync::lock,
    walk::extents_of,
};
use crate::rt::{self, Nanos};

/// One step of work.
#[derive(Debug)]
enum Job {
    /// No volume shows it: it gives all back.
    Empty(Arc<Layer>),
    /// It has no name and one layer stands on it.
    Merge { lower: Arc<Layer>, upper: Arc<Layer> },
    /// It has no name and several layers stand on it: what all of them hide is given back.
    Thin { lower: Arc<Layer>, uppers: Vec<Arc<Layer>> },
}

/// After an error that may pass, such as a lack of metadata pages.
const RETRY: Duration = Duration::from_secs(1);
/// While hosts are busy, work takes at most about a third of the time.
const REST_FACTOR: u32 = 2;
const REST_MAX: Duration = Duration::from_millis(20);

/// Runs on the home core.
pub(super) async fn run(drive: Arc<DriveShared>) {
    loop {
        let round = drive.reclaims.begin().await;
        let outcome = drive.reclaim().await;
        drive.reclaims.end(round);
        if let Err(error) = outcome
            && drive.check_writable().is_ok()
        {
            tracing::warn!(drive = %drive.uuid, %error, "giving back space is put off");
            rt::sleep(RETRY).await;
            drive.reclaims.ask();
        }
    }
}

impl Drive {
    /// Waits until nothing is left to merge or to give back in the background.
    pub async fn settled(&self) {
        self.shared.reclaims.run().await;
    }
}

impl DriveShared {
    async fn reclaim(&self) -> Result<(), EngineError> {
        // Once in a round: while hosts write there is always something more to thin out.
        let mut thinned = BTreeSet::new();
        while self.check_writable().is_ok()
            && let Some(job) = self.next_job(&thinned)
        {
            let begin = rt::now();
            let outcome = match &job {
                Job::Empty(layer) => self.empty_leaf(layer).await,
                Job::Merge { lower, upper } => self.merge_step(lower, upper).await,
                Job::Thin { lower, uppers } => {
                    thinned.insert(lower.id);
                    self.thin(lower, uppers).await
                }
            };
            match outcome {
                // The layer is marked damaged and keeps what it has; the others go on.
                Ok(()) | Err(EngineError::Corruption(_)) => {}
                Err(error) => return Err(error),
            }
            self.rest(begin).await;
        }
        Ok(())
    }

    /// What to do next: first what gives most for least.
    fn next_job(&self, thinned: &BTreeSet<LayerId>) -> Option<Job> {
        let structure = self.structure();
        let layers = lock(&self.layers);
        let works = |layer: &&Arc<Layer>| !layer.is_emptied() && !layer.is_damaged();
        let unshown = |layer: &&Arc<Layer>| !structure.shows(layer);
        if let Some(layer) = layers.values().filter(works).find(unshown) {
            return Some(Job::Empty(layer.clone()));
        }
        let nameless = |layer: &&Arc<Layer>| !structure.is_named(layer);
        let mut thin = None;
        for lower in layers.values().filter(works).filter(nameless) {
            let uppers = structure.uppers(lower);
            match uppers {
                [] => {}
                // What a layer is given that has begun to be merged itself would be left behind: that one first.
                [upper] if !upper.is_damaged() && upper.merged_before() == 0 => {
                    return Some(Job::Merge { lower: lower.clone(), upper: upper.clone() });
                }
                [_] => {}
                several => {
                    let news = several.iter().any(|upper| upper.recorded_at() > lower.thinned_at());
                    if news && thin.is_none() && !thinned.contains(&lower.id) {
                        thin = Some(Job::Thin { lower: lower.clone(), uppers: several.to_vec() });
                    }
                }
            }
        }
        thin
    }

    /// Gives back one leaf of a layer that no volume shows; the last time, marks it as emptied.
    async fn empty_leaf(&self, layer: &Arc<Layer>) -> Result<(), EngineError> {
        // Operations that began before the deletion end first.
        self.grace.period().await;
        let Some(leaf) = self.next_leaf(&layer.tree, layer.next_leaf()).await? else {
            self.journal.barrier().await?;
            *lock(&layer.emptied_at) = Some(self.journal.written_sequence());
            // The next checkpoint leaves it out.
            self.checkpoints.ask();
            return Ok(());
        };
        self.page_in(layer, leaf, Purpose::Read).await?;
        for logical in extents_of(leaf).filter(|logical| !layer.is_merged(*logical)) {
            self.clear_entry(layer, logical, |_| Entry::ABSENT).await?;
            layer.set_merged_before(u64::from(logical.0) + 1);
        }
        Ok(())
    }

    async fn merge_step(&self, lower: &Arc<Layer>, upper: &Arc<Layer>) -> Result<(), EngineError> {
        if self.merge_leaf(lower, upper).await? { Ok(()) } else { self.unlink(lower, upper).await }
    }

    /// Gives back what all layers above hide. They never let go of a block that they hide while something is below,
    /// so what was hidden before a grace period began no operation reads after it (E6).
    async fn thin(&self, lower: &Arc<Layer>, uppers: &[Arc<Layer>]) -> Result<(), EngineError> {
        let sequence = self.journal.written_sequence();
        let structure = self.structure();
        let mut from = 0;
        while let Some(leaf) = self.next_leaf(&lower.tree, from).await? {
            let begin = rt::now();
            let mut hidden = Vec::new();
            for logical in extents_of(leaf) {
                let known = self.present(lower, logical).await?.known();
                if known.is_empty() {
                    continue;
                }
                let mask = known.and(self.covered_by_all(&structure, uppers, logical).await?);
                if !mask.is_empty() {
                    hidden.push((logical, mask));
                }
            }
            if !hidden.is_empty() {
                self.grace.period().await;
                // A crash must not find this recorded and what hides it not.
                self.journal.barrier().await?;
            }
            for (logical, mask) in hidden {
                self.clear_entry(lower, logical, |entry| forget(entry, mask)).await?;
            }
            self.rest(begin).await;
            from = leaf + 1;
        }
        self.journal.barrier().await?;
        lower.set_thinned_at(sequence);
        Ok(())
    }

    /// Lets the hosts' operations go first.
    async fn rest(&self, since: Nanos) {
        if self.grace.is_busy() {
            rt::sleep((rt::now().since(since) * REST_FACTOR).min(REST_MAX)).await;
        } else {
            rt::yield_now().await;
        }
    }
}

fn forget(entry: Entry, mask: BlockMask) -> Entry {
    entry.with(mask, BlockState::Absent)
}
