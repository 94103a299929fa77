//! One seed: a medium that lives through several machines, each of which ends in a crash.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dataplane::{
    engine::{self, Drive, DriveOptions, EngineError, Fault, FormatOptions, Volume},
    node::{TornPolicy, VolumeState},
    rt::{
        Buf,
        disk::SimMedia,
        sim::{Sim, SimRng},
    },
};
use uuid::Uuid;

use crate::reference::{BLOCK, Crash, Moment, ReferenceVolume, SECTOR, Value, fill, value_of};

/// How the test cheats on itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tampering {
    pub(crate) no_flush: bool,
    pub(crate) fault: Option<Fault>,
    /// Trusts a drive that tears blocks not to.
    pub(crate) trust_torn: bool,
}

/// What is known of a volume.
#[derive(Debug)]
struct Known {
    uuid: Uuid,
    block_bytes: u32,
    /// Sizes that it may have: two while an expansion is under way.
    sizes: Vec<u64>,
    /// Creation or deletion under way at a crash leaves it open.
    may_be_missing: bool,
    must_be_missing: bool,
    reference: ReferenceVolume,
    /// Where writes go: starts of small areas, far apart on large volumes.
    spots: Vec<u64>,
}

#[derive(Debug)]
struct World {
    rng: SimRng,
    now: Moment,
    next_value: Value,
    /// Beginnings of the reads under way.
    reads: BTreeSet<Moment>,
    known: Vec<Known>,
    /// This machine's handle of each known volume.
    handles: Vec<Option<Volume>>,
    ready: bool,
    stopping: bool,
    working: usize,
    finished: bool,
}

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

const AREA: u64 = 256 << 10;

pub(crate) fn run_seed(seed: u64, tampering: Tampering) {
    let mut rng = SimRng::new(seed);
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
        map_memory_bytes: (8 + rng.below(24)) * 4096,
        fault: tampering.fault,
    };
    let write_through = options.write_through.unwrap_or(!volatile);
    // With mere trust in a drive that tears, blocks do tear.
    let whole_blocks = options.torn != Some(TornPolicy::Assume4kAtomic) || tampering.trust_torn;
    let world: Shared = Arc::new(Mutex::new(World {
        rng: rng.clone(),
        now: 1,
        next_value: 1,
        reads: BTreeSet::new(),
        known: Vec::new(),
        handles: Vec::new(),
        ready: false,
        stopping: false,
        working: 0,
        finished: false,
    }));
    let mut crash = None;
    let rounds = 2 + rng.below(4);
    for round in 0..=rounds {
        let cores = 1 + rng.below(3) as usize;
        let sim = Sim::new(rng.next_u64(), cores);
        let last = round == rounds;
        start_machine(&sim, &world, &media, options, crash, (write_through, whole_blocks));
        let up = sim.run_until(|| lock(&world).ready);
        assert!(up, "the drive did not open");
        if last {
            lock(&world).stopping = true;
            close_machine(&sim, &world);
            break;
        }
        for worker in 0..cores * (1 + rng.below(4) as usize) {
            let world = world.clone();
            lock(&world).working += 1;
            sim.spawn_on(worker % cores, move || work(world, write_through));
        }
        sim.run_steps(rng.below(12_000));
        if rng.below(4) == 0 {
            // A quiet end now and then: everything that was asked for is answered.
            lock(&world).stopping = true;
            let quiet = sim.run_until(|| lock(&world).working == 0);
            assert!(quiet, "operations hang");
        }
        let mut world = lock(&world);
        (world.ready, world.stopping, world.working) = (false, false, 0);
        world.handles.clear();
        world.reads.clear();
        drop(world);
        sim.crash();
        crash = Some(if rng.below(2) == 0 {
            media.process_died(&mut rng);
            Crash::ProcessDied
        } else {
            media.power_cut(&mut rng);
            Crash::PowerCut
        });
    }
}

