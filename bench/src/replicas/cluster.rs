//! Nodes in this process that hold one volume together, and a store that answers them.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use dataplane::{
    mirror::{Cluster, Membership, NewReplica, NodeId, Peer, ReplicaIdentity, Role, Stored, Timing},
    node::{
        BlockSize, DriveConfig, DriveMedium, NamespaceSpec, Node, NodeConfig, PortalConfig, SubsystemSpec,
        VolumeSpec,
    },
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::run::{HOST_NQN, Target};

const NQN: &str = "nqn.2026-11.io.basalt:bench";
const VOLUME: Uuid = Uuid::from_u128(7);
/// A drive is larger than its volume by what the engine needs for itself.
const DRIVE_PER_VOLUME: u64 = 2;
/// Between two looks at what nodes ask the store.
const LOOK: Duration = Duration::from_millis(5);
const READY_MAX: Duration = Duration::from_secs(120);

pub(super) struct Nodes {
    nodes: Arc<[Node]>,
    caller: Arc<Runtime>,
    membership: Arc<Mutex<Membership>>,
    is_over: Arc<AtomicBool>,
    store: Option<JoinHandle<()>>,
    volume_bytes: u64,
}

impl Nodes {
    /// So many nodes of one core each, all of which hold the volume on memory drives; the first one leads.
    pub(super) fn start(copies: u16, volume_bytes: u64) -> Result<Self> {
        let caller =
            Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?);
        let nodes: Arc<[Node]> = (0..copies).map(|index| node(index, volume_bytes)).collect::<Result<_>>()?;
        let members: BTreeSet<_> = (0..copies).map(NodeId).collect();
        let membership = Membership::first(NodeId(0), members);
        let mut started = Self {
            nodes,
            caller,
            membership: Arc::new(Mutex::new(membership.clone())),
            is_over: Arc::default(),
            store: None,
            volume_bytes,
        };
        started.caller.clone().block_on(started.introduce(&membership))?;
        started.store = Some(thread::spawn(started.store()));
        started.wait_for_all()?;
        Ok(started)
    }

    async fn introduce(&self, membership: &Membership) -> Result<()> {
        let addresses: Vec<SocketAddr> = self.nodes.iter().flat_map(|node| node.portals()).collect();
        for (me, node) in (0..).map(NodeId).zip(self.nodes.iter()) {
            let peer = |(node, &address)| Peer { node, address, credentials: None, requirement: None };
            let peers =
                (0..).map(NodeId).zip(&addresses).filter(|(other, _)| *other != me).map(peer).collect();
            node.set_cluster(Cluster { me, peers, timing: Timing::default() }).await;
            let spec = VolumeSpec {
                uuid: VOLUME,
                size_bytes: self.volume_bytes,
                block_size: BlockSize::B4096,
                reserved_bytes: self.volume_bytes,
                drives: Vec::new(),
            };
            let identity = ReplicaIdentity { number: 1, me };
            let new = NewReplica { identity, membership: membership.clone(), complete: true };
            node.create_replica(spec, new).await?;
            self.take_part(me).await?;
            node.set_subsystem(SubsystemSpec {
                nqn: NQN.to_owned(),
                allowed_hosts: vec![HOST_NQN.to_owned()],
                namespaces: vec![NamespaceSpec { nsid: 1, volume: VOLUME, uuid: VOLUME }],
            })
            .await?;
        }
        Ok(())
    }

    async fn take_part(&self, me: NodeId) -> Result<()> {
        let others = (0..self.nodes.len() as u16).map(NodeId).filter(|other| *other != me).collect();
        self.nodes[usize::from(me.0)].start_replica(VOLUME, others, self.volume_bytes).await?;
        Ok(())
    }

    /// Answers what replicas ask, and tells them what counts.
    fn store(&self) -> impl FnOnce() + Send + 'static {
        let (nodes, caller) = (self.nodes.clone(), self.caller.clone());
        let (membership, is_over) = (self.membership.clone(), self.is_over.clone());
        move || {
            while !is_over.load(Ordering::SeqCst) {
                for node in nodes.iter() {
                    caller.block_on(answer(node, &membership));
                }
                thread::sleep(LOOK);
            }
        }
    }

    /// Waits until all replicas are in sync and the first one serves.
    pub(super) fn wait_for_all(&self) -> Result<Duration> {
        let begin = Instant::now();
        loop {
            let all = lock(&self.membership).in_sync.len() == self.nodes.len();
            let infos = self.caller.block_on(self.nodes[0].replicas());
            let serves = |role: &Role| matches!(role, Role::Leading(leadership) if leadership.serving);
            if all && infos.iter().any(|info| serves(&info.status.role)) {
                return Ok(begin.elapsed());
            }
            ensure!(begin.elapsed() < READY_MAX, "the replicas do not become equal: {infos:?}");
            thread::sleep(LOOK);
        }
    }

    /// The last node's replica takes no part while `work` is done, then it does again; how long it took to be equal.
    pub(super) fn resync(&self, work: impl FnOnce() -> Result<()>) -> Result<Duration> {
        let last = NodeId(self.nodes.len() as u16 - 1);
        self.caller.block_on(self.nodes[usize::from(last.0)].stop_replica(VOLUME));
        let begin = Instant::now();
        while lock(&self.membership).in_sync.contains(&last) {
            ensure!(begin.elapsed() < READY_MAX, "the replica that is away is not taken out");
            thread::sleep(LOOK);
        }
        work()?;
        self.caller.block_on(self.take_part(last))?;
        self.wait_for_all()
    }

    pub(super) fn target(&self) -> Target {
        let addr = self.nodes[0].portals()[0];
        Target { addr, nqn: NQN.to_owned(), hostnqn: HOST_NQN.to_owned(), nsid: Some(1), pid: None }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(store) = self.store.take() {
            // It has no panic of its own to tell.
            let _ = store.join();
        }
    }
}

fn node(index: u16, volume_bytes: u64) -> Result<Node> {
    let drive = DriveMedium::Memory(format!("bench-{index}"));
    let first = index * 1000 + 1;
    let config = NodeConfig {
        drives: vec![DriveConfig {
            size_bytes: Some(volume_bytes * DRIVE_PER_VOLUME),
            ..DriveConfig::new(drive)
        }],
        portals: vec![PortalConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), advertise: None }],
        controller_ids: first..=first + 999,
        ..NodeConfig::new(&format!("bench-{index}"))
    };
    Ok(Node::start(config)?)
}

async fn answer(node: &Node, membership: &Mutex<Membership>) {
    if let Ok((_, changes)) = tokio::time::timeout(Duration::ZERO, node.set_changes(0)).await {
        for change in changes {
            let stored = {
                let mut membership = lock(membership);
                if membership.epoch == change.expected {
                    *membership = change.target.clone();
                    Stored::Ok
                } else {
                    Stored::Conflict(membership.clone())
                }
            };
            // A replica that takes no part any more needs no answer.
            let _ = node.set_changed(change.volume, change.target, stored).await;
        }
    }
    let now = lock(membership).clone();
    let _ = node.learn_membership(VOLUME, now).await;
}

fn lock(membership: &Mutex<Membership>) -> std::sync::MutexGuard<'_, Membership> {
    membership.lock().unwrap_or_else(PoisonError::into_inner)
}
