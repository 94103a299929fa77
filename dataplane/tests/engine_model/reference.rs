//! What a volume may answer: for every sector the operations that gave it a value, and which of them a read, a dead
//! process or a power cut may leave.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use dataplane::{
    engine::{EngineError, Volume},
    rt::{Buf, disk::SimMedia, sim::SimRng},
};

use crate::frozen::{Candidate, NEVER};

/// A moment; grows with every beginning and end of an operation.
pub(crate) type Moment = u64;

/// What a sector holds: 0 is zeros, [`UNCORRECTABLE`] is what it says, anything else the number of the write that
/// filled it.
pub(crate) type Value = u64;

/// The value of a sector that was marked uncorrectable.
pub(crate) const UNCORRECTABLE: Value = Value::MAX;

pub(crate) const SECTOR: u64 = 512;
pub(crate) const BLOCK: u64 = 4096;

#[derive(Debug, Clone, Copy)]
struct Change {
    value: Value,
    began: Moment,
    /// Answered with success.
    ended: Option<Moment>,
    /// Known to outlive a power cut.
    durable: bool,
}

/// What became of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    ProcessDied,
    PowerCut,
}

impl Crash {
    /// Does it to the medium. The machine has ended before.
    pub(crate) fn strike(self, media: &SimMedia, rng: &mut SimRng) {
        match self {
            Self::ProcessDied => media.process_died(rng),
            Self::PowerCut => media.power_cut(rng),
        }
    }

    /// One of the two.
    pub(crate) fn random(media: &SimMedia, rng: &mut SimRng) -> Self {
        let crash = if rng.below(2) == 0 { Self::ProcessDied } else { Self::PowerCut };
        crash.strike(media, rng);
        crash
    }
}

/// One volume's sectors that anything ever touched.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReferenceVolume {
    sectors: BTreeMap<u64, Vec<Change>>,
    /// Those with an answered change that a power cut may undo.
    at_risk: BTreeSet<u64>,
}

impl ReferenceVolume {
    /// An operation that gives sectors a value begins.
    pub(crate) fn begin(&mut self, sectors: Range<u64>, value: Value, now: Moment) {
        for sector in sectors {
            self.history(sector).push(Change { value, began: now, ended: None, durable: false });
        }
    }

    /// It was answered with success. `reading_since`: no read that is under way began earlier.
    pub(crate) fn end(
        &mut self,
        sectors: Range<u64>,
        began: Moment,
        now: Moment,
        durable: bool,
        reading_since: Moment,
    ) {
        for sector in sectors {
            if !durable {
                self.at_risk.insert(sector);
            }
            for change in self.history(sector).iter_mut().filter(|change| change.began == began) {
                change.ended = Some(now);
                change.durable = durable;
            }
            self.forget(sector, reading_since);
        }
    }

    /// A flush that began at `began` was answered.
    pub(crate) fn flushed(&mut self, began: Moment) {
        let Self { sectors, at_risk } = self;
        at_risk.retain(|sector| {
            let changes = sectors.get_mut(sector).expect("it was changed");
            for change in changes.iter_mut().filter(|c| c.ended.is_some_and(|ended| ended < began)) {
                change.durable = true;
            }
            changes.iter().any(|change| change.ended.is_some() && !change.durable)
        });
    }

    /// Whether a read that ran from `began` to `ended` may see `value`.
    pub(crate) fn may_read(&mut self, sector: u64, value: Value, began: Moment, ended: Moment) -> bool {
        let changes = &*self.history(sector);
        changes.iter().any(|change| {
            change.value == value
                && change.began <= ended
                && !changes.iter().any(|later| {
                    change.ended.is_some_and(|end| later.began > end)
                        && later.ended.is_some_and(|end| end < began)
                })
        })
    }

    /// What a snapshot that was taken between `began` and `ended` may hold. The past since `began` was kept.
    pub(crate) fn freeze(&self, began: Moment, ended: Moment) -> BTreeMap<u64, Vec<Candidate>> {
        let possible = |changes: &[Change]| {
            let replaced = |change: &Change| {
                let later = changes.iter().filter(|later| change.ended.is_some_and(|end| later.began > end));
                later.filter_map(|later| later.ended).min().unwrap_or(NEVER)
            };
            let candidates = changes.iter().filter(|change| change.began <= ended);
            let candidates = candidates.map(|change| Candidate {
                value: change.value,
                began: change.began,
                replaced: replaced(change),
            });
            candidates.filter(|candidate| candidate.replaced >= began).collect()
        };
        self.sectors.iter().map(|(sector, changes)| (*sector, possible(changes))).collect()
    }

