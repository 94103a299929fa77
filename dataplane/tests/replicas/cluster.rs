//! Some nodes with one replicated volume, and a store that answers them.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    pin::pin,
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use dataplane::{
    mirror::{
        Cluster, Membership, NewReplica, NodeId, Peer, ReplicaIdentity, ReplicaInfo, Role, Stored, Timing,
    },
    node::{
        BlockSize, DriveConfig, DriveMedium, NamespaceSpec, Node, NodeConfig, PortalConfig, SubsystemSpec,
        TornPolicy, VolumeSpec,
    },
};
use nvmeof::auth::{Credentials, DhGroup, HashFunction, Requirement, Secret};
use tempfile::TempDir;
use uuid::Uuid;

use crate::proxy::{Line, Proxy};

pub(crate) const SUBSYSTEM: &str = "nqn.2026-11.io.basalt:test";
pub(crate) const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:11111111-1111-1111-1111-111111111111";
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const VOLUME_BYTES: u64 = 32 * MIB;
pub(crate) const VOLUME: Uuid = Uuid::from_u128(0x5eed);
/// Short, so that tests are; the order of things is the same.
pub(crate) const TIMING: Timing = Timing {
    grant: Duration::from_millis(600),
    patience: Duration::from_millis(300),
    silence_max: Duration::from_millis(400),
};

/// What the store's thread shares with the test.
struct Shared {
    nodes: Mutex<Vec<Option<Node>>>,
    membership: Mutex<Membership>,
    is_over: AtomicBool,
}

pub(crate) struct TestCluster {
    shared: Arc<Shared>,
    drives: TempDir,
    cores: usize,
    lossy: bool,
    addresses: Vec<SocketAddr>,
    /// From each node to each other one.
    lines: HashMap<(usize, usize), Proxy>,
    secrets: Option<fn(u8) -> Secret>,
    /// What hosts may use.
    size_bytes: Cell<u64>,
    store: Option<JoinHandle<()>>,
}

struct Options {
    cores: usize,
    lossy: bool,
    secrets: Option<fn(u8) -> Secret>,
}

impl Default for Options {
    fn default() -> Self {
        Self { cores: 1, lossy: false, secrets: None }
    }
}

impl TestCluster {
    /// So many nodes, of which the first `members` hold the volume; node 0 leads.
    pub(crate) fn new(nodes: usize, members: usize, cores: usize) -> Self {
        Self::start(nodes, members, Options { cores, ..Options::default() })
    }

    /// All nodes hold the volume, and each asks the others to prove who they are: node `i` has secret `i`.
    pub(crate) fn with_secrets(nodes: usize, secrets: fn(u8) -> Secret) -> Self {
        Self::start(nodes, nodes, Options { secrets: Some(secrets), ..Options::default() })
    }

    /// All nodes hold the volume, and lose what they have not flushed when they are killed.
    pub(crate) fn that_loses_power(nodes: usize) -> Self {
        Self::start(nodes, nodes, Options { lossy: true, ..Options::default() })
    }

    fn start(nodes: usize, members: usize, options: Options) -> Self {
        let members: BTreeSet<_> = (0..members as u16).map(NodeId).collect();
        let membership = Membership::first(NodeId(0), members.iter().copied());
        let shared = Arc::new(Shared {
            nodes: Mutex::new((0..nodes).map(|_| None).collect()),
            membership: Mutex::new(membership.clone()),
            is_over: AtomicBool::new(false),
        });
        let store = thread::spawn({
            let shared = shared.clone();
            move || answer(&shared)
        });
        let addresses = addresses(nodes);
        let drives = TempDir::new().unwrap();
        let lines = addresses.iter().enumerate().flat_map(|(to, &address)| {
            let others = (0..addresses.len()).filter(move |&from| from != to);
            others.map(move |from| ((from, to), Proxy::to(address)))
        });
        let cluster = Self {
            shared,
            drives,
            cores: options.cores,
            lossy: options.lossy,
            lines: lines.collect(),
            addresses: addresses.clone(),
            secrets: options.secrets,
            size_bytes: Cell::new(VOLUME_BYTES),
            store: Some(store),
        };
        for index in 0..nodes {
            cluster.set(index, Some(cluster.open(index)));
        }
        cluster.introduce();
        for (index, node) in cluster.alive() {
            let spec = VolumeSpec {
                uuid: VOLUME,
                size_bytes: VOLUME_BYTES,
                block_size: BlockSize::B4096,
                reserved_bytes: 0,
                drives: Vec::new(),
            };
            let identity = ReplicaIdentity { number: 7, me: NodeId(index as u16) };
            let complete = members.contains(&identity.me);
            let new = NewReplica { identity, membership: membership.clone(), complete };
            wait(node.create_replica(spec, new)).unwrap();
            cluster.take_part(index, &node);
        }
        cluster
    }