/// Opens the drive (formats it at first), compares it with the model, checks it and hands its volumes out.
fn start_machine(
    sim: &Sim,
    world: &Shared,
    media: &SimMedia,
    options: DriveOptions,
    crash: Option<Crash>,
    (write_through, whole_blocks): (bool, bool),
) {
    let (world, media) = (world.clone(), media.clone());
    sim.spawn_on(0, move || async move {
        let disk = media.disk();
        if crash.is_none() {
            Drive::format(&disk, FormatOptions::default()).await.expect("a blank medium");
        }
        let drive = Drive::open(disk, options).await.expect("a drive that crashed is sound");
        check(&drive).await;
        if let Some(crash) = crash {
            compare(&world, &drive, crash, whole_blocks).await;
        }
        {
            let mut world = lock(&world);
            world.handles = (0..world.known.len()).map(|_| None).collect();
            let volumes = drive.volumes();
            for index in 0..world.known.len() {
                let uuid = world.known[index].uuid;
                let found = volumes.iter().find(|v| v.uuid() == uuid && v.state() == VolumeState::Online);
                world.handles[index] = found.cloned();
            }
        }
        manage(&world, &drive, write_through).await;
        let shared = world.clone();
        lock(&world).ready = true;
        // Volumes come and go while the others work.
        loop {
            let stop = lock(&shared).stopping;
            if stop {
                break;
            }
            dataplane::rt::sleep(std::time::Duration::from_millis(1)).await;
            let now_and_then = lock(&shared).rng.below(8) == 0;
            if now_and_then {
                manage(&shared, &drive, write_through).await;
            }
        }
        if lock(&world).working == 0 {
            check(&drive).await;
            drive.close().await.expect("a sound drive closes");
            lock(&world).finished = true;
        }
    });
}

/// Ends the last machine in order, and sees that the drive opens again.
fn close_machine(sim: &Sim, world: &Shared) {
    let closed = sim.run_until(|| lock(world).finished);
    assert!(closed, "the drive did not close");
}

/// The checker wants quiet: deleted volumes give their extents back first.
async fn check(drive: &Drive) {
    while drive.volumes().iter().any(|volume| volume.state() == VolumeState::Deleting) {
        dataplane::rt::sleep(std::time::Duration::from_millis(1)).await;
    }
    let report = engine::check(drive).await.expect("every page is readable");
    assert!(report.problems.is_empty(), "{report:#?}");
}

/// Every sector that was ever touched must hold what the rules allow after that crash.
async fn compare(world: &Shared, drive: &Drive, crash: Crash, whole_blocks: bool) {
    let volumes = drive.volumes();
    let count = lock(world).known.len();
    let mut kept = Vec::new();
    for index in 0..count {
        let (uuid, touched) = {
            let mut world = lock(world);
            world.now += 2;
            let known = &world.known[index];
            (known.uuid, known.reference.touched())
        };
        let found = volumes.iter().find(|v| v.uuid() == uuid && v.state() != VolumeState::Deleting);
        let Some(volume) = found else {
            assert!(lock(world).known[index].may_be_missing, "volume {uuid} is gone");
            continue;
        };
        {
            let mut world = lock(world);
            let known = &mut world.known[index];
            assert!(!known.must_be_missing, "volume {uuid} was deleted");
            assert_eq!(volume.state(), VolumeState::Online);
            assert!(
                known.sizes.contains(&volume.size_bytes()),
                "{} of {:?}",
                volume.size_bytes(),
                known.sizes
            );
            known.sizes = vec![volume.size_bytes()];
            known.may_be_missing = false;
        }
        let mut previous = None;
        for sector in touched {
            let value = read_sector(volume, sector).await;
            // E8: the blocks of a 4096-byte volume are never torn.
            let continues = sector % 8 != 0 && volume.block_bytes() == 4096 && whole_blocks;
            assert!(!continues || value == previous, "{uuid} has a torn block at sector {sector}");
            previous = value;
            let mut world = lock(world);
            let now = world.now;
            let reference = &mut world.known[index].reference;
            let before = reference.clone_history(sector);
            let possible = value.is_some_and(|value| reference.settle(sector, value, crash, now));
            assert!(possible, "{uuid} sector {sector} holds {value:?} after {crash:?}: {before:?}");
        }
        kept.push(index);
    }
    let mut world = lock(world);
    let mut index = 0;
    world.known.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}

async fn read_sector(volume: &Volume, sector: u64) -> Option<Value> {
    let block = u64::from(volume.block_bytes());
    let offset = sector * SECTOR / block * block;
    let (buf, result) = volume.read(offset, Buf::alloc(block as usize).await).await;
    result.expect("readable");
    let at = (sector * SECTOR - offset) as usize;
    value_of(&buf[at..at + SECTOR as usize], sector)
}

