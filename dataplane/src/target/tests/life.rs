//! Who comes in, what connected hosts hear, and how controllers end.

use nvmeof::{
    Status,
    command::Instance,
    host::sqe,
    transport::{HostTransfer, ICRequest},
    wire::{
        identify::IdentifyController,
        opcode::{Cns, FeatureId, LogPageId},
        property::{ControllerConfiguration, Property},
    },
};
use zerocopy::FromBytes;

use super::{
    HOST, NQN, Node, VOLUME_BYTES,
    discovery::{bring_up_discovery, discover},
    host::{HostQueue, bring_up, io_queue},
};
use crate::node::{NamespaceSpec, SubsystemSpec};

pub(super) const STRANGER: &str = "nqn.2026-11.io.basalt:stranger";

#[test]
fn only_an_allowed_host_discovers_and_connects() {
    let node = Node::start(2);
    node.run(|address| async move {
        assert_eq!(discover(address, HOST).await, [(NQN.to_owned(), address.to_string())]);
        assert_eq!(discover(address, STRANGER).await, []);
        let request = ICRequest::default();
        let refused = bring_up(address, request, NQN, STRANGER).await.err();
        assert_eq!(refused, Some(Status::CONNECT_INVALID_HOST));
        let refused = bring_up(address, request, "nqn.none", HOST).await.err();
        assert_eq!(refused, Some(Status::CONNECT_INVALID_PARAMETERS));
        let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let _queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let twice = io_queue(address, request, cntlid, 1, true).await.err();
        assert_eq!(twice, Some(Status::COMMAND_SEQUENCE_ERROR));
        let unknown = io_queue(address, request, cntlid + 1, 1, true).await.err();
        assert_eq!(unknown, Some(Status::CONNECT_INVALID_PARAMETERS));
    });
}

#[test]
fn a_grown_volume_is_announced_and_usable_at_once() {
    let node = Node::start(2);
    let (target, drive, volume) = (node.target.clone(), node.drive.clone(), node.volume.clone());
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let events = sqe::set_features(FeatureId::ASYNC_EVENT_CONFIGURATION, 1 << 8);
        assert_eq!(admin.status(events, HostTransfer::None, &[]).await, Status::SUCCESS);
        let request = admin.begin(sqe::async_event_request(), HostTransfer::None, &[]).await.unwrap();

        drive.expand_volume(volume.parts().next().unwrap(), VOLUME_BYTES * 2, 0).await.unwrap();
        target.volume_changed(volume.uuid());

        let (slot, event) = admin.other().await.unwrap();
        assert_eq!((slot, event.result.get()), (request, 0x0004_0002));
        let page = sqe::get_log_page(LogPageId::CHANGED_NAMESPACES, 0, 4096);
        let (_, changed) = admin.command(page, HostTransfer::In(4096), &[]).await.unwrap();
        assert_eq!(changed[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
        let identify = sqe::identify(Cns::NAMESPACE, 1);
        let (_, data) = admin.command(identify, HostTransfer::In(4096), &[]).await.unwrap();
        assert_eq!(data[..8], (VOLUME_BYTES * 2 / 512).to_le_bytes());
        let read = sqe::read(1, VOLUME_BYTES / 512, 1);
        assert_eq!(queue.status(read, HostTransfer::In(512), &[]).await, Status::SUCCESS);
    });
}

#[test]
fn an_unpublished_namespace_goes_at_once_and_its_last_controller_a_little_later() {
    let node = Node::start(2);
    node.publish(&[1, 2]);
    let (target, volume) = (node.target.clone(), node.volume.clone());
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let uuid = volume.uuid();
        let mut spec = SubsystemSpec {
            nqn: NQN.into(),
            allowed_hosts: vec![HOST.into()],
            namespaces: vec![NamespaceSpec { nsid: 1, volume: uuid, uuid }],
        };
        target.set_subsystem(&spec, std::slice::from_ref(&volume)).unwrap();
        let gone = Status::INVALID_NAMESPACE_OR_FORMAT;
        assert_eq!(queue.status(sqe::read(2, 0, 1), HostTransfer::In(512), &[]).await, gone);
        assert_eq!(queue.status(sqe::read(1, 0, 1), HostTransfer::In(512), &[]).await, Status::SUCCESS);
        let list = sqe::identify(Cns::ACTIVE_NAMESPACES, 0);
        let (_, data) = admin.command(list, HostTransfer::In(4096), &[]).await.unwrap();
        assert_eq!(data[..8], [1, 0, 0, 0, 0, 0, 0, 0]);

        spec.allowed_hosts.clear();
        target.set_subsystem(&spec, &[volume]).unwrap();
        assert_eq!(queue.status(sqe::read(1, 0, 1), HostTransfer::In(512), &[]).await, gone);
        assert_eq!(discover(address, HOST).await, []);
        queue.ended().await;
        admin.ended().await;
        assert_eq!(target.controllers().len(), 0);
    });
}

#[test]
fn a_silent_host_is_let_go_after_its_keep_alive_timeout() {
    let node = Node::start(2);
    let target = node.target.clone();
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let kato = sqe::set_features(FeatureId::KEEP_ALIVE_TIMER, 300);
        assert_eq!(admin.status(kato, HostTransfer::None, &[]).await, Status::SUCCESS);
        queue.ended().await;
        admin.ended().await;
        assert_eq!(target.controllers().len(), 0);
    });
}

