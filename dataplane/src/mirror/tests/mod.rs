//! Durable fields on a drive: random changes, restarts, and what a crash tears.

use std::sync::mpsc;

use proptest::prelude::*;
use replication::{BlockRange, Boot, Change, Durable, Grain, Membership, NodeId, RUNS_MAX, WorkId};
use uuid::Uuid;

use super::{META_BYTES, durable::DurableLog};
use crate::{
    engine::{Drive, DriveOptions, FormatOptions},
    rt::{Buf, CoreId, Disk, Runtime},
    volume::Volume,
};

const ME: NodeId = NodeId(0);
const GRAIN: Grain = Grain { blocks_per_extent: 16, extents_per_region: 64, runs_max: RUNS_MAX };

async fn volume() -> Volume {
    let disk = Disk::memory(256 << 20).unwrap();
    Drive::format(&disk, FormatOptions::default()).await.unwrap();
    let options = DriveOptions { write_through: None, torn: None, map_memory_bytes: 1 << 20, fault: None };
    let drive = Drive::open(disk, options).await.unwrap();
    drive.create_volume(Uuid::from_u128(7), META_BYTES + (64 << 20), 4096, 0).await.unwrap().into()
}

fn first() -> Durable {
    Durable::new(Membership::first(ME, [ME, NodeId(1)]), Boot(1), 1024)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (0..16_384_u64 - 64, 1..64_u64).prop_map(|(first, count)| Change::Mark(BlockRange { first, count })),
        1 => Just(Change::Adopt(Membership::first(ME, [ME, NodeId(1)]))),
        1 => Just(Change::Adopt(Membership::first(ME, [ME]))),
        1 => (0..9_u64).prop_map(|boot| Change::Certify { boot: Boot(boot), missing: Default::default() }),
    ]
}

async fn write(log: &DurableLog, volume: &Volume, changes: &[Change]) {
    for (id, change) in (1..).zip(changes) {
        log.push(WorkId(id), change.clone());
    }
    let mut written = 0;
    while written < changes.len() {
        written += log.write_next(volume).await.unwrap().len();
    }
}

/// One start after another: `runs` of changes, each ended by a record that a crash tears.
async fn restarts(runs: Vec<Vec<Change>>, torn: Change) {
    let volume = volume().await;
    DurableLog::format(&volume, first()).await.unwrap();
    let mut model = first();
    for (index, changes) in runs.iter().enumerate() {
        let log = DurableLog::open(&volume, ME, GRAIN).await.unwrap();
        assert_eq!(log.incarnation(), index as u64 + 1);
        assert_eq!(log.fields(), model);
        write(&log, &volume, changes).await;
        changes.iter().for_each(|change| model.apply(change, ME, &GRAIN));
        let end_bytes = log.end_bytes();
        write(&log, &volume, std::slice::from_ref(&torn)).await;
        let (mut page, read) = volume.read(end_bytes, Buf::alloc(4096).await).await;
        read.unwrap();
        page[24] ^= 1;
        volume.write(end_bytes, page, false).await.1.unwrap();
    }
    assert_eq!(DurableLog::open(&volume, ME, GRAIN).await.unwrap().fields(), model);
}

fn on_a_core<F: Future<Output = ()> + 'static>(body: impl FnOnce() -> F + Send + 'static) {
    let runtime = Runtime::start(1).unwrap();
    let (done, ended) = mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        body().await;
        done.send(()).unwrap();
    });
    ended.recv().expect("the core lives");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever was told to be durable is there at the next start; a torn record is not, and everything before it is.
    #[test]
    fn what_is_durable_is_there_and_what_is_torn_is_not(
        runs in prop::collection::vec(prop::collection::vec(change(), 0..40), 1..8),
        torn in change(),
    ) {
        on_a_core(move || restarts(runs, torn));
    }
}

/// Slots fill up and take turns.
#[test]
fn more_changes_than_a_slot_holds() {
    on_a_core(|| async {
        let volume = volume().await;
        DurableLog::format(&volume, first()).await.unwrap();
        let log = DurableLog::open(&volume, ME, GRAIN).await.unwrap();
        let mut model = first();
        for number in 0..5000 {
            let change = Change::Mark(BlockRange { first: number * 3 % 16_000, count: 1 });
            write(&log, &volume, std::slice::from_ref(&change)).await;
            model.apply(&change, ME, &GRAIN);
        }
        assert_eq!(DurableLog::open(&volume, ME, GRAIN).await.unwrap().fields(), model);
    });
}
