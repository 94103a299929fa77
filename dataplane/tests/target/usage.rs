//! Counters of what hosts did: of a subsystem, over their coming and going and over restarts, as SMART data tells them;
//! and of each volume.

use dataplane::{
    host::{HostController, HostOptions, Payload},
    node::{BlockSize, DriveConfig, DriveMedium, Latencies, Node, NodeUsage, RateLimits, SnapshotSpec},
    rt::{Buf, yield_now},
};
use nvmeof::{
    Status,
    host::sqe,
    wire::{log_page::Smart, opcode::LogPageId},
};
use uuid::Uuid;
use zerocopy::FromBytes;

use crate::support::{Bench, MIB, begin};

/// Reads twice, fails once, and gives the SMART log.
async fn work(options: HostOptions) -> Smart {
    let controller = HostController::connect(options).await.unwrap();
    let queue = controller.io_queue(1, 32).await.unwrap();
    for lba in [0, 1] {
        let answer = queue.command(sqe::read(1, lba, 2), Payload::In(1024)).await.unwrap();
        assert_eq!(answer.status(), Status::SUCCESS);
    }
    let beyond = queue.command(sqe::read(1, 1 << 40, 1), Payload::In(512)).await.unwrap();
    assert_eq!(beyond.status(), Status::LBA_OUT_OF_RANGE);
    let log = sqe::get_log_page(LogPageId::SMART, 0, 512);
    let answer = controller.admin().command(log, Payload::In(512)).await.unwrap();
    Smart::read_from_bytes(&answer.data.unwrap()[..512]).unwrap()
}

/// Power cycles, unsafe shutdowns, host reads, entries of the error log.
fn counters(smart: &Smart) -> [u128; 4] {
    [smart.power_cycles, smart.unsafe_shutdowns, smart.host_reads, smart.error_log_entries]
        .map(u128::from_le_bytes)
}

#[test]
fn smart_counts_on_over_reconnects_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let drive = DriveConfig {
        size_bytes: Some(256 * MIB),
        ..DriveConfig::new(DriveMedium::Path(directory.path().join("drive")))
    };
    let mut bench = Bench::on_drives(2, vec![drive.clone()]);
    bench.node.restore_usage(NodeUsage { starts: 1, ..NodeUsage::default() });
    bench.create_and_export(BlockSize::B512);
    bench.node.open_portals();
    for sessions in [1, 2] {
        assert_eq!(counters(&bench.host(work)), [1, 0, 2 * sessions, sessions]);
    }

    let past = bench.wait(bench.node.usage());
    bench = bench.restart(drive);
    bench.node.restore_usage(NodeUsage { starts: 2, unclean_starts: 1, ..past });
    bench.export(&[crate::support::HOST], &[(1, bench.volume)]).unwrap();
    bench.node.open_portals();
    let smart = bench.host(work);
    assert_eq!(counters(&smart), [2, 1, 6, 3]);
    assert_eq!((smart.critical_warning, smart.available_spare), (0, 100));
    assert_eq!(u128::from_le_bytes(smart.data_units_read), 1, "a few KiB are one started unit");
}

/// The sum lies between what the buckets leave possible.
fn assert_sum(latencies: &Latencies) {
    let bounds = Latencies::bounds_nanos();
    let below: u64 = latencies.buckets.iter().skip(1).zip(bounds).map(|(count, bound)| count * bound).sum();
    assert!(latencies.sum_nanos >= below, "{latencies:?}");
    let above: u64 = latencies.buckets.iter().zip(bounds).map(|(count, bound)| count * bound).sum();
    assert!(latencies.buckets[bounds.len()] > 0 || latencies.sum_nanos <= above, "{latencies:?}");
}

#[test]
fn each_volume_counts_its_commands_by_how_long_they_took_and_those_under_way() {
    let bench = Bench::new(2, BlockSize::B4096);
    let (node, volume) = (bench.node.clone(), bench.volume);
    assert!(bench.wait(node.usage()).volumes.is_empty(), "nobody has done anything");
    bench.host(move |options| async move {
        let controller = HostController::connect(options).await.unwrap();
        // On both cores.
        let queues = [controller.io_queue(1, 32).await.unwrap(), controller.io_queue(2, 32).await.unwrap()];
        for (queue, rounds) in queues.iter().zip([7, 4]) {
            for lba in 0..rounds {
                let data = Payload::Out(Buf::alloc(4096).await);
                let answer = queue.command(sqe::write(1, lba, 1, false), data).await.unwrap();
                assert_eq!(answer.status(), Status::SUCCESS);
                queue.command(sqe::read(1, lba, 1), Payload::In(4096)).await.unwrap();
            }
            queue.command(sqe::flush(1), Payload::None).await.unwrap();
        }
        let io = node.usage().await.volumes[&volume];
        assert_eq!((io.reads.count(), io.writes.count(), io.under_way), (11, 11, 0));
        assert_eq!((io.bytes_read, io.bytes_written), (11 * 4096, 11 * 4096));
        assert_sum(&io.reads);
        assert_sum(&io.writes);

        // What waits for its volume's limit is under way.
        node.set_limits(volume, RateLimits { max_iops: 1, ..RateLimits::default() }).await.unwrap();
        let read = |lba| begin(&queues[0], sqe::read(1, lba, 1), Payload::In(4096));
        let answers: Vec<_> = (0..20).map(read).collect();
        loop {
            let io = node.usage().await.volumes[&volume];
            if io.reads.count() + io.under_way == 11 + 20 {
                assert!(io.under_way > 10, "{io:?}");
                break;
            }
            yield_now().await;
        }
        node.set_limits(volume, RateLimits::default()).await.unwrap();
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), Status::SUCCESS);
        }
        let io = node.usage().await.volumes[&volume];
        assert_eq!((io.reads.count(), io.writes.count(), io.under_way), (31, 11, 0));
        assert_sum(&io.reads);
    });
}

#[test]
fn a_drive_tells_what_its_journal_its_map_and_its_merges_do() {
    let bench = Bench::new(1, BlockSize::B4096);
    let (node, volume) = (bench.node.clone(), bench.volume);
    let activity = |node: &Node| *bench.wait(node.usage()).drives.values().next().unwrap();
    let before = activity(&node);
    assert!(before.journal_used_bytes < before.journal_bytes, "{before:?}");
    assert_eq!((before.map_memory_bytes, before.merged_extents), (8 << 20, 0));
    let write = || {
        bench.host(|options| async move {
            let controller = HostController::connect(options).await.unwrap();
            let queue = controller.io_queue(1, 8).await.unwrap();
            let data = Payload::Out(Buf::alloc(4096).await);
            let answer = queue.command(sqe::write(1, 0, 1, false), data).await.unwrap();
            assert_eq!(answer.status(), Status::SUCCESS);
        });
    };
    write();
    let written = activity(&node);
    assert!(written.journal_groups > before.journal_groups, "{written:?}");
    assert!(written.map_resident_bytes > 0 && written.map_resident_bytes <= written.map_memory_bytes);
    let snapshot = Uuid::new_v4();
    bench.wait(node.create_snapshots(vec![SnapshotSpec { volume, snapshot }])).unwrap();
    write();
    bench.wait(node.delete_snapshot(snapshot)).unwrap();
    while activity(&node).merged_extents == 0 {
        std::thread::yield_now();
    }
}