    fn open(&self, index: usize) -> Node {
        let path = self.drives.path().join(format!("drive-{index}"));
        let drive = DriveConfig {
            size_bytes: Some(256 * MIB),
            lossy: self.lossy,
            // Such a drive tears blocks of 4 KiB.
            torn: self.lossy.then_some(TornPolicy::TornSafe),
            ..DriveConfig::new(DriveMedium::Path(path))
        };
        let portal = PortalConfig { listen: self.addresses[index], advertise: None };
        let first = index as u16 * 1000 + 1;
        Node::start_closed(NodeConfig {
            cores: self.cores,
            drives: vec![drive],
            portals: vec![portal],
            map_memory_bytes: 8 * MIB,
            controller_ids: first..=first + 999,
            ..NodeConfig::new(&format!("node-{index}"))
        })
        .unwrap()
    }

    /// Tells every node where the others are.
    fn introduce(&self) {
        for (me, node) in self.alive() {
            let others = (0..self.addresses.len()).filter(|&other| other != me);
            let peers = others.map(|other| self.peer(me, other)).collect();
            wait(node.set_cluster(Cluster { me: NodeId(me as u16), peers, timing: TIMING }));
        }
    }

    /// Another node, as a node sees it.
    fn peer(&self, me: usize, other: usize) -> Peer {
        let credentials = |host: usize, controller: usize| {
            let secret = self.secrets?;
            Some(Credentials { host: secret(host as u8), controller: Some(secret(controller as u8)) })
        };
        let requirement = credentials(other, me).map(|credentials| {
            Arc::new(Requirement { credentials, hash: HashFunction::Sha256, group: DhGroup::Ffdhe2048 })
        });
        let (node, address) = (NodeId(other as u16), self.lines[&(me, other)].address);
        Peer { node, address, credentials: credentials(me, other), requirement }
    }

    /// Replica and export, as the control plane sees to after every start.
    fn take_part(&self, index: usize, node: &Node) {
        let count = self.shared.nodes.lock().unwrap().len() as u16;
        let peers = (0..count).map(NodeId).filter(|id| *id != NodeId(index as u16)).collect();
        wait(node.start_replica(VOLUME, peers, self.size_bytes.get())).unwrap();
        let namespace = NamespaceSpec { nsid: 1, volume: VOLUME, uuid: VOLUME };
        let spec = SubsystemSpec {
            nqn: SUBSYSTEM.to_owned(),
            allowed_hosts: vec![HOST.to_owned()],
            namespaces: vec![namespace],
        };
        wait(node.set_subsystem(spec)).unwrap();
        node.open_portals();
    }

    fn set(&self, index: usize, node: Option<Node>) {
        let old = std::mem::replace(&mut self.shared.nodes.lock().unwrap()[index], node);
        drop(old);
    }

    pub(crate) fn alive(&self) -> impl Iterator<Item = (usize, Node)> + use<> {
        let nodes = self.shared.nodes.lock().unwrap().clone();
        nodes.into_iter().enumerate().filter_map(|(index, node)| Some((index, node?)))
    }

    /// Ends a node as a `kill -9` does.
    pub(crate) fn kill(&self, index: usize) {
        self.set(index, None);
    }

    /// Starts a node again, on what it left.
    pub(crate) fn restart(&self, index: usize) {
        let node = self.open(index);
        self.set(index, Some(node.clone()));
        self.introduce();
        self.take_part(index, &node);
    }

    pub(crate) fn restart_all(&self) {
        for index in (0..self.addresses.len()).filter(|&index| !self.is_alive(index)) {
            self.restart(index);
        }
    }

    pub(crate) fn is_alive(&self, index: usize) -> bool {
        self.alive().any(|(alive, _)| alive == index)
    }

    /// The ways between two nodes, or one of them.
    pub(crate) fn set_line(&self, from: usize, to: usize, line: Line) {
        if let Some(proxy) = self.lines.get(&(from, to)) {
            proxy.set(line);
        }
    }

    pub(crate) fn open_lines(&self) {
        self.lines.values().for_each(|proxy| proxy.set(Line::Open));
    }

