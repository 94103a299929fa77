//! One seed: a medium that lives through several machines, each of which ends in a crash.

use std::time::Duration;

use dataplane::{
    engine::{DriveOptions, Fault},
    node::TornPolicy,
    rt::{
        self,
        disk::SimMedia,
        sim::{Sim, SimRng},
    },
};
use uuid::Uuid;

use crate::{
    actor::{Actor, Clearing},
    model::{Model, Shared, World, lock},
    recovery::{self, Opening},
    reference::{BLOCK, Crash},
    space,
};

/// How the test cheats on itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tampering {
    pub(crate) no_flush: bool,
    pub(crate) fault: Option<Fault>,
    /// Trusts a drive that tears blocks not to.
    pub(crate) trust_torn: bool,
}

/// Bytes behind each spot that operations touch.
const AREA: u64 = 256 << 10;
/// Simulated time of a step: a merge rests, and the manager looks around, in a few hundred of them.
const STEP_MAX: Duration = Duration::from_micros(50);
const VOLUMES_MAX: usize = 6;
const SNAPSHOTS_MAX: usize = 6;
const DRIVE_MAX_BYTES: u64 = 56 << 20;

pub(crate) fn run_seed(seed: u64, tampering: Tampering) {
    let mut rng = SimRng::new(seed);
    let (media, opening) = prepare(&mut rng, tampering);
    let world = World::new(Model::new(rng.clone()));
    let mut crash = None;
    let rounds = 2 + rng.below(4);
    for round in 0..=rounds {
        let cores = 1 + rng.below(3) as usize;
        let sim = Sim::with_step_time(rng.next_u64(), cores, STEP_MAX);
        start_machine(&sim, &world, &media, opening, crash);
        assert!(sim.run_until(|| lock(&world).drive.is_some()), "the drive did not open");
        if round == rounds {
            lock(&world).stopping = true;
            assert!(sim.run_until(|| lock(&world).finished), "the drive did not close");
            break;
        }
        for worker in 0..cores * (1 + rng.below(4) as usize) {
            let actor = Actor::new(&world);
            lock(&world).working += 1;
            sim.spawn_on(worker % cores, move || work(actor));
        }
        sim.run_steps(rng.below(12_000));
        if rng.below(4) == 0 {
            // A quiet end now and then: everything that was asked for is answered.
            lock(&world).stopping = true;
            assert!(sim.run_until(|| lock(&world).working == 0), "operations hang");
        }
        lock(&world).crashed();
        sim.crash();
        crash = Some(Crash::random(&media, &mut rng));
    }
}

/// A blank medium and how it will be opened.
fn prepare(rng: &mut SimRng, tampering: Tampering) -> (SimMedia, Opening) {
    let pick = rng.below(3) as usize;
    let pick = if tampering.trust_torn { 0 } else { pick };
    let (block, atomic) = [(512, 512), (512, 4096), (4096, 4096)][pick];
    let volatile = rng.below(5) > 0;
    let media = SimMedia::new((16 + rng.below(32)) << 20, block, atomic, volatile);
    media.no_flush(tampering.no_flush);
    let options = DriveOptions {
        write_through: [None, Some(true), Some(false)][rng.below(3) as usize],
        torn: match rng.below(3) {
            _ if atomic >= 4096 => None,
            _ if tampering.trust_torn => Some(TornPolicy::Assume4kAtomic),
            0 => None,
            1 => Some(TornPolicy::Assume4kAtomic),
            _ => Some(TornPolicy::TornSafe),
        },
        map_memory_bytes: (32 + rng.below(24)) * 4096,
        fault: tampering.fault,
    };
    // With mere trust in a drive that tears, blocks do tear.
    let whole_blocks = options.torn != Some(TornPolicy::Assume4kAtomic) || tampering.trust_torn;
    (media, Opening { options, whole_blocks })
}

/// Opens the drive (formats it at first) and manages its volumes until the machine shall stop.
fn start_machine(sim: &Sim, world: &Shared, media: &SimMedia, opening: Opening, crash: Option<Crash>) {
    let (world, media) = (world.clone(), media.clone());
    sim.spawn_on(0, move || async move {
        recovery::open(&world, &media, opening, crash).await;
        let actor = Actor::new(&world);
        manage(&actor).await;
        // Volumes come and go while the others work.
        while !lock(&world).stopping {
            rt::sleep(Duration::from_millis(1)).await;
            let now_and_then = lock(&world).model.rng.below(8) == 0;
            if now_and_then {
                manage(&actor).await;
            }
        }
        if lock(&world).working == 0 {
            space::delete_everything(&actor).await;
            let drive = lock(&world).drive.clone().expect("it was opened above");
            recovery::check(&drive).await;
            drive.close().await.expect("a sound drive closes");
            lock(&world).finished = true;
        }
    });
}

