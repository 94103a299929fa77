//! One node: its replica, its drive, its clock, and the blocks that wait somewhere in its memory.

use std::{collections::BTreeMap, time::Duration};

use replication::{BlockRange, Boot, Config, Durable, Grain, NodeId, Payload, RUNS_MAX, Replica, WorkId};

use crate::disk::{Disk, Value};

/// The volume of all simulations: small, so that everything meets.
pub(crate) const GRAIN: Grain = Grain { blocks_per_extent: 2, extents_per_region: 2, runs_max: RUNS_MAX };
/// Of a volume that has grown as far as it will.
pub(crate) const EXTENTS_MAX: u64 = 8;
pub(crate) const BLOCKS: u64 = 16;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// Without a process there is none.
    pub(crate) replica: Option<Replica>,
    pub(crate) disk: Disk,
    pub(crate) grain: Grain,
    pub(crate) boot: u64,
    pub(crate) incarnation: u64,
    booted_at: u64,
    /// Of its clock, in millionths: up to 1 % wrong.
    rate_ppm: u64,
    /// It is off for good.
    pub(crate) dead: bool,
    pub(crate) paused_until: u64,
    pub(crate) slow: bool,
    /// It cannot reach the store.
    pub(crate) storeless: bool,
    /// What hosts were told last.
    pub(crate) leads: bool,
    pub(crate) memory: BTreeMap<Payload, Vec<Value>>,
    pub(crate) writing: BTreeMap<WorkId, (BlockRange, Vec<Value>)>,
    /// No change ends before the one before it.
    pub(crate) last_change_at: u64,
    pub(crate) tick_at: Option<u64>,
}

impl Node {
    pub(crate) fn new(id: NodeId, fields: Durable, grain: Grain, rate_ppm: u64) -> Self {
        Self {
            id,
            replica: None,
            disk: Disk::new(BLOCKS, fields),
            grain,
            boot: 1,
            incarnation: 0,
            booted_at: 0,
            rate_ppm,
            dead: false,
            paused_until: 0,
            slow: false,
            storeless: false,
            leads: false,
            memory: BTreeMap::new(),
            writing: BTreeMap::new(),
            last_change_at: 0,
            tick_at: None,
        }
    }

    /// How many blocks of the volume it knows.
    pub(crate) fn blocks(&self) -> u64 {
        self.disk.fields.extents * self.grain.blocks_per_extent
    }

    /// Its own time.
    pub(crate) fn time(&self, now_micros: u64) -> Duration {
        Duration::from_micros((now_micros - self.booted_at) * self.rate_ppm / 1_000_000)
    }

    /// When its own time will be `time`.
    pub(crate) fn when(&self, time: Duration) -> u64 {
        self.booted_at + time.as_micros() as u64 * 1_000_000 / self.rate_ppm + 2
    }

    pub(crate) fn start(&mut self, now_micros: u64, config: Config) {
        self.incarnation += 1;
        let config = Config { me: self.id, incarnation: self.incarnation, boot: Boot(self.boot), ..config };
        self.replica = Some(Replica::new(config, self.disk.fields.clone(), self.time(now_micros)));
    }

    /// The machine, too, starts anew.
    pub(crate) fn reboot(&mut self, now_micros: u64) {
        self.boot += 1;
        self.booted_at = now_micros;
    }

    /// Nothing that it acknowledged since it was last equal can be lost.
    pub(crate) fn is_intact(&self) -> bool {
        self.disk.fields.certified == Some(Boot(self.boot))
    }
}
