//! Hosts that have a secret and do something else than prove it.

use std::{net::SocketAddr, time::Duration};

use nvmeof::{
    Nqn, Status,
    auth::{Credentials, DhGroup, HashFunction, Requirement, Secret},
    host::sqe,
    transport::{HostTransfer, ICRequest},
    wire::{
        Sqe,
        connect::{AUTHENTICATION_REQUIRED, CNTLID_DYNAMIC},
        opcode::Cns,
        property::{ControllerConfiguration, Property},
    },
};
use uuid::Uuid;
use zerocopy::IntoBytes;

use super::{
    HOST, NQN, Node,
    host::{ENTRIES, HostQueue, bring_up, io_queue},
};

pub(super) fn secret(byte: u8) -> Secret {
    Secret::generate(HashFunction::Sha256, |key| key.fill(byte))
}

fn require(node: &Node, group: DhGroup) {
    let credentials = Credentials { host: secret(1), controller: None };
    let requirement = Requirement { credentials, hash: HashFunction::Sha256, group };
    node.target.set_requirements(vec![(HOST.to_owned(), requirement)]);
}

/// An admin queue whose Connect was answered with the demand to authenticate.
pub(super) async fn connect(address: SocketAddr, host: &str) -> (HostQueue, u16) {
    let mut admin = HostQueue::open(address, ICRequest::default()).await.unwrap();
    let (host, subsystem) = (Nqn::new(host).unwrap(), Nqn::new(NQN).unwrap());
    let data = sqe::connect_data(&host, Uuid::from_u128(1), &subsystem, CNTLID_DYNAMIC);
    let connect = sqe::connect(0, ENTRIES, 0, true);
    let (cqe, _) = admin.command(connect, HostTransfer::InCapsule(1024), data.as_bytes()).await.unwrap();
    assert_eq!(cqe.status(), Status::SUCCESS);
    assert_ne!(cqe.result.get() & u64::from(AUTHENTICATION_REQUIRED), 0);
    (admin, cqe.result.get() as u16)
}

const RECEIVE: u32 = 1024;

async fn receive(queue: &mut HostQueue) -> Vec<u8> {
    let receive = sqe::authentication_receive(RECEIVE);
    let (cqe, message) = queue.command(receive, HostTransfer::In(RECEIVE), &[]).await.unwrap();
    assert_eq!(cqe.status(), Status::SUCCESS);
    message
}

/// AUTH_Negotiate for everything.
pub(super) fn negotiate() -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, 7, 0, 0, 1, 1, 0, 3, 6];
    message.extend([1, 2, 3]);
    message.resize(12 + 30, 0);
    message.extend([0, 1, 2, 3, 4, 5]);
    message.resize(8 + 64, 0);
    message
}

#[test]
fn nothing_but_authentication_is_done_before_it() {
    let node = Node::start(2);
    require(&node, DhGroup::Null);
    let target = node.target.clone();
    node.run(|address| async move {
        let (mut admin, cntlid) = connect(address, HOST).await;
        assert_eq!(target.controllers().len(), 0, "a host that is not known yet does not count");
        let required = Status::AUTHENTICATION_REQUIRED;
        let enable = sqe::property_set(Property::CC, ControllerConfiguration::USUAL);
        for refused in [enable, sqe::property_get(Property::CAP), sqe::keep_alive(), sqe::disconnect()] {
            assert_eq!(admin.status(refused, HostTransfer::None, &[]).await, required);
        }
        let identify = sqe::identify(Cns::CONTROLLER, 0);
        assert_eq!(admin.status(identify, HostTransfer::In(4096), &[]).await, required);
        // With data, which is let go.
        let write = sqe::write(1, 0, 8, false);
        assert_eq!(admin.status(write, HostTransfer::InCapsule(4096), &[7; 4096]).await, required);
        // No I/O queue either: the controller cannot be enabled.
        let early = io_queue(address, ICRequest::default(), cntlid, 1, true).await.err();
        assert_eq!(early, Some(Status::COMMAND_SEQUENCE_ERROR));
    });
}

#[test]
fn a_host_without_a_secret_is_asked_nothing() {
    let node = Node::start(2);
    node.run(|address| async move {
        let (mut admin, _) = bring_up(address, ICRequest::default(), NQN, HOST).await.unwrap();
        // And there is nothing that it could prove.
        let send = sqe::authentication_send(72);
        assert_eq!(admin.status(send, HostTransfer::InCapsule(72), &negotiate()).await, Status::SUCCESS);
        assert_eq!(receive(&mut admin).await[..8], [0, 0xF1, 0, 0, 7, 0, 1, 2]);
        admin.ended().await;
    });
}

