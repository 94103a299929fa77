//! Addresses that take more than their part: they are refused, and others are not.

use std::net::{SocketAddr, TcpStream};

use nvmeof::{Status, transport::ICRequest};

use super::{
    HOST, NQN, Node,
    host::{bring_up, io_queue},
};
use crate::{limits, rt};

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
