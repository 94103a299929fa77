//! The target over real sockets on loopback: our own host talks to it.

mod host;
mod life;
mod serve;

use uuid::Uuid;

use super::{Target, TargetConfig};
use crate::{
    engine::Volume,
    node::{NamespaceSpec, PortalConfig, SubsystemSpec},
    rt::Runtime,
};

const NQN: &str = "nqn.2026-11.io.basalt:test";
const HOST: &str = "nqn.2026-11.io.basalt:host";
const VOLUME_BYTES: u64 = 1 << 20;

/// A target with one subsystem of one volume, NSID 1, that `HOST` may use.
struct Node {
    target: Target,
    volume: Volume,
    runtime: Runtime,
}

impl Node {
    fn start(cores: usize) -> Self {
        let runtime = Runtime::start(cores).unwrap();
        let portals = vec![PortalConfig { listen: "127.0.0.1:0".parse().unwrap(), advertise: None }];
        let config = TargetConfig { portals, node_id: "test".into() };
        let target = Target::start(&runtime.handle(), &config).unwrap();
        let volume = Volume::stub(Uuid::from_u128(7), VOLUME_BYTES);
        let node = Self { target, volume, runtime };
        node.publish(&[1]);
        node
    }

    /// The volume under each of `nsids`, and under no other.
    fn publish(&self, nsids: &[u32]) {
        let uuid = self.volume.uuid();
        let namespaces = nsids.iter().map(|&nsid| NamespaceSpec { nsid, volume: uuid, uuid }).collect();
        let spec = SubsystemSpec { nqn: NQN.into(), allowed_hosts: vec![HOST.into()], namespaces };
        self.target.set_subsystem(&spec, std::slice::from_ref(&self.volume)).unwrap();
    }

    /// Runs a host's part on core 0 and waits for its end.
    fn run<F: Future<Output = ()> + 'static>(
        &self,
        make: impl FnOnce(std::net::SocketAddr) -> F + Send + 'static,
    ) {
        let address = self.target.portals()[0];
        let (done, wait) = std::sync::mpsc::channel();
        self.runtime.handle().spawn_on(crate::rt::CoreId(0), move || async move {
            make(address).await;
            done.send(()).unwrap();
        });
        wait.recv_timeout(std::time::Duration::from_secs(60)).expect("the host's part ends");
    }
}
