//! A drive that is emptied under its hosts.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
    mpsc,
};

use dataplane::{
    host::{HostController, Payload},
    node::{BlockSize, DriveConfig, DriveMedium, DriveState, NodeError, NodeObject, SnapshotSpec},
    rt::CoreId,
};
use nvmeof::{Status, host::sqe};
use uuid::Uuid;

use crate::{
    commands::filled,
    support::{Bench, MIB, options},
};

const BLOCKS: u32 = 64;

/// What the host has done, and whether it shall stop.
#[derive(Default)]
struct Progress {
    rounds: AtomicU64,
    stop: AtomicBool,
}

/// Writes every block, flushes, and reads every block, again and again.
fn host_at_work(bench: &Bench) -> (Arc<Progress>, mpsc::Receiver<()>) {
    let progress = Arc::new(Progress::default());
    let (answer, wait) = mpsc::channel();
    let (shared, options) = (progress.clone(), options(bench.node.portals()[0]));
    bench.host.handle().spawn_on(CoreId(0), move || async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        for round in 1.. {
            let byte = |lba: u32| (round + u64::from(lba)) as u8;
            for lba in 0..BLOCKS {
                let data = Payload::Out(filled(4096, byte(lba)).await);
                let written =
                    queue.command(sqe::write(1, u64::from(lba) * 16, 1, false), data).await.unwrap();
                assert_eq!(written.status(), Status::SUCCESS);
            }
            let flushed = queue.command(sqe::flush(1), Payload::None).await.unwrap();
            assert_eq!(flushed.status(), Status::SUCCESS);
            for lba in 0..BLOCKS {
                let read =
                    queue.command(sqe::read(1, u64::from(lba) * 16, 1), Payload::In(4096)).await.unwrap();
                assert_eq!(read.status(), Status::SUCCESS);
                assert!(
                    read.data.unwrap().iter().all(|found| *found == byte(lba)),
                    "round {round}, block {lba}"
                );
            }
            shared.rounds.store(round, Ordering::Relaxed);
            if shared.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        answer.send(()).unwrap();
    });
    (progress, wait)
}

fn another(name: &str, size_bytes: u64) -> DriveConfig {
    DriveConfig { size_bytes: Some(size_bytes), ..DriveConfig::new(DriveMedium::Memory(name.to_owned())) }
}

#[test]
fn a_host_goes_on_while_its_drive_is_emptied() {
    let bench = Bench::new(2, BlockSize::B4096);
    let first = bench.wait(bench.node.drives()).remove(0).uuid;
    let (progress, ended) = host_at_work(&bench);
    let worked = |rounds: u64| {
        let until = progress.rounds.load(Ordering::Relaxed) + rounds;
        while progress.rounds.load(Ordering::Relaxed) < until {
            assert!(ended.try_recv() == Err(mpsc::TryRecvError::Empty), "the host failed");
            std::thread::yield_now();
        }
    };
    worked(1);
    let snapshot = SnapshotSpec { volume: bench.volume, snapshot: Uuid::new_v4() };
    bench.wait(bench.node.create_snapshots(vec![snapshot])).unwrap();
    worked(1);
    let second = bench.wait(bench.node.add_drive(another("second", 256 * MIB))).unwrap().uuid;
    bench.wait(bench.node.prepare_evacuation(first)).unwrap();
    let drives = bench.wait(bench.node.drives());
    assert_eq!((&drives[0].state, &drives[1].state), (&DriveState::Evacuating, &DriveState::Online));
    let twice = bench.wait(bench.node.prepare_evacuation(first));
    assert!(matches!(twice, Err(NodeError::InUse(NodeObject::Drive))), "{twice:?}");
    bench.wait(bench.node.evacuate_drive(first)).unwrap();
    bench.wait(bench.node.remove_drive(first)).unwrap();
    worked(2);

    let volume = bench.wait(bench.node.volume(bench.volume)).unwrap();
    let taken = bench.wait(bench.node.snapshot(snapshot.snapshot)).unwrap();
    assert_eq!([volume.parts[0].drive, taken.parts[0].drive], [second; 2]);
    let report = bench.wait(bench.node.check_drive(second)).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    progress.stop.store(true, Ordering::Relaxed);
    ended.recv().unwrap();
}

#[test]
fn a_drive_that_cannot_be_emptied_serves_on() {
    let bench = Bench::new(2, BlockSize::B4096);
    let first = bench.wait(bench.node.drives()).remove(0).uuid;
    let alone = bench.wait(bench.node.prepare_evacuation(first));
    assert!(matches!(alone, Err(NodeError::NoFreeSpace { available_bytes: 0, .. })), "{alone:?}");
    let (progress, ended) = host_at_work(&bench);
    while progress.rounds.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    // All of the volume is promised, and that is more than the other drive has.
    bench.wait(bench.node.expand_volume(bench.volume, 64 * MIB, 64 * MIB, &[])).unwrap();
    bench.wait(bench.node.add_drive(another("small", 64 * MIB))).unwrap();
    let refused = bench.wait(bench.node.prepare_evacuation(first));
    assert!(matches!(refused, Err(NodeError::NoFreeSpace { needed_bytes, .. }) if needed_bytes == 64 * MIB));
    let drive = bench.wait(bench.node.drives()).remove(0);
    assert_eq!((drive.state, drive.evacuation), (DriveState::Online, None));
    bench.wait(bench.node.expand_volume(bench.volume, 128 * MIB, 64 * MIB, &[first])).unwrap();
    progress.stop.store(true, Ordering::Relaxed);
    ended.recv().unwrap();
}
