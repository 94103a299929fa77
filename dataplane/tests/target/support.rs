//! A node with one exported volume, and a host's runtime beside it.

use std::{net::SocketAddr, rc::Rc, sync::mpsc, time::Duration};

use dataplane::{
    host::{Answer, HostOptions, HostQueue, Payload},
    node::{
        BlockSize, DriveConfig, DriveMedium, NamespaceSpec, Node, NodeConfig, NodeError, PortalConfig,
        SubsystemSpec, VolumeSpec,
    },
    rt::{self, CoreId, Runtime},
};
use futures_channel::oneshot;
use nvmeof::{Nqn, transport::ICRequest, wire::Sqe};
use uuid::Uuid;

pub(crate) const SUBSYSTEM: &str = "nqn.2026-11.io.basalt:test";
pub(crate) const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:11111111-1111-1111-1111-111111111111";
pub(crate) const MIB: u64 = 1 << 20;

/// A node with one memory drive and one exported volume; and a runtime for the host.
pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) host: Runtime,
    pub(crate) volume: Uuid,
}

impl Bench {
    /// A node whose volume is exported.
    pub(crate) fn new(cores: usize, block_size: BlockSize) -> Self {
        let bench = Self::closed(cores);
        bench.create_and_export(block_size);
        bench.node.open_portals();
        bench
    }

    /// A node without its volume yet, which lets nobody in.
    pub(crate) fn closed(cores: usize) -> Self {
        Self::with_drives(cores, &[256 * MIB])
    }

    /// The same with memory drives of these sizes.
    pub(crate) fn with_drives(cores: usize, size_bytes: &[u64]) -> Self {
        let drive = |(index, &size_bytes): (usize, &u64)| DriveConfig {
            size_bytes: Some(size_bytes),
            ..DriveConfig::new(DriveMedium::Memory(format!("test-{index}")))
        };
        Self::on_drives(cores, size_bytes.iter().enumerate().map(drive).collect())
    }

    /// The same node again, on what it left on its drive.
    pub(crate) fn restart(self, drive: DriveConfig) -> Self {
        self.wait(self.node.shutdown());
        let volume = self.volume;
        drop(self);
        Self { volume, ..Self::on_drives(2, vec![drive]) }
    }

    /// A node on those drives, which lets nobody in yet.
    pub(crate) fn on_drives(cores: usize, drives: Vec<DriveConfig>) -> Self {
        let portal = PortalConfig { listen: "127.0.0.1:0".parse().unwrap(), advertise: None };
        let node = Node::start_closed(NodeConfig {
            cores,
            drives,
            portals: vec![portal],
            map_memory_bytes: 8 * MIB,
            ..NodeConfig::new("test")
        })
        .unwrap();
        Self { node, host: Runtime::start(1).unwrap(), volume: Uuid::new_v4() }
    }

    pub(crate) fn create_and_export(&self, block_size: BlockSize) {
        let spec = VolumeSpec {
            uuid: self.volume,
            size_bytes: 64 * MIB,
            block_size,
            reserved_bytes: 0,
            drives: Vec::new(),
        };
        self.wait(self.node.create_volume(spec)).unwrap();
        self.export(&[HOST], &[(1, self.volume)]).unwrap();
    }

    pub(crate) fn export(&self, hosts: &[&str], namespaces: &[(u32, Uuid)]) -> Result<(), NodeError> {
        let namespaces =
            namespaces.iter().map(|&(nsid, volume)| NamespaceSpec { nsid, volume, uuid: volume }).collect();
        let allowed_hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        self.wait(self.node.set_subsystem(SubsystemSpec {
            nqn: SUBSYSTEM.to_owned(),
            allowed_hosts,
            namespaces,
        }))
    }

    /// Runs a node request to its end.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        loop {
            if let std::task::Poll::Ready(answer) = future.as_mut().poll(&mut cx) {
                return answer;
            }
            std::thread::yield_now();
        }
    }

    /// Runs a host's program on its own runtime.
    pub(crate) fn host<T: Send + 'static, F: Future<Output = T> + 'static>(
        &self,
        program: impl FnOnce(HostOptions) -> F + Send + 'static,
    ) -> T {
        let options = options(self.node.portals()[0]);
        let (answer, wait) = mpsc::channel();
        self.host.handle().spawn_on(CoreId(0), move || async move {
            answer.send(program(options).await).unwrap();
        });
        wait.recv_timeout(Duration::from_secs(60)).expect("the host's program ends")
    }
}

pub(crate) fn options(address: SocketAddr) -> HostOptions {
    HostOptions {
        address,
        subsystem: Nqn::new(SUBSYSTEM).unwrap(),
        host: Nqn::new(HOST).unwrap(),
        host_id: Uuid::from_u128(1),
        digests: ICRequest::default(),
        kato_ms: 0,
        io_queues: 2,
        credentials: None,
        tls: None,
    }
}

/// Sends a command now, for an answer later.
pub(crate) fn begin(queue: &Rc<HostQueue>, sqe: Sqe, payload: Payload) -> oneshot::Receiver<Answer> {
    let (answer, wait) = oneshot::channel();
    let queue = queue.clone();
    rt::spawn(async move {
        answer.send(queue.command(sqe, payload).await.unwrap()).expect("it is waited for");
    });
    wait
}
