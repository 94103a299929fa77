//! What the engine adds to a read and to an overwrite: look-ups in the map of a volume on a memory drive, on one
//! core of the real runtime. 4 KiB at random, so that every access takes another leaf of the map.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use dataplane::{
    engine::{Drive, DriveOptions, FormatOptions, Volume},
    rt::{self, Buf, CoreId, Disk, Runtime},
};
use uuid::Uuid;

const BLOCK_BYTES: u64 = 4096;
/// 64 leaves of the map.
const VOLUME_BYTES: u64 = 2 << 30;
const DRIVE_BYTES: u64 = 4 << 30;

#[derive(Clone, Copy)]
enum Access {
    /// A block that was never written: the map alone, and zeros.
    ReadAbsent,
    /// A block that is there: the map, and memory.
    ReadPresent,
    /// In place: the map, a claim, and memory.
    Overwrite,
}

/// Two volumes on one memory drive: one empty, one whose every extent has a block.
async fn volumes() -> (Volume, Volume) {
    let disk = Disk::memory(DRIVE_BYTES).expect("memory is there");
    Drive::format(&disk, FormatOptions::default()).await.expect("fresh memory is blank");
    let options = DriveOptions { write_through: None, torn: None, map_memory_bytes: 64 << 20, fault: None };
    let drive = Drive::open(disk, options).await.expect("just formatted");
    let create = async |uuid| {
        let volume = drive.create_volume(Uuid::from_u128(uuid), VOLUME_BYTES, 4096, 0).await;
        volume.expect("there is room for both")
    };
    let (empty, full) = (create(1).await, create(2).await);
    for extent in 0..VOLUME_BYTES >> 16 {
        let buf = Buf::zeroed(BLOCK_BYTES as usize).await;
        full.write(extent << 16, buf, false).await.1.expect("the drive is large enough");
    }
    (empty, full)
}

/// The first block of every extent is present in the full volume.
async fn run(volume: Volume, access: Access, count: u64) -> Duration {
    let mut buf = Buf::zeroed(BLOCK_BYTES as usize).await;
    let extents = VOLUME_BYTES >> 16;
    let begin = rt::now();
    for turn in 0..count {
        // An odd stride walks through all extents, far apart.
        let offset = (turn * 40_503 % extents) << 16;
        let (back, result) = match access {
            Access::ReadAbsent | Access::ReadPresent => volume.read(offset, buf).await,
            Access::Overwrite => volume.write(offset, buf, false).await,
        };
        result.expect("the drive works");
        buf = back;
    }
    rt::now().since(begin)
}

/// Runs a future on the core and waits for its answer on this thread.
fn on_core<T, F>(runtime: &Runtime, make: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (tell, told) = std::sync::mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || {
        let answer = make();
        async move { tell.send(answer.await).expect("this thread waits") }
    });
    told.recv().expect("the core runs")
}

fn look_ups(criterion: &mut Criterion) {
    let runtime = Runtime::start(1).expect("io_uring is there");
    let (empty, full) = on_core(&runtime, volumes);
    let mut group = criterion.benchmark_group("map");
    for (name, access) in [
        ("read absent 4k", Access::ReadAbsent),
        ("read present 4k", Access::ReadPresent),
        ("overwrite 4k", Access::Overwrite),
    ] {
        let volume = if matches!(access, Access::ReadAbsent) { &empty } else { &full };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let volume = volume.clone();
                on_core(&runtime, move || run(volume, access, count))
            });
        });
    }
    group.finish();
}

criterion_group!(map, look_ups);
criterion_main!(map);
