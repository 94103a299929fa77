//! Which NSIDs a host may still know: until it was told that one went, nobody else gets it (H2).

use std::{collections::BTreeSet, net::SocketAddr};

use nvmeof::{
    host::sqe,
    transport::{HostTransfer, ICRequest},
    wire::opcode::{Cns, LogPageId},
};

use super::{
    HOST, NQN, Node,
    host::{HostQueue, bring_up},
};
use crate::{
    node::{NamespaceSpec, SubsystemSpec},
    rt,
    volume::Volume,
};

async fn connect(address: SocketAddr) -> HostQueue {
    bring_up(address, ICRequest::default(), NQN, HOST).await.unwrap().0
}

async fn identify(admin: &mut HostQueue, cns: Cns, nsid: u32) {
    let (cqe, _) = admin.command(sqe::identify(cns, nsid), HostTransfer::In(4096), &[]).await.unwrap();
    assert!(cqe.status().is_success());
}

fn publish(target: &super::Target, volume: &Volume, nsids: &[u32]) {
    let uuid = volume.uuid();
    let namespaces = nsids.iter().map(|&nsid| NamespaceSpec { nsid, volume: uuid, uuid }).collect();
    let spec = SubsystemSpec { nqn: NQN.into(), allowed_hosts: vec![HOST.into()], namespaces };
    target.set_subsystem(&spec, std::slice::from_ref(volume)).unwrap();
}

#[test]
fn an_nsid_that_went_is_known_until_every_controller_has_told_its_host() {
    let node = Node::start(2);
    let (target, volume) = (node.target.clone(), node.volume.clone());
    node.run(|address| async move {
        let known = || target.known_nsids(NQN);
        let (mut one, mut two) = (connect(address).await, connect(address).await);
        publish(&target, &volume, &[1, 2, 3]);
        publish(&target, &volume, &[1, 2]);
        assert_eq!(known(), BTreeSet::from([1, 2]), "nobody was told of 3");
        identify(&mut one, Cns::ACTIVE_NAMESPACES, 0).await;
        identify(&mut two, Cns::NAMESPACE_DESCRIPTORS, 2).await;
        publish(&target, &volume, &[1]);
        assert_eq!(known(), BTreeSet::from([1, 2]));
        let changed = sqe::get_log_page(LogPageId::CHANGED_NAMESPACES, 0, 4096);
        one.command(changed, HostTransfer::In(4096), &[]).await.unwrap();
        identify(&mut one, Cns::ACTIVE_NAMESPACES, 2).await;
        identify(&mut two, Cns::ACTIVE_NAMESPACES, 0).await;
        assert_eq!(known(), BTreeSet::from([1, 2]), "one was told of a change, and of what is above 2");
        identify(&mut one, Cns::NAMESPACE, 2).await;
        assert_eq!(known(), BTreeSet::from([1]), "both were told that it is not active");

        publish(&target, &volume, &[1, 4]);
        identify(&mut one, Cns::COMMAND_SET_ACTIVE_NAMESPACES, 0).await;
        publish(&target, &volume, &[1]);
        assert_eq!(known(), BTreeSet::from([1, 4]));
        drop(one);
        while known().contains(&4) {
            rt::yield_now().await;
        }
        assert_eq!(target.controllers().len(), 1, "its controller is gone");
        assert_eq!(target.known_nsids("nqn.2026-11.io.basalt:other"), BTreeSet::new());
    });
}