#[test]
fn a_refused_host_hears_why_and_is_let_go() {
    let node = Node::start(2);
    require(&node, DhGroup::Ffdhe2048);
    node.run(|address| async move {
        let garbage = [0xFF; 16];
        let mut truncated = negotiate();
        truncated.truncate(40);
        let mut reply = vec![1, 2, 0, 0, 7, 0, 32, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        reply.resize(16 + 2 * 32 + 256, 3);
        // What is sent; the reason in Failure1.
        let table: [(&[&[u8]], u8); 4] = [
            (&[&garbage], 6),
            (&[&truncated], 6),
            (&[&negotiate(), &reply], 7), // Before the challenge was received.
            (&[], 7),
        ];
        for (messages, reason) in table {
            let (mut admin, _) = connect(address, HOST).await;
            for message in messages {
                let len = message.len() as u32;
                let send = sqe::authentication_send(len);
                let status = admin.status(send, HostTransfer::InCapsule(len), message).await;
                assert_eq!(status, Status::SUCCESS);
            }
            let failure = receive(&mut admin).await;
            assert_eq!((failure[1], failure[6], failure[7]), (0xF1, 1, reason));
            admin.ended().await;
        }
        // A wrong answer to the challenge; the messages are asked for by R2T this time.
        let (mut admin, _) = connect(address, HOST).await;
        for (message, id) in [(negotiate(), 1), (reply, 0xF1)] {
            let len = message.len() as u32;
            let send = sqe::authentication_send(len);
            assert_eq!(admin.status(send, HostTransfer::Out(len), &message).await, Status::SUCCESS);
            let answer = receive(&mut admin).await;
            assert_eq!(answer[1], id);
        }
        admin.ended().await;
    });
}

#[test]
fn a_host_that_does_not_finish_is_cut_off() {
    let node = Node::with_limits(2, crate::limits::STALL_MAX, Duration::from_millis(100));
    require(&node, DhGroup::Null);
    node.run(|address| async move {
        let (mut silent, _) = connect(address, HOST).await;
        silent.ended().await;
        let (mut half_way, _) = connect(address, HOST).await;
        let send = sqe::authentication_send(72);
        // It may come too late already.
        let _ = half_way.command(send, HostTransfer::InCapsule(72), &negotiate()).await;
        half_way.ended().await;
    });
    // Who was let in without has as long to end what it begins.
    node.target.set_requirements(Vec::new());
    let target = node.target.clone();
    node.run(|address| async move {
        let (mut admin, _) = bring_up(address, ICRequest::default(), NQN, HOST).await.unwrap();
        let credentials = Credentials { host: secret(1), controller: None };
        let requirement = Requirement { credentials, hash: HashFunction::Sha256, group: DhGroup::Null };
        target.set_requirements(vec![(HOST.to_owned(), requirement)]);
        let send = sqe::authentication_send(72);
        admin.command(send, HostTransfer::InCapsule(72), &negotiate()).await.unwrap();
        admin.ended().await;
    });
}

#[test]
fn malformed_commands_are_refused() {
    let node = Node::start(1);
    require(&node, DhGroup::Null);
    node.run(|address| async move {
        let (mut admin, _) = connect(address, HOST).await;
        let send = sqe::authentication_send(72);
        let other_protocol = Sqe { cdw10: 0.into(), ..send };
        let longer = sqe::authentication_send(73);
        let nothing = sqe::authentication_send(0);
        let table = [
            (other_protocol, Status::INVALID_FIELD),
            (longer, Status::DATA_SGL_LENGTH_INVALID),
            (nothing, Status::INVALID_FIELD),
        ];
        for (command, status) in table {
            assert_eq!(admin.status(command, HostTransfer::InCapsule(72), &negotiate()).await, status);
        }
        let receive = sqe::authentication_receive(8192);
        assert_eq!(admin.status(receive, HostTransfer::In(8192), &[]).await, Status::INVALID_FIELD);
        // None of that has begun or ended anything.
        assert_eq!(admin.status(send, HostTransfer::InCapsule(72), &negotiate()).await, Status::SUCCESS);
        let short = sqe::authentication_receive(40);
        assert_eq!(admin.status(short, HostTransfer::In(40), &[]).await, Status::INVALID_FIELD);
        let receive = sqe::authentication_receive(48);
        assert_eq!(admin.status(receive, HostTransfer::In(48), &[]).await, Status::SUCCESS);
    });
}
