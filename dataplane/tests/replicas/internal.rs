//! The subsystem between nodes: who may connect to it, and what it takes.

use std::net::SocketAddr;

use dataplane::host::{HostController, HostError, HostOptions, Payload};
use nvmeof::{
    Nqn, Status,
    auth::{Credentials, HashFunction, Secret},
    command::{ReplicaBlocks, ReplicaTag},
    host::sqe,
    transport::ICRequest,
    wire::replica::Zeroing,
};
use uuid::Uuid;

use crate::{
    cluster::{HOST, SUBSYSTEM, TestCluster},
    host::{block, buf, run},
};

const TAG: ReplicaTag = ReplicaTag { incarnation: 1, session: 1, command: 1 };
const RANGE: ReplicaBlocks = ReplicaBlocks { lba: 0, blocks: 1 };

fn options(address: SocketAddr, subsystem: &str, host: &str) -> HostOptions {
    HostOptions {
        address,
        subsystem: Nqn::new(subsystem).unwrap(),
        host: Nqn::new(host).unwrap(),
        host_id: Uuid::from_u128(9),
        digests: ICRequest::default(),
        kato_ms: 0,
        io_queues: 1,
        credentials: None,
        tls: None,
    }
}

const REPLICAS_OF_0: &str = "nqn.2026-11.io.basalt:replicas:0";
const NODE_1: &str = "nqn.2026-11.io.basalt:node:1";

#[test]
fn only_nodes_connect_and_only_with_commands_of_nodes() {
    let cluster = TestCluster::new(2, 2, 2);
    cluster.wait_for(&[0, 1]);
    let address = cluster.portals()[0];
    run(cluster.portals(), move |_| async move {
        let stranger = HostController::connect(options(address, REPLICAS_OF_0, HOST)).await;
        assert!(matches!(stranger, Err(HostError::BringUp(_))), "{stranger:?}");
        let node = HostController::connect(options(address, REPLICAS_OF_0, NODE_1)).await.unwrap();
        let queue = node.io_queue(1, 8).await.unwrap();
        let page = || buf(&[7; 4096]);
        let table = [
            (sqe::read(7, 0, 1), Payload::In(4096), Status::INVALID_OPCODE),
            (sqe::write(7, 0, 1, false), Payload::Out(page().await), Status::INVALID_OPCODE),
            (sqe::replica_send(7), Payload::Out(page().await), Status::INVALID_FIELD),
            (sqe::replica_send(8), Payload::Out(page().await), Status::INVALID_NAMESPACE_OR_FORMAT),
            (sqe::replica_flush(8, TAG), Payload::None, Status::INVALID_NAMESPACE_OR_FORMAT),
            // Nobody obeys who has not fenced first.
            (sqe::replica_flush(7, TAG), Payload::None, Status::REPLICA_REFUSED),
            (sqe::replica_fetch(7, TAG, RANGE), Payload::In(4096), Status::REPLICA_REFUSED),
            (sqe::replica_write(7, TAG, RANGE), Payload::Out(page().await), Status::REPLICA_REFUSED),
            (
                sqe::replica_write_zeroes(7, TAG, RANGE, Zeroing::ZEROES),
                Payload::None,
                Status::REPLICA_REFUSED,
            ),
            (
                sqe::replica_write(7, TAG, ReplicaBlocks { lba: u64::MAX, blocks: 1 }),
                Payload::Out(page().await),
                Status::LBA_OUT_OF_RANGE,
            ),
            (
                sqe::replica_write(7, TAG, ReplicaBlocks { lba: 0, blocks: 2 }),
                Payload::Out(page().await),
                Status::DATA_SGL_LENGTH_INVALID,
            ),
        ];
        for (sqe, payload, status) in table {
            assert_eq!(queue.command(sqe, payload).await.unwrap().status(), status, "{sqe:?}");
        }
        let host = HostController::connect(options(address, SUBSYSTEM, HOST)).await.unwrap();
        let queue = host.io_queue(1, 8).await.unwrap();
        let answer = queue.command(sqe::replica_flush(1, TAG), Payload::None).await.unwrap();
        assert_eq!(answer.status(), Status::INVALID_OPCODE);
    });
}

fn secret(byte: u8) -> Secret {
    Secret::generate(HashFunction::Sha256, |bytes| bytes.fill(byte + 1))
}

#[test]
fn nodes_prove_who_they_are_and_a_name_alone_opens_nothing() {
    let cluster = TestCluster::with_secrets(2, secret);
    cluster.wait_for(&[0, 1]);
    let address = cluster.portals()[0];
    run(cluster.portals(), move |mut host| async move {
        host.write(5, &block(5, 1)).await;
        let bare = HostController::connect(options(address, REPLICAS_OF_0, NODE_1)).await;
        assert!(matches!(bare, Err(HostError::NoSecret)), "{bare:?}");
        let wrong = Credentials { host: secret(9), controller: None };
        let wrong = HostOptions { credentials: Some(wrong), ..options(address, REPLICAS_OF_0, NODE_1) };
        assert!(HostController::connect(wrong).await.is_err());
    });
}
