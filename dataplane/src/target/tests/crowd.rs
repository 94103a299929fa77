//! A large site: a thousand namespaces, and a thousand I/O queues of several hosts at once.

use std::{collections::BTreeSet, net::SocketAddr, ops::RangeInclusive, rc::Rc};

use futures_channel::oneshot;
use nvmeof::{
    Status,
    host::sqe,
    limits::NAMESPACES_MAX,
    wire::{
        identify::IdentifyNamespace,
        opcode::{Cns, FeatureId, LogPageId},
    },
};
use uuid::Uuid;
use zerocopy::FromBytes;

use super::{
    super::Target,
    NQN, Node,
    held::{Count, settled},
    make_drive, on_core_0,
    soak::options,
};
use crate::{
    host::{HostController, HostOptions, HostQueue, Payload},
    node::{NamespaceSpec, SubsystemSpec},
    rt::{self, Buf, Runtime},
    volume::Volume,
};

const NAMESPACES: u32 = 1000;
const BLOCK_BYTES: u32 = 4096;
const VOLUME_BYTES: u64 = 1 << 20;
const DRIVE_BYTES: u64 = 512 << 20;
/// That each queue writes, all at once.
const BLOCKS: u64 = 4;
const HOSTS: u32 = 8;
/// Of each host: a thousand in all.
const IO_QUEUES: u16 = 125;

fn host_nqn(host: u32) -> String {
    format!("nqn.2026-11.io.basalt:crowd-{host}")
}

/// `NAMESPACES_MAX` volumes, of which `publish` shows some to all hosts.
#[derive(Clone)]
struct Site {
    target: Target,
    volumes: Vec<Volume>,
}

impl Site {
    fn on(node: &Node) -> Self {
        let volumes = on_core_0(&node.runtime, || async {
            let drive = make_drive(DRIVE_BYTES).await;
            let mut volumes = Vec::new();
            for nsid in 1..=NAMESPACES_MAX {
                let made = drive.create_volume(uuid_of(nsid), VOLUME_BYTES, BLOCK_BYTES, 0).await;
                volumes.push(made.unwrap().into());
            }
            volumes
        });
        Self { target: node.target.clone(), volumes }
    }

    /// Each of `nsids` is the volume of that number; or another one, `shift` places on.
    fn publish(&self, nsids: RangeInclusive<u32>, shift: u32) {
        let namespace = |nsid| {
            let uuid = uuid_of((nsid - 1 + shift) % NAMESPACES_MAX + 1);
            NamespaceSpec { nsid, volume: uuid, uuid }
        };
        let spec = SubsystemSpec {
            nqn: NQN.into(),
            allowed_hosts: (0..HOSTS).map(host_nqn).collect(),
            namespaces: nsids.map(namespace).collect(),
        };
        self.target.set_subsystem(&spec, &self.volumes).unwrap();
    }
}

fn uuid_of(nsid: u32) -> Uuid {
    Uuid::from_u128(u128::from(nsid) << 64)
}

async fn connect(address: SocketAddr, host: u32) -> HostController {
    let options = HostOptions {
        host_id: Uuid::from_u128(u128::from(host) + 1),
        io_queues: IO_QUEUES,
        ..options(address, &host_nqn(host))
    };
    HostController::connect(options).await.unwrap()
}

async fn filled(byte: u8) -> Buf {
    let mut data = Buf::alloc(BLOCK_BYTES as usize).await;
    data.fill(byte);
    data
}

/// What this queue writes, unlike its neighbours' and unlike the other blocks'.
fn pattern(nsid: u32, lba: u64) -> u8 {
    (nsid % 251) as u8 ^ (lba as u8) << 6
}

#[test]
fn a_thousand_queues_of_eight_hosts_work_on_a_thousand_namespaces_and_leave_nothing() {
    let node = Node::start(2);
    let site = Site::on(&node);
    site.publish(1..=NAMESPACES, 0);
    let hosts = Runtime::start(1).unwrap();
    let address = node.target.portals()[0];
    // What is made at first use and kept is made now.
    on_core_0(&hosts, move || async move { drop(connect(address, 0).await.io_queue(1, 8).await.unwrap()) });
    let before = settled(&node, Count::Node, None);
    let target = node.target.clone();
    on_core_0(&hosts, move || async move {
        let mut controllers = Vec::new();
        let mut queues = Vec::new();
        for host in 0..HOSTS {
            let controller = connect(address, host).await;
            assert_eq!(controller.io_queues(), IO_QUEUES);
            for qid in 1..=IO_QUEUES {
                queues.push(controller.io_queue(qid, 8).await.unwrap());
            }
            controllers.push(controller);
        }
        assert_eq!(target.controllers().iter().map(|c| u32::from(c.io_queues)).sum::<u32>(), NAMESPACES);
        // Each queue writes a namespace of its own; then each reads what a queue of another host wrote.
        all_at_once(&queues, write).await;
        let other = |nsid: u32| (nsid + u32::from(IO_QUEUES)) % NAMESPACES + 1;
        all_at_once(&queues, |queue, nsid| verify(queue, other(nsid))).await;
    });
    assert_eq!(settled(&node, Count::Node, Some(&before)), before);
}

/// Every queue at work at the same time; the first queue has NSID 1.
async fn all_at_once<F: Future<Output = ()> + 'static>(
    queues: &[Rc<HostQueue>],
    work: impl Fn(Rc<HostQueue>, u32) -> F,
) {
    let mut works = Vec::new();
    for (nsid, queue) in (1..).zip(queues) {
        let (done, wait) = oneshot::channel();
        let work = work(queue.clone(), nsid);
        rt::spawn(async move {
            work.await;
            done.send(()).unwrap();
        });
        works.push(wait);
    }
    for work in works {
        work.await.unwrap();
    }
}

