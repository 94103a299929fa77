//! Compare and write against every other writer of the block, on many cores.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use dataplane::{
    engine::{Drive, DriveOptions, EngineError, FormatOptions, Volume},
    node::TornPolicy,
    rt::{Buf, disk::SimMedia, sim::Sim},
};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const SECTOR: usize = 512;
const CORES: usize = 4;

async fn sector(content: u64) -> Buf {
    let mut buf = Buf::alloc(SECTOR).await;
    for word in buf.chunks_exact_mut(8) {
        word.copy_from_slice(&content.to_le_bytes());
    }
    buf
}

async fn read(volume: &Volume, offset: u64) -> u64 {
    let (buf, result) = volume.read(offset, Buf::alloc(SECTOR).await).await;
    result.expect("readable");
    assert!(buf.chunks_exact(8).all(|word| word == &buf[..8]), "half a write");
    u64::from_le_bytes(buf[..8].try_into().expect("eight bytes"))
}

async fn make(atomic_bytes: u32) -> Volume {
    let media = SimMedia::new(64 * MIB, 512, atomic_bytes, true);
    Drive::format(&media.disk(), FormatOptions::default()).await.expect("blank");
    let torn = (atomic_bytes < 4096).then_some(TornPolicy::TornSafe);
    let options = DriveOptions { write_through: None, torn, map_memory_bytes: MIB, fault: None };
    let drive = Drive::open(media.disk(), options).await.expect("formatted");
    drive.create_volume(Uuid::from_u128(1), MIB, 512, 0).await.expect("there is room")
}

/// Adds one to a counter until `turns` of its own succeeded.
async fn count_up(volume: &Volume, offset: u64, turns: u64) {
    let mut done = 0;
    while done < turns {
        let seen = read(volume, offset).await;
        let expected = sector(seen).await;
        let next = sector(seen + 1).await;
        let written = volume.compare_and_write(offset, &expected, next, done % 8 == 0).await.1;
        done += u64::from(written.expect("nothing stands against it"));
    }
}

/// Writes and trims of other sectors in the same blocks, which the counters must not notice.
async fn disturb(volume: &Volume, turns: u64) {
    for turn in 0..turns {
        let (_, written) = volume.write(1024 + turn % 2 * 4096, sector(turn).await, false).await;
        written.expect("there is room");
        volume.write_zeroes(1536, 512, false, false).await.expect("nothing stands against it");
    }
}

/// Two counters in two blocks; every core counts both up, others write beside them. No increment is lost.
#[test]
fn increments_from_all_cores_are_all_counted() {
    const TURNS: u64 = 25;
    for seed in 0..12 {
        let sim = Sim::new(seed, CORES);
        let shared: Arc<Mutex<Option<Volume>>> = Arc::default();
        let atomic_bytes = if seed % 3 == 2 { 512 } else { 4096 };
        let maker = shared.clone();
        sim.spawn_on(0, move || async move {
            let volume = make(atomic_bytes).await;
            *maker.lock().expect("nobody panicked") = Some(volume);
        });
        let volume = || shared.lock().expect("nobody panicked").clone();
        assert!(sim.run_until(|| volume().is_some()), "the volume was not made");
        let volume = volume().expect("made above");
        let ended = Arc::new(AtomicUsize::new(0));
        for core in 0..CORES {
            for offset in [512, 4096] {
                let (volume, ended) = (volume.clone(), ended.clone());
                sim.spawn_on(core, move || async move {
                    count_up(&volume, offset, TURNS).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
            let (volume, ended) = (volume.clone(), ended.clone());
            sim.spawn_on(core, move || async move {
                disturb(&volume, TURNS).await;
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        let all = || ended.load(Ordering::SeqCst) == 3 * CORES;
        assert!(sim.run_until(all), "somebody hangs with seed {seed}");
        let sum = Arc::new(AtomicU64::new(u64::MAX));
        let found = sum.clone();
        sim.spawn_on(0, move || async move {
            let both = (read(&volume, 512).await, read(&volume, 4096).await);
            assert_eq!(both, (CORES as u64 * TURNS, CORES as u64 * TURNS), "seed {seed}");
            found.store(both.0 + both.1, Ordering::SeqCst);
        });
        assert!(sim.run_until(|| sum.load(Ordering::SeqCst) != u64::MAX));
    }
}

#[test]
fn what_is_not_one_block_is_refused_and_changes_nothing() {
    let sim = Sim::new(1, 1);
    let ended = Arc::new(AtomicUsize::new(0));
    let done = ended.clone();
    sim.spawn_on(0, move || async move {
        let volume = make(4096).await;
        let zeros = vec![0; 2 * SECTOR];
        let over_a_border = volume.compare_and_write(3584, &zeros, Buf::zeroed(2 * SECTOR).await, false);
        assert!(matches!(over_a_border.await.1, Err(EngineError::Invalid(_))));
        let unequal = volume.compare_and_write(0, &zeros, Buf::zeroed(SECTOR).await, false).await.1;
        assert!(matches!(unequal, Err(EngineError::Invalid(_))));
        let behind = volume.compare_and_write(MIB, &zeros[..SECTOR], sector(1).await, false).await.1;
        assert_eq!(behind, Err(EngineError::OutOfRange));
        let differs = volume.compare_and_write(0, &[1; SECTOR], sector(1).await, false).await.1;
        assert_eq!(differs, Ok(false));
        assert_eq!(read(&volume, 0).await, 0);
        let equal = volume.compare_and_write(0, &zeros[..SECTOR], sector(1).await, true).await.1;
        assert_eq!((equal, read(&volume, 0).await), (Ok(true), 1));
        done.store(1, Ordering::SeqCst);
    });
    assert!(sim.run_until(|| ended.load(Ordering::SeqCst) == 1), "it hangs");
}
