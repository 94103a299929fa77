//! The checker (design invariant 6): every extent has exactly one owner, counters equal what a walk finds, every
//! page matches its checksum.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use serde::{Deserialize, Serialize};

use super::{
    drive::{Drive, DriveShared},
    error::EngineError,
    format::LayerId,
    layer::Layer,
    map::Extent,
    sync::lock,
    walk::{extents_of, first_leaf_behind},
};

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Layers, those without an extent included.
    pub layers: usize,
    /// Extents that layers own.
    pub owned_extents: u64,
    /// Extents that hold metadata.
    pub metadata_extents: u64,
    /// Nothing changed while it was walked. If not, what is reported may be a change that was under way.
    pub exact: bool,
    /// What is wrong, in words; empty on a sound drive.
    pub problems: Vec<String>,
}

/// Walks all maps and the free map of an open drive. Where changes go on meanwhile and something seems wrong, it looks
/// a few times for a moment without any.
pub async fn check(drive: &Drive) -> Result<CheckReport, EngineError> {
    let mut report = walk_once(drive).await?;
    for _ in 1..TRIES {
        if report.exact || report.problems.is_empty() {
            break;
        }
        report = walk_once(drive).await?;
    }
    Ok(report)
}

const TRIES: usize = 4;

async fn walk_once(drive: &Drive) -> Result<CheckReport, EngineError> {
    let shared = &*drive.shared;
    shared.journal.barrier().await?;
    let before = shared.journal.next_point();
    let pages = lock(&shared.free).page_count();
    for page in 0..pages {
        match shared.load_bitmap(page).await {
            Ok(()) => {}
            Err(EngineError::Corruption(corruption)) => {
                let problem = format!("the free map is damaged, nothing else was looked at: {corruption}");
                return Ok(CheckReport { exact: true, problems: vec![problem], ..CheckReport::default() });
            }
            Err(error) => return Err(error),
        }
    }
    let mut report = CheckReport::default();
    let mut owners: BTreeMap<Extent, LayerId> = BTreeMap::new();
    let layers: Vec<Arc<Layer>> = lock(&shared.layers).values().cloned().collect();
    report.layers = layers.len();
    for layer in layers {
        let owned = match shared.walk(&layer, &mut owners, &mut report).await {
            // An emptied layer that the checkpoint left out meanwhile: it owned nothing.
            Err(_) if !lock(&shared.layers).contains_key(&layer.id) => continue,
            other => other?,
        };
        let recorded = layer.recorded_extents.load(Ordering::Relaxed);
        if let Some(corruption) = layer.damage() {
            let lost = recorded.saturating_sub(owned);
            let id = layer.id.0;
            report
                .problem(format!("layer {id} is damaged, {lost} of its extents are not found: {corruption}"));
        } else if owned != recorded {
            report.problem(format!("layer {} owns {owned} extents, its counter says {recorded}", layer.id.0));
        }
        // What a damaged one cannot show is taken all the same.
        report.owned_extents += if layer.is_damaged() { recorded } else { owned };
    }
    shared.check_counters(&owners, &mut report);
    shared.journal.barrier().await?;
    report.exact = shared.journal.next_point() == before;
    Ok(report)
}

impl CheckReport {
    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }
}

impl DriveShared {
    /// Finds every extent of a layer.
    async fn walk(
        &self,
        layer: &Arc<Layer>,
        owners: &mut BTreeMap<Extent, LayerId>,
        report: &mut CheckReport,
    ) -> Result<u64, EngineError> {
        let mut owned = 0;
        let mut from = 0;
        loop {
            let leaf = match self.next_leaf(&layer.tree, from).await {
                Ok(Some(leaf)) => leaf,
                Ok(None) => return Ok(owned),
                Err(EngineError::Corruption(corruption)) => {
                    from = first_leaf_behind(&corruption, from);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for logical in extents_of(leaf) {
                let entry = match self.present(layer, logical).await {
                    Ok(entry) => entry,
                    // It counts as damage of the layer from now on.
                    Err(EngineError::Corruption(_)) => break,
                    Err(error) => return Err(error),
                };
                let Some(extent) = entry.extent() else {
                    if !entry.stored().is_empty() {
                        report.problem(format!("{logical:?} of layer {} has data nowhere", layer.id.0));
                    }
                    continue;
                };
                owned += 1;
                if !self.geometry().is_in_pool(extent.0) {
                    report.problem(format!("{extent:?} lies outside the pool"));
                } else if !entry.needs_extent() {
                    report.problem(format!("{extent:?} is kept for nothing"));
                } else if !lock(&self.free).is_used(extent) {
                    report.problem(format!("{extent:?} of layer {} is free", layer.id.0));
                }
                if let Some(other) = owners.insert(extent, layer.id) {
                    report.problem(format!("{extent:?} belongs to layers {} and {}", other.0, layer.id.0));
                }
            }
            from = leaf + 1;
        }
    }

    fn check_counters(&self, owners: &BTreeMap<Extent, LayerId>, report: &mut CheckReport) {
        {
            let metadata = lock(&self.metadata);
            report.metadata_extents = metadata.extent_count();
            for extent in owners.keys().filter(|extent| metadata.contains(extent.0)) {
                report.problem(format!("{extent:?} holds data and metadata"));
            }
        }
        let (counted, counter) = {
            let free = lock(&self.free);
            (free.count_used(), free.used_extents())
        };
        let expected = report.owned_extents + report.metadata_extents;
        if counted != expected {
            report.problem(format!("{counted} extents are marked used, {expected} have an owner"));
        }
        if counter != report.owned_extents {
            let owned = report.owned_extents;
            report.problem(format!("the drive's counter says {counter}, layers own {owned}"));
        }
        for layer in lock(&self.layers).values() {
            let (owned, recorded) = (layer.account.owned(), layer.recorded_extents.load(Ordering::Relaxed));
            if owned != recorded {
                let id = layer.id.0;
                report.problem(format!("layer {id} was charged {owned} extents and owns {recorded}"));
            }
        }
    }
}