#[test]
fn a_host_ends_its_other_controller_before_it_sends_anything_again() {
    let node = Node::start(2);
    let target = node.target.clone();
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut lost, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let identify = sqe::identify(Cns::CONTROLLER, 0);
        let (_, data) = lost.command(identify, HostTransfer::In(4096), &[]).await.unwrap();
        let data = IdentifyController::read_from_bytes(&data).unwrap();
        let instance = Instance { ciu: data.ciu, cirn: data.cirn.get() };

        let (mut admin, _) = bring_up(address, request, NQN, HOST).await.unwrap();
        let forerunner = Instance { cirn: !instance.cirn, ..instance };
        for (instance, left) in [(forerunner, 2), (instance, 1), (instance, 1)] {
            let reset = sqe::cross_controller_reset(cntlid, instance);
            let (cqe, _) = admin.command(reset, HostTransfer::None, &[]).await.unwrap();
            assert_eq!((cqe.status(), cqe.result.get()), (Status::SUCCESS, 1));
            assert_eq!(target.controllers().len(), left);
        }
        queue.ended().await;
        lost.ended().await;
    });
}

#[test]
fn stopping_ends_all_controllers() {
    let node = Node::start(2);
    let target = node.target.clone();
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        assert_eq!(target.controllers()[0].io_queues, 1);
        target.stop().await;
        queue.ended().await;
        admin.ended().await;
        assert_eq!(target.controllers().len(), 0);
    });
}

#[test]
fn a_reset_ends_the_io_queues_before_ready_goes() {
    let node = Node::start(2);
    let target = node.target.clone();
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let reset = sqe::property_set(Property::CC, 0);
        assert_eq!(admin.status(reset, HostTransfer::None, &[]).await, Status::SUCCESS);
        until_csts(&mut admin, 0).await;
        assert_eq!(target.controllers()[0].io_queues, 0);
        queue.ended().await;
        let sequence = Some(Status::COMMAND_SEQUENCE_ERROR);
        assert_eq!(io_queue(address, request, cntlid, 1, true).await.err(), sequence);
    });
}

#[test]
fn a_controller_serves_again_after_a_reset_of_its_shutdown() {
    let node = Node::start(2);
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let held = admin.begin(sqe::async_event_request(), HostTransfer::None, &[]).await.unwrap();
        let usual = ControllerConfiguration::USUAL;
        for (cc, csts) in [(usual | 1 << 14, 0b1001), (0, 0), (usual, 1)] {
            let set = sqe::property_set(Property::CC, cc);
            assert_eq!(admin.status(set, HostTransfer::None, &[]).await, Status::SUCCESS);
            until_csts(&mut admin, csts).await;
        }
        let (slot, cqe) = admin.other().await.unwrap();
        assert_eq!((slot, cqe.status()), (held, Status::ABORT_REQUESTED));
        queue.ended().await;
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        assert_eq!(queue.status(sqe::flush(1), HostTransfer::None, &[]).await, Status::SUCCESS);
    });
}

/// Waits until CSTS has this value.
async fn until_csts(admin: &mut HostQueue, value: u64) {
    let get = sqe::property_get(Property::CSTS);
    while admin.command(get, HostTransfer::None, &[]).await.unwrap().0.result.get() != value {}
}

#[test]
fn a_broken_pdu_is_answered_by_a_term_req_and_the_end() {
    let node = Node::start(1);
    node.run(|address| async move {
        let request = ICRequest::default();
        let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        queue.send(&[0x04, 0, 71, 0, 72, 0, 0, 0]).await.unwrap();
        assert!(queue.other().await.is_err());
        let mut fresh = io_queue(address, request, cntlid, 2, true).await.unwrap();
        assert_eq!(fresh.status(sqe::flush(1), HostTransfer::None, &[]).await, Status::SUCCESS);
    });
}

#[test]
fn a_node_gives_its_own_controller_ids_and_no_others() {
    let node = Node::configured(2, |config| config.controller_ids = 100..=101);
    node.run(|address| async move {
        let connect = || bring_up(address, ICRequest::default(), NQN, HOST);
        let (first, second) = (connect().await.unwrap(), connect().await.unwrap());
        assert_eq!((first.1, second.1), (100, 101));
        assert_eq!(connect().await.err(), Some(Status::CONNECT_CONTROLLER_BUSY));
        let mut admin = first.0;
        assert_eq!(admin.status(sqe::disconnect(), HostTransfer::None, &[]).await, Status::SUCCESS);
        admin.ended().await;
        assert_eq!(connect().await.unwrap().1, 100, "it is free again");
    });
}

/// Linux takes two controllers for one subsystem only if they say so of themselves (H2).
#[test]
fn all_nodes_of_a_subsystem_report_the_same_and_each_its_own_discovery() {
    let nodes = ["one", "two"].map(|name| Node::configured(1, |config| config.node_id = name.into()));
    let [one, two] = nodes.map(|node| {
        let address = node.target.portals()[0];
        super::on_core_0(&node.runtime, move || async move {
            let (storage, _) = bring_up(address, ICRequest::default(), NQN, HOST).await.unwrap();
            let discovery = bring_up_discovery(address, HOST, nvmeof::Nqn::DISCOVERY).await;
            let mut found = Vec::new();
            for mut admin in [storage, discovery] {
                let identify = sqe::identify(Cns::CONTROLLER, 0);
                let (_, data) = admin.command(identify, HostTransfer::In(4096), &[]).await.unwrap();
                let data = IdentifyController::read_from_bytes(&data).unwrap();
                found.push((data.sn, data.mn, data.fr, data.subnqn));
            }
            found
        })
    });
    assert_eq!(one[0], two[0]);
    assert!(one[0].0.iter().all(u8::is_ascii_hexdigit), "twenty digits: {:?}", one[0].0);
    assert_ne!((one[1].0, one[1].3), (two[1].0, two[1].3));
}
