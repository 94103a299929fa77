//! SMART counters: of a subsystem, whoever its hosts are, over their coming and going and over restarts.

use dataplane::{
    host::{HostController, HostOptions, Payload},
    node::{BlockSize, DriveConfig, DriveMedium, NodeUsage},
};
use nvmeof::{
    Status,
    host::sqe,
    wire::{log_page::Smart, opcode::LogPageId},
};
use zerocopy::FromBytes;

use crate::support::{Bench, MIB};

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
