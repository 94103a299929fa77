//! Addresses and hosts that take more than their part: they are refused or wait, and others go on.

use std::net::{SocketAddr, TcpStream};

use nvmeof::{
    Status,
    host::sqe,
    transport::{HostTransfer, ICRequest},
};

use super::{
    HOST, NQN, Node,
    host::{ENTRIES, bring_up, io_queue},
    on_core_0,
    soak::options,
};
use crate::{
    host::{HostController, Payload},
    limits,
    rt::{self, Buf, CoreId, Runtime},
};

/// Connections from another loopback address than the tests' own host has; they say nothing.
fn silent_from(source: [u8; 4], address: SocketAddr, count: usize) -> Vec<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let connected = |_| {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&fd, &SocketAddr::from((source, 0))).unwrap();
        connect(&fd, &address).unwrap();
        TcpStream::from(fd)
    };
    (0..count).map(connected).collect()
}

#[test]
fn a_flood_of_silent_connections_from_one_address_keeps_no_other_out() {
    let node = Node::start(2);
    let flood = silent_from([127, 0, 0, 2], node.target.portals()[0], 4 * limits::HANDSHAKES_PER_ADDRESS);
    let shared = node.target.0.clone();
    node.run(|address| async move {
        while shared.handshakes.in_all() < limits::HANDSHAKES_PER_ADDRESS {
            rt::yield_now().await;
        }
        // The listener takes connections in their order, so this one comes behind all of the flood.
        let (_admin, cntlid) = bring_up(address, ICRequest::default(), NQN, HOST).await.unwrap();
        io_queue(address, ICRequest::default(), cntlid, 1, true).await.unwrap();
        assert!(shared.handshakes.in_all() >= limits::HANDSHAKES_PER_ADDRESS, "and the flood is still there");
    });
    // Those beyond the limit were dropped, the others may still speak.
    drop(flood);
    let shared = node.target.0.clone();
    node.run(|_| async move {
        while shared.handshakes.in_all() > 0 {
            rt::yield_now().await;
        }
    });
}

#[test]
fn an_address_has_so_many_connections_and_no_more() {
    let node = Node::configured(2, |config| config.connections_per_address = 3);
    node.run(|address| async move {
        let request = ICRequest::default();
        let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let first = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let _second = io_queue(address, request, cntlid, 2, true).await.unwrap();
        let refused = io_queue(address, request, cntlid, 3, true).await.err();
        assert_eq!(refused, Some(Status::CONNECT_CONTROLLER_BUSY));
        assert_eq!(bring_up(address, request, NQN, HOST).await.err(), Some(Status::CONNECT_CONTROLLER_BUSY));
        drop(first);
        // It takes a moment until the target has seen that.
        while io_queue(address, request, cntlid, 3, true).await.is_err() {
            rt::yield_now().await;
        }
    });
}

const OTHER: &str = "nqn.2026-11.io.basalt:other";
/// Stream buffers of a few queues, and what the engine has under way.
const BESIDES_BYTES: usize = 4 << 20;
const PIECE_BYTES: u32 = 256 << 10;

/// How a host fills the target's memory.
#[derive(Debug, Clone, Copy)]
enum Greed {
    /// It reads, and takes no answers.
    TakesNothing,
    /// It writes, and sends no data.
    GivesNothing,
}

/// Memory in use on the target's only core.
async fn in_use_bytes(target: &rt::RuntimeHandle) -> usize {
    target.call_on(CoreId(0), || async { rt::in_use().buffer_bytes }).await.unwrap()
}

fn one_host_takes_its_part(greed: Greed, part_bytes: usize) {
    let node = Node::start(1);
    node.admit(&[HOST, OTHER]);
    let (address, target) = (node.target.portals()[0], node.runtime.handle());
    let hosts = Runtime::start(1).unwrap();
    on_core_0(&hosts, move || async move {
        let request = ICRequest::default();
        let mut queues = Vec::new();
        for _ in 0..5 {
            let (admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
            queues.push(admin);
            for qid in 1..=4 {
                queues.push(io_queue(address, request, cntlid, qid, true).await.unwrap());
            }
        }
        let before = in_use_bytes(&target).await;
        let io_queues = queues.chunks_mut(5).flat_map(|controller| &mut controller[1..]);
        for queue in io_queues {
            // 320 MiB, more than a core has, were nothing in the sockets.
            for _ in 1..ENTRIES {
                let (sqe, transfer) = match greed {
                    Greed::TakesNothing => (sqe::read(1, 0, 512), HostTransfer::In(PIECE_BYTES)),
                    Greed::GivesNothing => (sqe::write(1, 0, 512, false), HostTransfer::Out(PIECE_BYTES)),
                };
                queue.begin(sqe, transfer, &[]).await.unwrap();
            }
        }
        while in_use_bytes(&target).await < before + part_bytes - PIECE_BYTES as usize {
            rt::yield_now().await;
        }
        let controller = HostController::connect(options(address, OTHER)).await.unwrap();
        let queue = controller.io_queue(1, 16).await.unwrap();
        for _ in 0..100 {
            let data = Buf::zeroed(PIECE_BYTES as usize).await;
            let written = queue.command(sqe::write(1, 512, 512, false), Payload::Out(data)).await.unwrap();
            assert_eq!(written.status(), Status::SUCCESS);
            let read = queue.command(sqe::read(1, 512, 512), Payload::In(PIECE_BYTES)).await.unwrap();
            assert_eq!(read.status(), Status::SUCCESS);
            let more = in_use_bytes(&target).await - before;
            assert!(more <= part_bytes + BESIDES_BYTES, "{more} bytes are in use by {greed:?}");
        }
    });
}

#[test]
fn a_host_that_takes_no_answers_leaves_memory_to_others() {
    one_host_takes_its_part(Greed::TakesNothing, limits::ANSWER_BYTES_PER_HOST);
}

#[test]
fn a_host_that_gives_no_data_leaves_memory_to_others() {
    one_host_takes_its_part(Greed::GivesNothing, limits::SOLICITED_BYTES_PER_HOST);
}
