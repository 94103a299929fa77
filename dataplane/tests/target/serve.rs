//! What a well-behaved host asks for, and what it may not have.

use std::{sync::mpsc, time::Duration};

use crate::{
    commands::filled,
    support::{Bench, HOST, MIB, SUBSYSTEM, options},
};
use dataplane::{
    host::{HostController, HostError, HostOptions, HostQueue, Payload},
    node::{BlockSize, NodeError},
    rt::{Buf, CoreId},
};
use nvmeof::{
    Nqn, Status,
    host::{BringUpError, sqe},
    transport::ICRequest,
    wire::{
        log_page::SUBTYPE_NVM,
        opcode::{Cns, LogPageId},
    },
};
use uuid::Uuid;

async fn write(queue: &HostQueue, lba: u64, blocks: u32, block_bytes: usize, byte: u8) -> Status {
    let data = filled(blocks as usize * block_bytes, byte).await;
    queue.command(sqe::write(1, lba, blocks, false), Payload::Out(data)).await.unwrap().status()
}

async fn read(queue: &HostQueue, lba: u64, blocks: u32, block_bytes: usize) -> (Status, Buf) {
    let answer =
        queue.command(sqe::read(1, lba, blocks), Payload::In(blocks * block_bytes as u32)).await.unwrap();
    assert!(answer.intact);
    (answer.status(), answer.data.unwrap())
}

#[test]
fn what_is_written_is_read_back_with_every_digest_and_size() {
    for (block_size, cores) in [(BlockSize::B4096, 1), (BlockSize::B512, 2)] {
        let bench = Bench::new(cores, block_size);
        let block_bytes = block_size.bytes() as usize;
        bench.host(move |options| async move {
            for (header_digest, data_digest) in [(false, false), (true, false), (false, true), (true, true)] {
                for hpda_z in [0, 31] {
                    let digests = ICRequest { header_digest, data_digest, hpda_z };
                    let controller =
                        HostController::connect(HostOptions { digests, ..options.clone() }).await.unwrap();
                    let queue = controller.io_queue(1, 32).await.unwrap();
                    for (round, bytes) in [4096usize, 8192, 12_288, 65_536, 262_144].into_iter().enumerate() {
                        let blocks = (bytes / block_bytes) as u32;
                        let byte = round as u8 + 1;
                        assert_eq!(write(&queue, 3, blocks, block_bytes, byte).await, Status::SUCCESS);
                        let (status, data) = read(&queue, 3, blocks, block_bytes).await;
                        assert_eq!(status, Status::SUCCESS);
                        assert!(data.iter().all(|&b| b == byte), "{bytes} bytes");
                    }
                    let flushed = queue.command(sqe::flush(1), Payload::None).await.unwrap();
                    assert_eq!(flushed.status(), Status::SUCCESS);
                }
            }
        });
    }
}