async fn write(queue: Rc<HostQueue>, nsid: u32) {
    let write = |lba| {
        let queue = &queue;
        async move {
            let data = filled(pattern(nsid, lba)).await;
            queue.command(sqe::write(nsid, lba, 1, false), Payload::Out(data)).await.unwrap()
        }
    };
    for answer in rt::join_all((0..BLOCKS).map(|lba| Box::pin(write(lba))).collect()).await {
        assert_eq!(answer.status(), Status::SUCCESS);
    }
}

async fn verify(queue: Rc<HostQueue>, nsid: u32) {
    let read = |lba| queue.command(sqe::read(nsid, lba, 1), Payload::In(BLOCK_BYTES));
    let answers = rt::join_all((0..BLOCKS).map(|lba| Box::pin(read(lba))).collect()).await;
    for (lba, answer) in (0..).zip(answers) {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), Status::SUCCESS);
        assert!(answer.data.unwrap().iter().all(|&byte| byte == pattern(nsid, lba)), "{nsid} at {lba}");
    }
}

/// Numbers up to the first zero.
fn list(data: &[u8]) -> Vec<u32> {
    let numbers = data.chunks(4).map(|nsid| u32::from_le_bytes(nsid.try_into().unwrap()));
    numbers.take_while(|&nsid| nsid != 0).collect()
}

async fn identify(controller: &HostController, cns: Cns, nsid: u32) -> Buf {
    let answer = controller.admin().command(sqe::identify(cns, nsid), Payload::In(4096)).await.unwrap();
    assert_eq!(answer.status(), Status::SUCCESS, "{cns:?} of {nsid}");
    answer.data.unwrap()
}

#[test]
fn a_thousand_namespaces_are_listed_and_each_is_described_to_every_host() {
    let node = Node::start(2);
    let site = Site::on(&node);
    site.publish(1..=NAMESPACES, 0);
    node.run(|address| async move {
        for host in [0, HOSTS - 1] {
            let controller = connect(address, host).await;
            for cns in [Cns::ACTIVE_NAMESPACES, Cns::COMMAND_SET_ACTIVE_NAMESPACES] {
                for above in [0, 1, 499, NAMESPACES - 1, NAMESPACES, NAMESPACES_MAX] {
                    let expected: Vec<u32> = (above + 1..=NAMESPACES).collect();
                    assert_eq!(list(&identify(&controller, cns, above).await), expected, "above {above}");
                }
            }
            for nsid in 1..=NAMESPACES {
                let data = identify(&controller, Cns::NAMESPACE, nsid).await;
                let data = IdentifyNamespace::read_from_bytes(&data).unwrap();
                assert_eq!(data.nsze.get(), VOLUME_BYTES / u64::from(BLOCK_BYTES));
                assert_eq!((data.nguid, data.anagrpid.get()), (uuid_of(nsid).into_bytes(), nsid));
                let data = identify(&controller, Cns::NAMESPACE_DESCRIPTORS, nsid).await;
                assert_eq!(data[..4], [3, 16, 0, 0], "NIDT 3h is the UUID");
                assert_eq!(data[4..20], uuid_of(nsid).into_bytes());
            }
            assert_eq!(*identify(&controller, Cns::NAMESPACE, NAMESPACES + 1).await, [0; 4096], "inactive");
        }
    });
}

/// NN is 1,024 (H2), so the Changed Attached Namespace List always has room for all that there are.
#[test]
fn more_changes_than_namespaces_are_one_notice_and_a_whole_list() {
    let node = Node::start(2);
    let site = Site::on(&node);
    site.publish(1..=NAMESPACES, 0);
    let address = node.target.portals()[0];
    let hosts = Runtime::start(1).unwrap();
    on_core_0(&hosts, move || async move {
        let controller = connect(address, 0).await;
        let admin = controller.admin();
        let enable = sqe::set_features(FeatureId::ASYNC_EVENT_CONFIGURATION, 1 << 8);
        assert_eq!(admin.command(enable, Payload::None).await.unwrap().status(), Status::SUCCESS);
        // All of a thousand become others.
        site.publish(1..=NAMESPACES, 7);
        assert_eq!(told(admin).await, (1..=NAMESPACES).collect());
        assert_eq!(changed(admin).await, [], "reading it emptied it");
        // All go but one, which is another now; then all that there can be come, as others: 2,023 changes.
        site.publish(1..=1, 3);
        site.publish(1..=NAMESPACES_MAX, 5);
        let all: BTreeSet<u32> = (1..=NAMESPACES_MAX).collect();
        let mut changes = told(admin).await;
        // The notice may have come between the two.
        while changes != all {
            changes.append(&mut told(admin).await);
        }
        assert_eq!(changed(admin).await, []);
    });
}

/// Waits for the notice, and reads the list.
async fn told(admin: &Rc<HostQueue>) -> BTreeSet<u32> {
    let event = admin.command(sqe::async_event_request(), Payload::None).await.unwrap();
    assert_eq!(event.cqe.result.get(), 0x0004_0002);
    changed(admin).await.into_iter().collect()
}

/// The list, each NSID once.
async fn changed(admin: &Rc<HostQueue>) -> Vec<u32> {
    let page = sqe::get_log_page(LogPageId::CHANGED_NAMESPACES, 0, 4096);
    let list = list(&admin.command(page, Payload::In(4096)).await.unwrap().data.unwrap());
    assert!(list.is_sorted_by(|a, b| a < b), "ascending, each once");
    list
}