/// Creates, expands, copies or deletes something, or makes the drive larger.
async fn manage(actor: &Actor) {
    let (volumes, snapshots, pick, any, writable, snapshot) = {
        let world = &mut *lock(&actor.world);
        let (volumes, snapshots) = (world.handles.len(), world.snapshots.len());
        let pick = world.model.rng.below(14);
        (volumes, snapshots, pick, world.pick_volume(), world.pick_writable(), world.pick_snapshot())
    };
    let (Some(any), Some(writable)) = (any, writable) else { return create(actor).await };
    match (pick, snapshot) {
        (0, _) if volumes < VOLUMES_MAX => create(actor).await,
        (1, _) if volumes > 1 => actor.delete(any).await,
        (2, _) => actor.expand(writable, 1 << 20).await,
        (3 | 4, _) if snapshots < SNAPSHOTS_MAX => {
            actor.snapshot(&[writable]).await;
        }
        (5, _) if snapshots < SNAPSHOTS_MAX => {
            let group = lock(&actor.world).writable_volumes();
            actor.snapshot(&group).await;
        }
        (6, _) if volumes < VOLUMES_MAX => {
            let more = lock(&actor.world).model.rng.below(2) << 20;
            actor.clone_volume(writable, more, 0).await;
        }
        (7, Some(snapshot)) if volumes < VOLUMES_MAX => {
            let more = lock(&actor.world).model.rng.below(2) << 20;
            actor.snapshot_volume(snapshot, true, more, 1 << 20).await;
        }
        (8, Some(snapshot)) if volumes < VOLUMES_MAX => {
            actor.snapshot_volume(snapshot, false, 0, 0).await;
        }
        (9 | 10, Some(snapshot)) => actor.delete_snapshot(snapshot).await,
        (11, Some(snapshot)) => actor.ask_unique(snapshot).await,
        (12, _) => actor.grow(1 << 20, DRIVE_MAX_BYTES).await,
        (13, _) => {
            let len = lock(&actor.world).model.rng.below(200) as usize;
            actor.attach(any, 1 + len as u8, len).await;
        }
        _ => {}
    }
}

async fn create(actor: &Actor) {
    let (size, block, reserved, spots) = {
        let rng = &mut lock(&actor.world).model.rng;
        let block = [512, 4096][rng.below(2) as usize];
        // Large ones are sparse: more map pages than there are frames.
        let large = rng.below(3) == 0;
        let size = if large { 3 << 30 } else { (1 + rng.below(8)) << 20 };
        let reserved = if large { 0 } else { rng.below(3) * size / 2 };
        let count = if large { 48 } else { 4 };
        let spots = (0..count).map(|_| rng.below((size - AREA) / BLOCK + 1) * BLOCK).collect();
        (size, block, reserved, spots)
    };
    actor.create(size, block, reserved, spots).await;
}

/// One host queue: operation after operation.
async fn work(actor: Actor) {
    while !lock(&actor.world).stopping {
        let volume = lock(&actor.world).pick_volume();
        match volume {
            Some(volume) => operate(&actor, volume).await,
            None => rt::sleep(Duration::from_millis(1)).await,
        }
    }
    lock(&actor.world).working -= 1;
}

async fn operate(actor: &Actor, volume: Uuid) {
    let (pick, one_in_four) = {
        let rng = &mut lock(&actor.world).model.rng;
        (rng.below(100), rng.below(4) == 0)
    };
    match pick {
        0..50 => {
            // Mostly small and overlapping, sometimes over several extents.
            let max_bytes = if pick < 7 { 192 << 10 } else { 16 << 10 };
            let (offset, len) = range(actor, volume, max_bytes);
            actor.write(volume, offset, len, one_in_four).await;
        }
        50..55 => {
            let (offset, len) = range(actor, volume, 12 << 10);
            actor.mark(volume, offset, len, one_in_four).await;
        }
        55..75 => {
            let (offset, len) = range(actor, volume, 64 << 10);
            actor.read(volume, offset, len).await;
        }
        75..90 => {
            let (offset, len) = range(actor, volume, 128 << 10);
            let how = if pick < 83 { Clearing::Deallocate } else { Clearing::WriteZeroes };
            actor.clear(volume, offset, len, one_in_four, how).await;
        }
        _ => actor.flush(volume).await,
    }
}

/// A random range on the volume's blocks: offset and length in bytes.
fn range(actor: &Actor, volume: Uuid, max_bytes: u64) -> (u64, u64) {
    let model = &mut lock(&actor.world).model;
    let known = &model.volumes[&volume];
    let unit = u64::from(known.block_bytes);
    let pick = model.rng.below(known.spots.len() as u64) as usize;
    let len = (1 + model.rng.below(max_bytes / unit)) * unit;
    let offset = known.spots[pick] + model.rng.below((AREA - max_bytes) / unit) * unit;
    (offset, len)
}