    /// Of all nodes, dead or alive.
    pub(crate) fn portals(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    pub(crate) fn membership(&self) -> Membership {
        self.shared.membership.lock().unwrap().clone()
    }

    /// The manager names another primary.
    pub(crate) fn name(&self, index: usize) {
        let mut membership = self.shared.membership.lock().unwrap();
        *membership = membership.led_by(NodeId(index as u16));
    }

    /// The same of a manager that knows who can lead.
    pub(crate) fn name_if_in_sync(&self, index: usize) {
        if self.membership().in_sync.contains(&NodeId(index as u16)) {
            self.name(index);
        }
    }

    /// Hands over to a node, and waits until it serves.
    pub(crate) fn lead(&self, index: usize) {
        let start = Instant::now();
        let serves = |(node, info): &(usize, ReplicaInfo)| *node == index && serves(info);
        while !self.replicas().iter().any(serves) {
            assert!(start.elapsed() < Duration::from_secs(60), "{:?}", self.replicas());
            let primary = usize::from(self.membership().primary.0);
            if primary != index && self.is_alive(primary) {
                self.hand_over(primary, index);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes the volume larger: all replicas first, then hosts may use it.
    pub(crate) fn expand(&self, size_bytes: u64) {
        for (_, node) in self.alive() {
            wait(node.expand_volume(VOLUME, size_bytes, 0, &[])).unwrap();
        }
        self.size_bytes.set(size_bytes);
        for (index, node) in self.alive() {
            self.take_part(index, &node);
        }
    }

    pub(crate) fn hand_over(&self, from: usize, to: usize) {
        let (_, node) = self.alive().find(|(index, _)| *index == from).unwrap();
        // It may not take part yet.
        let _ = wait(node.hand_over(VOLUME, NodeId(to as u16)));
    }

    pub(crate) fn replicas(&self) -> Vec<(usize, ReplicaInfo)> {
        let infos = self
            .alive()
            .flat_map(|(index, node)| wait(node.replicas()).into_iter().map(move |info| (index, info)));
        infos.collect()
    }

    /// Waits until a node leads and all of `members` are in sync.
    pub(crate) fn wait_for(&self, members: &[u16]) {
        let members: BTreeSet<_> = members.iter().copied().map(NodeId).collect();
        let is_there = || {
            let membership = self.membership();
            let leads = |(index, info): &(usize, ReplicaInfo)| {
                NodeId(*index as u16) == membership.primary
                    && serves(info)
                    && info.status.membership == membership
            };
            membership.in_sync == members && self.replicas().iter().any(leads)
        };
        let start = Instant::now();
        while !is_there() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{:?} of {members:?}, {:?}",
                self.membership(),
                self.replicas()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if let Some(store) = self.store.take() {
            store.join().unwrap();
        }
    }
}

/// Of one cluster's nodes, on a network that no other cluster of this machine uses.
fn addresses(nodes: usize) -> Vec<SocketAddr> {
    static CLUSTERS: AtomicU8 = AtomicU8::new(0);
    let process = (1 + process::id() % 250) as u8;
    let cluster = CLUSTERS.fetch_add(1, Ordering::SeqCst);
    (0..nodes).map(|index| ([127, process, cluster, index as u8 + 1], 4420).into()).collect()
}

/// The store, and what the control plane does for it: questions are answered, and everybody is told what counts.
fn answer(shared: &Shared) {
    while !shared.is_over.load(Ordering::SeqCst) {
        let nodes = shared.nodes.lock().unwrap().clone();
        for node in nodes.iter().flatten() {
            let mut asked = pin!(node.set_changes(0));
            if let Poll::Ready((_, changes)) = asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                for change in changes {
                    let stored = {
                        let mut membership = shared.membership.lock().unwrap();
                        if membership.epoch == change.expected {
                            *membership = change.target.clone();
                            Stored::Ok
                        } else {
                            Stored::Conflict(membership.clone())
                        }
                    };
                    let _ = wait(node.set_changed(change.volume, change.target, stored));
                }
            }
            let membership = shared.membership.lock().unwrap().clone();
            let _ = wait(node.learn_membership(VOLUME, membership));
        }
        drop(nodes);
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a node request to its end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut cx) {
            return answer;
        }
        thread::yield_now();
    }
}

fn serves(info: &ReplicaInfo) -> bool {
    matches!(&info.status.role, Role::Leading(leadership) if leadership.serving)
}
