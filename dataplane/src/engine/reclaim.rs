//! What nothing refers to any more gives its extents back, in the background: layers that no volume shows, and
//! frozen layers without a name, which merge into the one layer above them, or thin out under several.
//!
//! Nothing of this is written down: what is to be done follows from which layers and volumes there are, so it goes
//! on after a crash. It works leaf by leaf and lets the hosts' operations go first.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    drive::{Drive, DriveShared},
    error::EngineError,
    format::LayerId,
    layer::Layer,
    map::{BlockState, Entry},
    paging::Purpose,
    sync::{Signal, lock},
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
    Thin(Arc<Layer>),
}

/// How far a layer was thinned out in this round.
#[derive(Debug)]
struct Thinned {
    next_leaf: u32,
    done: bool,
}

/// Tells those who wait for space that some may have come back.
#[derive(Debug, Default)]
pub(super) struct Reclaimed {
    steps: AtomicU64,
    signal: Signal,
}

impl Reclaimed {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.signal.raise();
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
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
        drive.reclaimed.step();
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

    /// Tries something that may find too little space, and again as space comes back, while any may still come: what
    /// was deleted a moment ago is there for the next one.
    pub(super) async fn while_space_comes_back<T>(
        &self,
        attempt: impl AsyncFn() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let (reclaims, reclaimed) = (&self.shared.reclaims, &self.shared.reclaimed);
        let mut round = None;
        loop {
            let steps = reclaimed.steps();
            let was_last = round.is_some_and(|round| reclaims.has_ended(round));
            match attempt().await {
                Err(EngineError::NoFreeSpace { .. }) if !was_last => {
                    let round = *round.get_or_insert_with(|| reclaims.ask());
                    let news = || reclaimed.steps() > steps || reclaims.has_ended(round);
                    reclaimed.signal.wait_until(|| news().then_some(())).await;
                }
                outcome => return outcome,
            }
        }
    }
}

impl DriveShared {
    async fn reclaim(&self) -> Result<(), EngineError> {
        // Once in a round: while hosts write there is always something more to thin out.
        let mut thinned = BTreeMap::new();
        let mut has_made_room = false;
        while self.check_writable().is_ok() {
            let begin = rt::now();
            let outcome = {
                // Snapshots and clones put nothing on a layer while it is worked on.
                let _turn = self.structure.take().await;
                let Some(job) = self.next_job(&thinned) else { break };
                self.work(job, &mut thinned).await
            };
            match outcome {
                // A damaged layer is marked so and keeps what it has; the others go on.
                Ok(()) | Err(EngineError::Corruption(_)) => has_made_room = false,
                // Since the last checkpoint, what was merged has its pages in both layers.
                Err(EngineError::CapacityExceeded) if !has_made_room => {
                    has_made_room = true;
                    self.checkpoints.run().await;
                }
                Err(error) => return Err(error),
            }
            self.reclaimed.step();
            self.rest(begin).await;
        }
        Ok(())
    }

    async fn work(&self, job: Job, thinned: &mut BTreeMap<LayerId, Thinned>) -> Result<(), EngineError> {
        match job {
            Job::Empty(layer) => self.empty_leaf(&layer).await,
            Job::Merge { lower, upper } => {
                if self.merge_some(&lower, &upper).await? {
                    return Ok(());
                }
                thinned.remove(&upper.id);
                self.unlink(&lower, &upper).await
            }
            Job::Thin(lower) => {
                let progress = thinned.entry(lower.id).or_insert_with(|| {
                    // Said before: a deletion meanwhile takes it back.
                    lower.set_thinned_at(self.journal.written_sequence());
                    Thinned { next_leaf: 0, done: false }
                });
                let outcome = self.thin_leaf(&lower, progress).await;
                if outcome.is_err() {
                    lower.set_thinned_at(0);
                }
                outcome
            }
        }
    }