    /// A volume that begins with such content, durably.
    pub(crate) fn from_frozen(sectors: &BTreeMap<u64, Vec<Candidate>>, now: Moment) -> Self {
        let history = |candidates: &[Candidate]| {
            let change =
                |c: &Candidate| Change { value: c.value, began: now, ended: Some(now), durable: true };
            candidates.iter().map(change).collect()
        };
        let sectors = sectors.iter().map(|(sector, candidates)| (*sector, history(candidates))).collect();
        Self { sectors, at_risk: BTreeSet::new() }
    }

    /// Takes what recovery found. False if the rules forbid it.
    pub(crate) fn settle(&mut self, sector: u64, value: Value, crash: Crash, now: Moment) -> bool {
        let changes = self.history(sector);
        let possible = changes.iter().any(|change| {
            change.value == value
                && !changes.iter().any(|later| {
                    let counts = match crash {
                        Crash::ProcessDied => later.ended.is_some(),
                        Crash::PowerCut => later.durable,
                    };
                    counts && change.ended.is_some_and(|end| later.began > end)
                })
        });
        // After a power cut that is what the drive holds; after a mere death a power cut may still undo it.
        let durable = crash == Crash::PowerCut;
        if durable {
            changes.clear();
        } else {
            // What was under way is neither done nor going on.
            changes.iter_mut().for_each(|change| change.ended = change.ended.or(Some(now - 1)));
        }
        changes.push(Change { value, began: now, ended: Some(now), durable });
        self.at_risk.insert(sector);
        possible
    }

    pub(crate) fn touched(&self) -> Vec<u64> {
        self.sectors.keys().copied().collect()
    }

    /// For the report of a failure.
    pub(crate) fn history_of(&self, sector: u64) -> impl std::fmt::Debug + use<> {
        self.sectors.get(&sector).cloned()
    }

    fn history(&mut self, sector: u64) -> &mut Vec<Change> {
        let zeros = Change { value: 0, began: 0, ended: Some(0), durable: true };
        self.sectors.entry(sector).or_insert_with(|| vec![zeros])
    }

    /// Drops what neither a crash nor a read that is still under way can bring back.
    fn forget(&mut self, sector: u64, reading_since: Moment) {
        let changes = self.history(sector);
        let settled = changes.iter().filter(|c| c.durable && c.ended.is_some_and(|end| end < reading_since));
        let Some(floor) = settled.map(|change| change.began).max() else { return };
        changes.retain(|change| change.ended.is_none_or(|end| end >= floor));
    }
}

/// The sectors of a range of bytes.
pub(crate) fn sectors(offset: u64, len: u64) -> Range<u64> {
    offset / SECTOR..(offset + len) / SECTOR
}

/// Fills sectors of a write so that each says which write and sector it is of.
pub(crate) fn fill(buf: &mut [u8], first_sector: u64, value: Value) {
    for (sector, bytes) in (first_sector..).zip(buf.chunks_exact_mut(SECTOR as usize)) {
        for (index, word) in bytes.chunks_exact_mut(8).enumerate() {
            let content = match index {
                0 => value,
                1 => sector,
                _ => value.wrapping_mul(31) ^ sector.wrapping_mul(17) ^ index as u64,
            };
            word.copy_from_slice(&content.to_le_bytes());
        }
    }
}

/// The values of a range's sectors. Where marks stand in the way they are read block by block.
pub(crate) async fn values(
    volume: &Volume,
    offset: u64,
    len: u64,
) -> Result<Vec<Option<Value>>, EngineError> {
    let mut values = Vec::new();
    let unit = match read_values(volume, offset, len, &mut values).await {
        Err(EngineError::Uncorrectable) => u64::from(volume.block_bytes()),
        result => return result.map(|()| values),
    };
    for offset in (offset..offset + len).step_by(unit as usize) {
        match read_values(volume, offset, unit, &mut values).await {
            Err(EngineError::Uncorrectable) => {
                values.extend(sectors(offset, unit).map(|_| Some(UNCORRECTABLE)));
            }
            result => result?,
        }
    }
    Ok(values)
}

async fn read_values(
    volume: &Volume,
    offset: u64,
    len: u64,
    values: &mut Vec<Option<Value>>,
) -> Result<(), EngineError> {
    let (buf, result) = volume.read(offset, Buf::alloc(len as usize).await).await;
    result?;
    let read = sectors(offset, len).zip(buf.chunks_exact(SECTOR as usize));
    values.extend(read.map(|(sector, bytes)| value_of(bytes, sector)));
    Ok(())
}

/// The value that a sector holds. `None`: it is not whole, or not this sector.
fn value_of(bytes: &[u8], sector: u64) -> Option<Value> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Some(0);
    }
    let value = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    let mut expected = vec![0; SECTOR as usize];
    fill(&mut expected, sector, value);
    (bytes == expected && value != 0 && value != UNCORRECTABLE).then_some(value)
}