#[test]
fn many_commands_of_several_queues_are_in_flight_at_once() {
    let bench = Bench::new(2, BlockSize::B4096);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let done = std::rc::Rc::new(std::cell::Cell::new(0));
        for qid in 1..=controller.io_queues() {
            let queue = controller.io_queue(qid, 128).await.unwrap();
            for task in 0..64u64 {
                let (queue, done) = (queue.clone(), done.clone());
                dataplane::rt::spawn(async move {
                    let lba = (u64::from(qid) * 64 + task) * 16;
                    for round in 0..20u8 {
                        assert_eq!(write(&queue, lba, 16, 4096, round).await, Status::SUCCESS);
                        let (status, data) = read(&queue, lba, 16, 4096).await;
                        assert_eq!(status, Status::SUCCESS);
                        assert!(data.iter().all(|&b| b == round));
                    }
                    done.set(done.get() + 1);
                });
            }
        }
        let all = u64::from(controller.io_queues()) * 64;
        while done.get() < all {
            dataplane::rt::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn more_announced_data_than_the_memory_for_it_still_gets_through() {
    let bench = Bench::new(1, BlockSize::B4096);
    bench.host(|options| async move {
        let controller = HostController::connect(HostOptions { io_queues: 8, ..options }).await.unwrap();
        let done = std::rc::Rc::new(std::cell::Cell::new(0));
        for qid in 1..=8 {
            let queue = controller.io_queue(qid, 128).await.unwrap();
            for task in 0..100u64 {
                let (queue, done) = (queue.clone(), done.clone());
                dataplane::rt::spawn(async move {
                    // Large ones ask for memory first, small ones in capsules need some meanwhile.
                    let blocks = if task % 4 == 0 { 1 } else { 64 };
                    assert_eq!(write(&queue, task * 64, blocks, 4096, 1).await, Status::SUCCESS);
                    done.set(done.get() + 1);
                });
            }
        }
        while done.get() < 800 {
            dataplane::rt::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_trimmed_and_a_zeroed_block_read_as_zeros() {
    let bench = Bench::new(1, BlockSize::B4096);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        assert_eq!(write(&queue, 0, 32, 4096, 9).await, Status::SUCCESS);
        let mut ranges = Buf::zeroed(32).await;
        ranges[..16].copy_from_slice(&sqe::dsm_range(0, 8));
        ranges[16..].copy_from_slice(&sqe::dsm_range(10, 1));
        let trimmed = queue.command(sqe::deallocate(1, 2), Payload::Out(ranges)).await.unwrap();
        assert_eq!(trimmed.status(), Status::SUCCESS);
        let zeroed = queue.command(sqe::write_zeroes(1, 20, 4, true), Payload::None).await.unwrap();
        assert_eq!(zeroed.status(), Status::SUCCESS);
        let (_, data) = read(&queue, 0, 32, 4096).await;
        for (block, bytes) in data.chunks(4096).enumerate() {
            let gone = block < 8 || block == 10 || (20..24).contains(&block);
            assert!(bytes.iter().all(|&b| b == if gone { 0 } else { 9 }), "block {block}");
        }
    });
}

#[test]
fn what_a_host_may_not_do_is_refused_with_the_right_status() {
    let bench = Bench::new(1, BlockSize::B4096);
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        let last = 64 * MIB / 4096;
        assert_eq!(read(&queue, last, 1, 4096).await.0.code(), Status::LBA_OUT_OF_RANGE.code());
        assert_eq!(write(&queue, last - 1, 2, 4096, 1).await.code(), Status::LBA_OUT_OF_RANGE.code());
        assert_eq!(read(&queue, u64::MAX, 1, 4096).await.0.code(), Status::LBA_OUT_OF_RANGE.code());
        let wrong_length = queue.command(sqe::read(1, 0, 2), Payload::In(4096)).await.unwrap();
        assert_eq!(wrong_length.status().code(), Status::DATA_SGL_LENGTH_INVALID.code());
        let unknown = queue.command(nvmeof::wire::Sqe::new(0xC1), Payload::None).await.unwrap();
        assert_eq!(unknown.status().code(), Status::INVALID_OPCODE.code());
        let mut elsewhere = sqe::read(1, 0, 1);
        elsewhere.nsid = 7.into();
        let elsewhere = queue.command(elsewhere, Payload::In(4096)).await.unwrap();
        assert_eq!(elsewhere.status().code(), Status::INVALID_NAMESPACE_OR_FORMAT.code());
        let again = controller.io_queue(1, 32).await.unwrap_err();
        assert!(matches!(again, HostError::QueueRefused { status, .. } if status == Status::COMMAND_SEQUENCE_ERROR));
        assert_eq!(write(&queue, 0, 1, 4096, 1).await, Status::SUCCESS, "the queue still works");
    });
}

#[test]
fn a_host_that_is_not_allowed_sees_nothing_and_gets_nowhere() {
    let bench = Bench::new(1, BlockSize::B4096);
    bench.host(|options| async move {
        let stranger = HostOptions { host: Nqn::new("nqn.2014-08.org.example:stranger").unwrap(), ..options };
        let refused = HostController::connect(stranger.clone()).await.unwrap_err();
        let HostError::BringUp(BringUpError::Refused { status, .. }) = refused else { panic!("{refused}") };
        assert_eq!(status, Status::CONNECT_INVALID_HOST);
        assert_eq!(discovered(&stranger).await, Vec::<String>::new());
        let friend = HostOptions { host: Nqn::new(HOST).unwrap(), ..stranger };
        assert_eq!(discovered(&friend).await, [SUBSYSTEM]);
        let lost = HostOptions { subsystem: Nqn::new("nqn.2026-11.io.basalt:none").unwrap(), ..friend };
        let refused = HostController::connect(lost).await.unwrap_err();
        assert!(matches!(refused, HostError::BringUp(BringUpError::Refused { status, .. })
            if status == Status::CONNECT_INVALID_PARAMETERS));
    });
}

/// NQNs of storage in the discovery log as a host sees it.
async fn discovered(options: &HostOptions) -> Vec<String> {
    let subsystem = Nqn::new(Nqn::DISCOVERY).unwrap();
    let controller =
        HostController::connect(HostOptions { subsystem, io_queues: 0, ..options.clone() }).await;
    let controller = controller.unwrap();
    let page = sqe::get_log_page(LogPageId::DISCOVERY, 0, 4096);
    let answer = controller.admin().command(page, Payload::In(4096)).await.unwrap();
    let log = answer.data.unwrap();
    let records = u64::from_le_bytes(log[8..16].try_into().unwrap()) as usize;
    let records = log[1024..].chunks_exact(1024).take(records);
    records
        .filter(|record| record[2] == SUBTYPE_NVM)
        .map(|record| Nqn::parse(record[256..512].try_into().unwrap()).unwrap().as_str().to_owned())
        .collect()
}

#[test]
fn what_is_unpublished_goes_away_under_a_connected_host_and_comes_back() {
    let bench = Bench::new(2, BlockSize::B4096);
    let (go, wait) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let address = bench.node.portals()[0];
    bench.host.handle().spawn_on(CoreId(0), move || async move {
        let controller = HostController::connect(options(address)).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        for expected in [Status::SUCCESS, Status::INVALID_NAMESPACE_OR_FORMAT, Status::SUCCESS] {
            assert_eq!(write(&queue, 0, 1, 4096, 1).await.code(), expected.code());
            tell.send(()).unwrap();
            while wait.try_recv().is_err() {
                dataplane::rt::sleep(Duration::from_millis(1)).await;
            }
        }
        drop(queue);
        tell.send(()).unwrap();
    });
    let next = || told.recv_timeout(Duration::from_secs(60)).expect("the host goes on");
    next();
    bench.wait(bench.node.remove_subsystem(SUBSYSTEM));
    assert!(bench.wait(bench.node.subsystems()).is_empty());
    assert_eq!(bench.wait(bench.node.controllers()).len(), 1, "it stays connected");
    go.send(()).unwrap();
    next();
    bench.export(&[HOST], &[(1, bench.volume)]).unwrap();
    go.send(()).unwrap();
    next();
    go.send(()).unwrap();
    next();
}

#[test]
fn identify_tells_what_the_volume_is() {
    let bench = Bench::new(1, BlockSize::B512);
    let uuid = bench.volume;
    bench.host(move |options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let identify = sqe::identify(Cns::NAMESPACE, 1);
        let data = controller.admin().command(identify, Payload::In(4096)).await.unwrap().data.unwrap();
        assert_eq!(u64::from_le_bytes(data[..8].try_into().unwrap()), 64 * MIB / 512);
        assert_eq!(&data[104..120], uuid.as_bytes(), "NGUID");
        let controller_data = sqe::identify(Cns::CONTROLLER, 0);
        let data =
            controller.admin().command(controller_data, Payload::In(4096)).await.unwrap().data.unwrap();
        assert_eq!(&data[24..30], b"Basalt");
        assert_eq!(data[525] & 1, 1, "a volatile write cache, so that hosts send Flush");
    });
}

#[test]
fn specifications_that_cannot_be_exported_are_refused_and_change_nothing() {
    let bench = Bench::new(1, BlockSize::B4096);
    let before = bench.wait(bench.node.subsystems());
    let unknown = Uuid::new_v4();
    assert!(matches!(bench.export(&[HOST], &[(1, unknown)]), Err(NodeError::NotFound(_))));
    assert!(matches!(bench.export(&[HOST], &[(0, bench.volume)]), Err(NodeError::Invalid(_))));
    assert!(matches!(bench.export(&[HOST], &[(1025, bench.volume)]), Err(NodeError::Invalid(_))));
    assert!(matches!(bench.export(&["host"], &[(1, bench.volume)]), Err(NodeError::Invalid(_))));
    assert!(matches!(
        bench.export(&[HOST], &[(1, bench.volume), (1, bench.volume)]),
        Err(NodeError::Invalid(_))
    ));
    assert_eq!(bench.wait(bench.node.subsystems()), before);
    assert!(matches!(bench.wait(bench.node.delete_volume(bench.volume)), Err(NodeError::InUse(_))));
}

#[test]
fn an_early_host_waits_for_its_subsystem() {
    let bench = Bench::closed(1);
    let options = options(bench.node.portals()[0]);
    let (answer, wait) = mpsc::channel();
    bench.host.handle().spawn_on(CoreId(0), move || async move {
        answer.send(HostController::connect(options).await.map(drop)).unwrap();
    });
    bench.create_and_export(BlockSize::B4096);
    assert!(wait.try_recv().is_err(), "nobody is let in before the portals open");
    bench.node.open_portals();
    let connected = wait.recv_timeout(Duration::from_secs(60)).expect("it is let in then");
    assert!(connected.is_ok(), "{connected:?}");
}