/// Creates, expands or deletes a volume.
async fn manage(world: &Shared, drive: &Drive, _write_through: bool) {
    let (count, pick) = {
        let mut world = lock(world);
        let live = world.handles.iter().flatten().count();
        (live, world.rng.below(6))
    };
    match pick {
        _ if count == 0 => create(world, drive).await,
        0 if count < 4 => create(world, drive).await,
        1 if count > 1 => delete(world, drive).await,
        2 | 3 => expand(world, drive).await,
        _ => {}
    }
}

async fn create(world: &Shared, drive: &Drive) {
    let (index, uuid, block, size, reserved) = {
        let mut world = lock(world);
        let uuid = Uuid::from_u64_pair(world.rng.next_u64(), world.rng.next_u64());
        let block = [512, 4096][world.rng.below(2) as usize];
        // Large ones are sparse: more map pages than there are frames.
        let large = world.rng.below(3) == 0;
        let size = if large { 3 << 30 } else { (1 + world.rng.below(8)) << 20 };
        let reserved = if large { 0 } else { world.rng.below(3) * size / 2 };
        let spots = (0..if large { 48 } else { 4 })
            .map(|_| world.rng.below((size - AREA) / BLOCK + 1) * BLOCK)
            .collect();
        world.known.push(Known {
            uuid,
            block_bytes: block,
            sizes: vec![size],
            may_be_missing: true,
            must_be_missing: false,
            reference: ReferenceVolume::default(),
            spots,
        });
        world.handles.push(None);
        (world.known.len() - 1, uuid, block, size, reserved)
    };
    match drive.create_volume(uuid, size, block, reserved).await {
        Ok(volume) => {
            let mut world = lock(world);
            world.known[index].may_be_missing = false;
            world.handles[index] = Some(volume);
        }
        // Not created: a crash must not create it either.
        Err(EngineError::NoFreeSpace { .. } | EngineError::Invalid(_)) => {
            lock(world).known[index].must_be_missing = true;
        }
        Err(error) => panic!("create: {error}"),
    }
}

async fn delete(world: &Shared, drive: &Drive) {
    let Some((index, volume)) = pick_volume(world) else { return };
    {
        let mut world = lock(world);
        world.handles[index] = None;
        world.known[index].may_be_missing = true;
    }
    drive.delete_volume(&volume).await.expect("nothing stands against it");
    lock(world).known[index].must_be_missing = true;
}

async fn expand(world: &Shared, drive: &Drive) {
    let Some((index, volume)) = pick_volume(world) else { return };
    let size = volume.size_bytes() + (1 << 20);
    lock(world).known[index].sizes.push(size);
    match drive.expand_volume(&volume, size, volume.reserved_bytes()).await {
        Ok(()) => {
            assert_eq!(volume.size_bytes(), size);
            lock(world).known[index].sizes = vec![size];
        }
        Err(error) => panic!("expand: {error}"),
    }
}

fn pick_volume(world: &Shared) -> Option<(usize, Volume)> {
    let mut world = lock(world);
    let live: Vec<usize> = (0..world.handles.len()).filter(|&i| world.handles[i].is_some()).collect();
    if live.is_empty() {
        return None;
    }
    let pick = world.rng.below(live.len() as u64) as usize;
    let index = live[pick];
    world.handles[index].clone().map(|volume| (index, volume))
}

/// One host queue: operation after operation.
async fn work(world: Shared, write_through: bool) {
    while !lock(&world).stopping {
        let Some((index, volume)) = pick_volume(&world) else {
            dataplane::rt::sleep(std::time::Duration::from_millis(1)).await;
            continue;
        };
        let pick = lock(&world).rng.below(100);
        match pick {
            0..55 => write(&world, index, &volume, write_through).await,
            55..75 => read(&world, index, &volume).await,
            75..83 => clear(&world, index, &volume, write_through, true).await,
            83..90 => clear(&world, index, &volume, write_through, false).await,
            _ => flush(&world, index, &volume).await,
        }
    }
    lock(&world).working -= 1;
}

/// A random range on the volume's blocks: offset and length in bytes.
fn range(world: &mut World, index: usize, max_bytes: u64) -> (u64, u64) {
    let known = &world.known[index];
    let unit = u64::from(known.block_bytes);
    let spots = known.spots.clone();
    let pick = world.rng.below(spots.len() as u64) as usize;
    let len = (1 + world.rng.below(max_bytes / unit)) * unit;
    let offset = spots[pick] + world.rng.below((AREA - max_bytes) / unit) * unit;
    (offset, len)
}

