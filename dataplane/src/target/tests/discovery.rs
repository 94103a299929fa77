//! Discovery: what hosts find, and what those hear that stay.

use std::net::SocketAddr;

use nvmeof::{
    Nqn, Status,
    host::sqe,
    transport::{HostTransfer, ICRequest},
    wire::{
        identify::IdentifyController,
        log_page::{DiscoveryEntry, DiscoveryHeader, EFLAGS_EPCSD, SUBTYPE_CURRENT_DISCOVERY, SUBTYPE_NVM},
        opcode::{Cns, FeatureId, LogPageId},
        property::{ControllerConfiguration, Property},
    },
};
use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::{HOST, NQN, Node, host::HostQueue, life::STRANGER};
use crate::node::{NamespaceSpec, SubsystemSpec};

const OWN_NAME: &str = "nqn.2026-11.io.basalt:discovery:test";

/// The storage that a host finds: names and addresses.
pub(super) async fn discover(address: SocketAddr, host: &str) -> Vec<(String, String)> {
    let mut admin = bring_up_discovery(address, host, Nqn::DISCOVERY).await;
    let (_, entries) = read_discovery_log(&mut admin).await;
    let storage = entries.iter().filter(|entry| entry.subtype == SUBTYPE_NVM);
    storage.map(|entry| (name_of(entry), address_of(entry))).collect()
}

fn name_of(entry: &DiscoveryEntry) -> String {
    Nqn::parse(&entry.subnqn).unwrap().to_string()
}

fn address_of(entry: &DiscoveryEntry) -> String {
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim_end().to_owned();
    format!("{}:{}", text(&entry.traddr), text(&entry.trsvcid))
}

/// GENCTR and all entries, read one by one.
async fn read_discovery_log(admin: &mut HostQueue) -> (u64, Vec<DiscoveryEntry>) {
    let page = sqe::get_log_page(LogPageId::DISCOVERY, 0, 1024);
    let (cqe, bytes) = admin.command(page, HostTransfer::In(1024), &[]).await.unwrap();
    assert_eq!(cqe.status(), Status::SUCCESS);
    let header = DiscoveryHeader::read_from_bytes(&bytes).unwrap();
    let mut found = Vec::new();
    for index in 0..header.numrec.get() {
        let page = sqe::get_log_page(LogPageId::DISCOVERY, 1024 * (index + 1), 1024);
        let (_, bytes) = admin.command(page, HostTransfer::In(1024), &[]).await.unwrap();
        found.push(DiscoveryEntry::read_from_bytes(&bytes).unwrap());
    }
    (header.genctr.get(), found)
}

/// Discovery controllers have no I/O queues, so that bringing one up ends before asking for them.
async fn bring_up_discovery(address: SocketAddr, host: &str, name: &str) -> HostQueue {
    let mut queue = HostQueue::open(address, ICRequest::default()).await.unwrap();
    let (host, discovery) = (Nqn::new(host).unwrap(), Nqn::new(name).unwrap());
    let data = sqe::connect_data(&host, Uuid::from_u128(1), &discovery, 0xFFFF);
    let connect = sqe::connect(0, 16, 0, true);
    let payload = data.as_bytes();
    let status = queue.status(connect, HostTransfer::InCapsule(1024), payload).await;
    assert_eq!(status, Status::SUCCESS);
    let enable = sqe::property_set(Property::CC, ControllerConfiguration::USUAL);
    assert_eq!(queue.status(enable, HostTransfer::None, &[]).await, Status::SUCCESS);
    queue
}

#[test]
fn the_discovery_subsystem_has_a_name_of_its_own_and_stands_in_its_log() {
    let node = Node::start(2);
    node.run(|address| async move {
        // Anybody may ask; a stranger finds nothing else.
        let mut known = bring_up_discovery(address, STRANGER, Nqn::DISCOVERY).await;
        let (_, entries) = read_discovery_log(&mut known).await;
        let [own] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((own.subtype, own.eflags.get()), (SUBTYPE_CURRENT_DISCOVERY, EFLAGS_EPCSD));
        assert_eq!((name_of(own).as_str(), address_of(own)), (OWN_NAME, address.to_string()));

        let mut by_own_name = bring_up_discovery(address, HOST, OWN_NAME).await;
        for queue in [&mut known, &mut by_own_name] {
            let identify = sqe::identify(Cns::CONTROLLER, 0);
            let (_, data) = queue.command(identify, HostTransfer::In(4096), &[]).await.unwrap();
            let data = IdentifyController::read_from_bytes(&data).unwrap();
            assert_eq!(Nqn::parse(&data.subnqn).unwrap().as_str(), OWN_NAME);
        }
        let (_, entries) = read_discovery_log(&mut by_own_name).await;
        let names: Vec<_> = entries.iter().map(name_of).collect();
        assert_eq!(names, [OWN_NAME, NQN]);
    });
}

#[test]
fn a_host_that_stays_hears_of_what_comes_and_goes() {
    let node = Node::start(2);
    let (target, volume) = (node.target.clone(), node.volume.clone());
    node.run(|address| async move {
        let mut admin = bring_up_discovery(address, HOST, OWN_NAME).await;
        let stay = [(FeatureId::KEEP_ALIVE_TIMER, 30_000), (FeatureId::ASYNC_EVENT_CONFIGURATION, 1 << 31)];
        for (feature, value) in stay {
            let set = sqe::set_features(feature, value);
            assert_eq!(admin.status(set, HostTransfer::None, &[]).await, Status::SUCCESS);
        }
        let uuid = volume.uuid();
        let second = SubsystemSpec {
            nqn: "nqn.2026-11.io.basalt:second".into(),
            allowed_hosts: vec![HOST.into()],
            namespaces: vec![NamespaceSpec { nsid: 1, volume: uuid, uuid }],
        };
        let (mut seen, entries) = read_discovery_log(&mut admin).await;
        assert_eq!(entries.len(), 2, "discovery itself, and one with volumes");
        for comes in [true, false] {
            let request = admin.begin(sqe::async_event_request(), HostTransfer::None, &[]).await.unwrap();
            if comes {
                target.set_subsystem(&second, std::slice::from_ref(&volume)).unwrap();
            } else {
                target.remove_subsystem(&second.nqn);
            }
            let (slot, event) = admin.other().await.unwrap();
            assert_eq!((slot, event.result.get()), (request, 0x0070_F002));
            let (generation, entries) = read_discovery_log(&mut admin).await;
            assert!(generation > seen, "GENCTR moves");
            assert_eq!(entries.len(), if comes { 3 } else { 2 });
            seen = generation;
        }
    });
}
