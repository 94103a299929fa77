//! Discovery: what hosts find, and what those hear that stay.

use std::net::SocketAddr;

use nvmeof::{
    Nqn, Status,
    host::sqe,
    transport::{HostTransfer, ICRequest},
    wire::{
        identify::IdentifyController,
        log_page::{
            DiscoveryEntry, DiscoveryHeader, EFLAGS_DUPRETINFO, EFLAGS_EPCSD, SUBTYPE_CURRENT_DISCOVERY,
            SUBTYPE_NVM, SUBTYPE_REFERRAL,
        },
        opcode::{Cns, FeatureId, LogPageId},
        property::{ControllerConfiguration, Property},
    },
};
use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::{
    HOST, NQN, Node, Target,
    host::{HostQueue, bring_up, io_queue},
    life::STRANGER,
};
use crate::{
    node::{DiscoveryPortalConfig, NamespaceSpec, PortalConfig, SubsystemSpec},
    volume::Volume,
};

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
pub(super) async fn bring_up_discovery(address: SocketAddr, host: &str, name: &str) -> HostQueue {
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
        let flags = EFLAGS_EPCSD | EFLAGS_DUPRETINFO;
        assert_eq!((own.subtype, own.eflags.get()), (SUBTYPE_CURRENT_DISCOVERY, flags));
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
        let second = second(&volume, HOST);
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

/// Another subsystem, of the same volume.
fn second(volume: &Volume, host: &str) -> SubsystemSpec {
    let uuid = volume.uuid();
    SubsystemSpec {
        nqn: "nqn.2026-11.io.basalt:second".into(),
        allowed_hosts: vec![host.into()],
        namespaces: vec![NamespaceSpec { nsid: 1, volume: uuid, uuid }],
    }
}

#[test]
fn a_log_moves_on_exactly_when_its_host_finds_something_else() {
    let node = Node::start(2);
    let (target, volume) = (node.target.clone(), node.volume.clone());
    node.run(|address| async move {
        let set = |spec: &SubsystemSpec| {
            target.set_subsystem(spec, std::slice::from_ref(&volume)).unwrap();
        };
        let mut admin = bring_up_discovery(address, HOST, OWN_NAME).await;
        let events = sqe::set_features(FeatureId::ASYNC_EVENT_CONFIGURATION, 1 << 31);
        assert_eq!(admin.status(events, HostTransfer::None, &[]).await, Status::SUCCESS);
        admin.begin(sqe::async_event_request(), HostTransfer::None, &[]).await.unwrap();
        let (before, entries) = read_discovery_log(&mut admin).await;

        let another = second(&volume, STRANGER);
        set(&another);
        set(&another);
        target.volume_changed(volume.uuid());
        assert_eq!(read_discovery_log(&mut admin).await, (before, entries.clone()), "not this host's affair");
        assert!(admin.others.is_empty(), "nothing to tell");

        let both = SubsystemSpec { allowed_hosts: vec![HOST.into(), STRANGER.into()], ..another.clone() };
        set(&both);
        assert_eq!(read_discovery_log(&mut admin).await.0, before + 1);
        // Without volumes nobody can connect to it.
        set(&SubsystemSpec { namespaces: Vec::new(), ..both });
        assert_eq!(read_discovery_log(&mut admin).await, (before + 2, entries.clone()));
        // Another connection of the same host reads the same.
        let mut twin = bring_up_discovery(address, HOST, Nqn::DISCOVERY).await;
        assert_eq!(read_discovery_log(&mut twin).await, (before + 2, entries));
    });
}

#[test]
fn the_log_can_be_read_in_windows_at_any_dword() {
    let node = Node::start(1);
    node.run(|address| async move {
        let mut admin = bring_up_discovery(address, HOST, OWN_NAME).await;
        let mut read = async |offset: u64, len: u32| {
            let page = sqe::get_log_page(LogPageId::DISCOVERY, offset, len);
            let (cqe, bytes) = admin.command(page, HostTransfer::In(len), &[]).await.unwrap();
            (cqe.status(), bytes)
        };
        let (_, whole) = read(0, 3072).await;
        for len in [4, 20, 1000, 1028] {
            let mut pieces = Vec::new();
            while pieces.len() < whole.len() {
                pieces.extend(read(pieces.len() as u64, len).await.1);
            }
            assert_eq!(pieces[..whole.len()], whole, "in pieces of {len}");
            assert!(pieces[whole.len()..].iter().all(|&byte| byte == 0), "beyond the end are zeros");
        }
        assert_eq!(read(3076, 4).await.0, Status::INVALID_FIELD, "from beyond the end");
    });
}

/// Extended entries, those of one port, and those of all hosts (Base §5.1.12.3.1): the log says that it is none of it.
#[test]
fn forms_of_the_log_that_are_not_offered_are_not_pretended() {
    let node = Node::start(1);
    node.run(|address| async move {
        let mut admin = bring_up_discovery(address, STRANGER, OWN_NAME).await;
        let (_, entries) = read_discovery_log(&mut admin).await;
        for form in 0..8 {
            let mut page = sqe::get_log_page(LogPageId::DISCOVERY, 0, 1024);
            page.cdw10 = (page.cdw10.get() | form << 8).into();
            let (_, bytes) = admin.command(page, HostTransfer::In(1024), &[]).await.unwrap();
            let header = DiscoveryHeader::read_from_bytes(&bytes).unwrap();
            assert_eq!((header.numrec.get(), header.dlpf), (entries.len() as u64, 0), "form {form}");
        }
    });
}

#[test]
fn a_portal_for_discovery_alone_lets_nobody_do_more() {
    let node = Node::configured(2, |config| {
        let portal = PortalConfig { listen: "127.0.0.1:0".parse().unwrap(), advertise: None };
        config.discovery_portals = vec![DiscoveryPortalConfig { portal, optional: false }];
        config.referrals = vec!["192.0.2.9:8009".parse().unwrap()];
    });
    let [there] = node.target.discovery_portals()[..] else { panic!("one portal") };
    assert_eq!(node.target.portals().len(), 1, "hosts are not told to connect there");
    node.run(move |address| async move {
        let mut admin = bring_up_discovery(there, HOST, Nqn::DISCOVERY).await;
        let (_, entries) = read_discovery_log(&mut admin).await;
        let found: Vec<_> =
            entries.iter().map(|entry| (entry.subtype, name_of(entry), address_of(entry))).collect();
        let expected = [
            (SUBTYPE_CURRENT_DISCOVERY, OWN_NAME, address.to_string()),
            (SUBTYPE_CURRENT_DISCOVERY, OWN_NAME, there.to_string()),
            (SUBTYPE_NVM, NQN, address.to_string()),
            (SUBTYPE_REFERRAL, Nqn::DISCOVERY, "192.0.2.9:8009".to_owned()),
        ];
        assert_eq!(found, expected.map(|(subtype, name, at)| (subtype, name.to_owned(), at)));
        let ports: Vec<_> = entries.iter().map(|entry| entry.portid.get()).collect();
        assert_eq!(ports, [1, 2, 1, 0]);

        let request = ICRequest::default();
        let invalid = Some(Status::CONNECT_INVALID_PARAMETERS);
        assert_eq!(bring_up(there, request, NQN, HOST).await.err(), invalid);
        let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        assert_eq!(io_queue(there, request, cntlid, 1, true).await.err(), invalid);
        assert!(io_queue(address, request, cntlid, 1, true).await.is_ok());
    });
}

#[test]
fn only_an_optional_portal_may_be_missing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let portal = PortalConfig { listen: taken.local_addr().unwrap(), advertise: None };
    let node = Node::configured(1, |config| {
        config.discovery_portals = vec![DiscoveryPortalConfig { portal: portal.clone(), optional: true }];
    });
    assert_eq!((node.target.portals().len(), node.target.discovery_portals().len()), (1, 0));
    let config = Node::config(|config| {
        config.discovery_portals = vec![DiscoveryPortalConfig { portal, optional: false }];
    });
    let refused = Target::start(&node.runtime.handle(), &config).unwrap_err();
    assert!(refused.0.starts_with("discovery portal 127.0.0.1:"), "{refused}");
}