fn sectors(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / SECTOR..(offset + len) / SECTOR
}

async fn write(world: &Shared, index: usize, volume: &Volume, write_through: bool) {
    let (offset, len, value, fua, began) = {
        let mut world = lock(world);
        // Mostly small and overlapping, sometimes over several extents.
        let max = if world.rng.below(8) == 0 { 192 << 10 } else { 16 << 10 };
        let (offset, len) = range(&mut world, index, max);
        let value = world.next_value;
        world.next_value += 1;
        world.now += 1;
        let began = world.now;
        world.known[index].reference.begin(sectors(offset, len), value, began);
        (offset, len, value, world.rng.below(6) == 0, began)
    };
    let mut buf = Buf::alloc(len as usize).await;
    fill(&mut buf, offset / SECTOR, value);
    let (_, result) = volume.write(offset, buf, fua).await;
    let mut world = lock(world);
    world.now += 1;
    let now = world.now;
    let reading_since = world.reads.first().copied().unwrap_or(now);
    match result {
        Ok(()) => {
            world.known[index].reference.end(
                sectors(offset, len),
                began,
                now,
                fua || write_through,
                reading_since,
            );
        }
        Err(EngineError::CapacityExceeded | EngineError::Offline) => {}
        Err(error) => panic!("write: {error}"),
    }
}

async fn read(world: &Shared, index: usize, volume: &Volume) {
    let (offset, len, began) = {
        let mut world = lock(world);
        let (offset, len) = range(&mut world, index, 64 << 10);
        world.now += 1;
        let began = world.now;
        world.reads.insert(began);
        (offset, len, began)
    };
    let (buf, result) = volume.read(offset, Buf::alloc(len as usize).await).await;
    lock(world).reads.remove(&began);
    match result {
        Ok(()) => {}
        Err(EngineError::Offline) => return,
        Err(error) => panic!("read: {error}"),
    }
    let mut world = lock(world);
    world.now += 1;
    let now = world.now;
    let reference = &mut world.known[index].reference;
    for (sector, bytes) in sectors(offset, len).zip(buf.chunks_exact(SECTOR as usize)) {
        let value = value_of(bytes, sector);
        let allowed = value.is_some_and(|value| reference.may_read(sector, value, began, now));
        let uuid = volume.uuid();
        assert!(
            allowed,
            "a read of {uuid} sector {sector} sees {value:?}: {:?}",
            reference.clone_history(sector)
        );
    }
}

/// Write Zeroes, or Deallocate, which leaves partly covered 4 KiB blocks alone.
async fn clear(world: &Shared, index: usize, volume: &Volume, write_through: bool, deallocate: bool) {
    let (offset, len, cleared, fua, began) = {
        let mut world = lock(world);
        let (offset, len) = range(&mut world, index, 128 << 10);
        let cleared = if deallocate {
            let start = offset.next_multiple_of(BLOCK);
            sectors(start, ((offset + len) / BLOCK * BLOCK).saturating_sub(start))
        } else {
            sectors(offset, len)
        };
        world.now += 1;
        let began = world.now;
        world.known[index].reference.begin(cleared.clone(), 0, began);
        (offset, len, cleared, world.rng.below(4) == 0, began)
    };
    let result = if deallocate {
        volume.deallocate(offset, len).await
    } else {
        volume.write_zeroes(offset, len, true, fua).await
    };
    let mut world = lock(world);
    world.now += 1;
    let now = world.now;
    let reading_since = world.reads.first().copied().unwrap_or(now);
    match result {
        Ok(()) => {
            let durable = write_through || (fua && !deallocate);
            world.known[index].reference.end(cleared, began, now, durable, reading_since);
        }
        Err(EngineError::CapacityExceeded | EngineError::Offline) => {}
        Err(error) => panic!("clear: {error}"),
    }
}

async fn flush(world: &Shared, index: usize, volume: &Volume) {
    let began = {
        let mut world = lock(world);
        world.now += 1;
        world.now
    };
    match volume.flush().await {
        Ok(()) => lock(world).known[index].reference.flushed(began),
        Err(EngineError::Offline) => {}
        Err(error) => panic!("flush: {error}"),
    }
}
