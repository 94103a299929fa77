//! The target over real sockets on loopback, by a host that can do what a good one does not. What good hosts do
//! stands in `tests/target`.

mod admin;
mod authentication;
mod crowd;
mod crowding;
mod discovery;
mod held;
mod host;
mod life;
mod limits;
mod serve;
mod shown;
mod soak;
mod stall;
mod stopped_core;
mod tls;

use uuid::Uuid;

use super::{CONTROLLER_IDS, Target, TargetConfig};
use crate::{
    engine::{Drive, DriveOptions, FormatOptions},
    node::{NamespaceSpec, PortalConfig, SubsystemSpec},
    rt::{CoreId, Disk, Runtime},
    volume::Volume,
};

const NQN: &str = "nqn.2026-11.io.basalt:test";
const HOST: &str = "nqn.2026-11.io.basalt:host";
const VOLUME_BYTES: u64 = 1 << 20;
const DRIVE_BYTES: u64 = 128 << 20;

/// A target with one subsystem of one volume, NSID 1, that `HOST` may use.
struct Node {
    target: Target,
    drive: Drive,
    volume: Volume,
    runtime: Runtime,
}

impl Node {
    fn start(cores: usize) -> Self {
        Self::configured(cores, |_| {})
    }

    fn with_stall_max(cores: usize, stall_max: std::time::Duration) -> Self {
        Self::configured(cores, |config| config.stall_max = stall_max)
    }

    fn with_limits(
        cores: usize,
        stall_max: std::time::Duration,
        authentication_max: std::time::Duration,
    ) -> Self {
        Self::configured(cores, |config| {
            config.stall_max = stall_max;
            config.authentication_max = authentication_max;
        })
    }

    fn config(change: impl FnOnce(&mut TargetConfig)) -> TargetConfig {
        let mut config = TargetConfig {
            portals: vec![PortalConfig { listen: "127.0.0.1:0".parse().unwrap(), advertise: None }],
            discovery_portals: Vec::new(),
            referrals: Vec::new(),
            node_id: "test".into(),
            nqn_prefix: "nqn.2026-11.io.basalt:".into(),
            controller_ids: CONTROLLER_IDS,
            stall_max: crate::limits::STALL_MAX,
            authentication_max: crate::limits::AUTHENTICATION_MAX,
            write_wait_max: crate::limits::WRITE_WAIT_MAX,
            connections_per_address: crate::limits::CONNECTIONS_PER_ADDRESS,
        };
        change(&mut config);
        config
    }

    fn configured(cores: usize, change: impl FnOnce(&mut TargetConfig)) -> Self {
        let runtime = Runtime::start(cores).unwrap();
        let config = Self::config(change);
        let target = Target::start(&runtime.handle(), &config).unwrap();
        target.open();
        let (drive, volume) = on_core_0(&runtime, make_volume);
        let node = Self { target, drive, volume, runtime };
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

    /// The volume as NSID 1, for each of `hosts`.
    fn admit(&self, hosts: &[&str]) {
        let uuid = self.volume.uuid();
        let namespaces = vec![NamespaceSpec { nsid: 1, volume: uuid, uuid }];
        let allowed_hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        let spec = SubsystemSpec { nqn: NQN.into(), allowed_hosts, namespaces };
        self.target.set_subsystem(&spec, std::slice::from_ref(&self.volume)).unwrap();
    }

    /// Runs a host's part on core 0 and waits for its end.
    fn run<F: Future<Output = ()> + 'static>(
        &self,
        make: impl FnOnce(std::net::SocketAddr) -> F + Send + 'static,
    ) {
        let address = self.target.portals()[0];
        on_core_0(&self.runtime, move || make(address));
    }
}

/// A drive in memory with one volume of 512-byte blocks.
async fn make_volume() -> (Drive, Volume) {
    let drive = make_drive(DRIVE_BYTES).await;
    let volume = drive.create_volume(Uuid::from_u128(7), VOLUME_BYTES, 512, 0).await.unwrap();
    (drive, volume.into())
}

async fn make_drive(size_bytes: u64) -> Drive {
    let disk = Disk::memory(size_bytes).unwrap();
    Drive::format(&disk, FormatOptions::default()).await.unwrap();
    let options = DriveOptions { write_through: None, torn: None, map_memory_bytes: 1 << 20, fault: None };
    Drive::open(disk, options).await.unwrap()
}

fn on_core_0<T: Send + 'static, F: Future<Output = T> + 'static>(
    runtime: &Runtime,
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    let (done, wait) = std::sync::mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        done.send(make().await).unwrap();
    });
    wait.recv_timeout(std::time::Duration::from_secs(60)).expect("it ends")
}
