//! As many queue pairs and namespaces as a large site has.

use std::{cell::Cell, rc::Rc, time::Duration};

use dataplane::{
    host::{HostController, HostOptions, Payload},
    node::{BlockSize, VolumeSpec},
};
use nvmeof::{
    Status,
    host::sqe,
    limits::IO_QUEUES_MAX,
    wire::opcode::{Cns, LogPageId},
};
use uuid::Uuid;

use crate::{
    commands::filled,
    support::{Bench, HOST, MIB},
};

#[test]
fn a_thousand_queue_pairs_are_served_side_by_side() {
    const CONTROLLERS: u16 = 8;
    // With the admin queues a thousand.
    const IO_QUEUES: u16 = 124;
    let bench = Bench::new(2, BlockSize::B4096);
    bench.host(|options| async move {
        let mut controllers = Vec::new();
        let done = Rc::new(Cell::new(0));
        for index in 0..CONTROLLERS {
            let options = HostOptions { io_queues: IO_QUEUES, ..options.clone() };
            let controller = HostController::connect(options).await.unwrap();
            assert_eq!(controller.io_queues(), IO_QUEUES);
            for qid in 1..=IO_QUEUES {
                let (queue, done) = (controller.io_queue(qid, 8).await.unwrap(), done.clone());
                dataplane::rt::spawn(async move {
                    let lba = u64::from(index * IO_QUEUES + qid);
                    let write = sqe::write(1, lba, 1, false);
                    let data = filled(4096, lba as u8).await;
                    let written = queue.command(write, Payload::Out(data)).await.unwrap();
                    assert_eq!(written.status(), Status::SUCCESS);
                    let read = queue.command(sqe::read(1, lba, 1), Payload::In(4096)).await.unwrap();
                    assert!(read.data.unwrap().iter().all(|&byte| byte == lba as u8));
                    done.set(done.get() + 1);
                    // It stays connected while the others come.
                    while done.get() < CONTROLLERS * IO_QUEUES {
                        dataplane::rt::sleep(Duration::from_millis(5)).await;
                    }
                });
            }
            controllers.push(controller);
        }
        while done.get() < CONTROLLERS * IO_QUEUES {
            dataplane::rt::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_host_may_have_128_io_queues_and_no_more() {
    let bench = Bench::new(1, BlockSize::B4096);
    bench.host(|options| async move {
        let options = HostOptions { io_queues: IO_QUEUES_MAX, ..options };
        let controller = HostController::connect(options).await.unwrap();
        assert_eq!(controller.io_queues(), 128);
        let last = controller.io_queue(128, 8).await.unwrap();
        assert_eq!(last.command(sqe::flush(1), Payload::None).await.unwrap().status(), Status::SUCCESS);
        assert!(controller.io_queue(129, 8).await.is_err());
    });
}

#[test]
fn a_thousand_namespaces_are_listed_and_each_is_its_own() {
    const NAMESPACES: u32 = 1000;
    let bench = Bench::new(2, BlockSize::B4096);
    let volumes: Vec<(u32, Uuid)> = (1..=NAMESPACES).map(|nsid| (nsid, Uuid::new_v4())).collect();
    for &(_, uuid) in &volumes {
        let block_size = BlockSize::B4096;
        let spec = VolumeSpec { uuid, size_bytes: MIB, block_size, reserved_bytes: 0, drives: Vec::new() };
        bench.wait(bench.node.create_volume(spec)).unwrap();
    }
    bench.export(&[HOST], &volumes).unwrap();
    bench.host(|options| async move {
        let controller = HostController::connect(options).await.unwrap();
        let list = sqe::identify(Cns::ACTIVE_NAMESPACES, 0);
        let list = controller.admin().command(list, Payload::In(4096)).await.unwrap().data.unwrap();
        let nsids: Vec<u32> =
            list.chunks(4).map(|nsid| u32::from_le_bytes(nsid.try_into().unwrap())).collect();
        assert_eq!(nsids[..1000], (1..=NAMESPACES).collect::<Vec<_>>());
        assert_eq!(nsids[1000..], [0; 24]);
        let ana = sqe::get_log_page(LogPageId::ANA, 0, 16 + NAMESPACES * 36);
        let ana = controller.admin().command(ana, Payload::In(16 + NAMESPACES * 36)).await.unwrap();
        assert_eq!(ana.data.unwrap()[8..10], 1000_u16.to_le_bytes());

        let queue = controller.io_queue(1, 32).await.unwrap();
        for nsid in 1..=NAMESPACES {
            let data = filled(4096, nsid as u8).await;
            let written = queue.command(sqe::write(nsid, 0, 1, false), Payload::Out(data)).await.unwrap();
            assert_eq!(written.status(), Status::SUCCESS, "{nsid}");
        }
        for nsid in 1..=NAMESPACES {
            let read = queue.command(sqe::read(nsid, 0, 1), Payload::In(4096)).await.unwrap();
            assert!(read.data.unwrap().iter().all(|&byte| byte == nsid as u8), "{nsid}");
        }
    });
}