    /// What to do next: first what gives most for least.
    fn next_job(&self, thinned: &BTreeMap<LayerId, Thinned>) -> Option<Job> {
        let structure = self.structure();
        let layers = lock(&self.layers);
        let works = |layer: &&Arc<Layer>| !layer.is_emptied() && !layer.is_damaged();
        let unshown = |layer: &&Arc<Layer>| !structure.shows(layer);
        let leaves_something = |layer: &&Arc<Layer>| !layer.is_emptied() && layer.lost_extents() == 0;
        if let Some(layer) = layers.values().filter(leaves_something).find(unshown) {
            return Some(Job::Empty(layer.clone()));
        }
        let nameless = |layer: &&Arc<Layer>| !structure.is_named(layer) && !layer.is_moving();
        let mut thin = None;
        for lower in layers.values().filter(works).filter(nameless) {
            let uppers = structure.uppers(lower);
            match uppers {
                [] => {}
                // What a layer is given that has begun to be merged itself would be left behind: that one first.
                [upper] if !upper.is_damaged() && !upper.is_merging() && !upper.is_moving() => {
                    return Some(Job::Merge { lower: lower.clone(), upper: upper.clone() });
                }
                [_] => {}
                _ => {
                    let has_news = structure.recorded_above(lower) > lower.thinned_at();
                    let is_due = thinned.get(&lower.id).map_or(has_news, |progress| !progress.done);
                    if is_due && thin.is_none() {
                        thin = Some(Job::Thin(lower.clone()));
                    }
                }
            }
        }
        thin
    }

    /// Gives back one leaf of a layer that no volume shows; the last time, marks it as emptied. What a damaged page
    /// led to stays behind.
    async fn empty_leaf(&self, layer: &Arc<Layer>) -> Result<(), EngineError> {
        // Operations that began before the deletion end first.
        self.grace.period().await;
        let leaf = match self.next_leaf(&layer.tree, layer.next_leaf()).await {
            Err(EngineError::Corruption(corruption)) => {
                layer.pass_over(&corruption);
                return Ok(());
            }
            found => found?,
        };
        let Some(leaf) = leaf else {
            self.journal.barrier().await?;
            if layer.is_damaged() && layer.account.owned() > 0 {
                layer.set_lost();
                return Ok(());
            }
            *lock(&layer.emptied_at) = Some(self.journal.written_sequence());
            // The next checkpoint leaves it out.
            self.checkpoints.ask();
            return Ok(());
        };
        match self.page_in(layer, leaf, Purpose::Read).await {
            Err(EngineError::Corruption(corruption)) => {
                layer.pass_over(&corruption);
                return Ok(());
            }
            other => other?,
        }
        for logical in extents_of(leaf).filter(|logical| !layer.is_merged(*logical)) {
            self.clear_entry(layer, logical, |_| Entry::ABSENT).await?;
            layer.set_merged_before(u64::from(logical.0) + 1);
        }
        Ok(())
    }

    /// Gives back what all layers above hide, in one leaf. They never let go of a block that they hide while
    /// something is below, so what was hidden before a grace period began no operation reads after it (E6).
    async fn thin_leaf(&self, lower: &Arc<Layer>, progress: &mut Thinned) -> Result<(), EngineError> {
        let Some(leaf) = self.next_leaf(&lower.tree, progress.next_leaf).await? else {
            self.journal.barrier().await?;
            progress.done = true;
            return Ok(());
        };
        let structure = self.structure();
        let mut hidden = Vec::new();
        for logical in extents_of(leaf) {
            let known = self.present(lower, logical).await?.known();
            if known.is_empty() {
                continue;
            }
            let mask = known.and(self.covered_by_all(&structure, structure.uppers(lower), logical).await?);
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
            self.clear_entry(lower, logical, |entry| entry.with(mask, BlockState::Absent)).await?;
        }
        progress.next_leaf = leaf + 1;
        Ok(())
    }

    /// Lets the hosts' operations go first.
    pub(super) async fn rest(&self, since: Nanos) {
        if self.grace.is_busy() {
            rt::sleep((rt::now().since(since) * REST_FACTOR).min(REST_MAX)).await;
        } else {
            rt::yield_now().await;
        }
    }
}
