//! A node with one volume that two hosts may use.

use dataplane::node::{
    BlockSize, Credentials, DhGroup, DriveConfig, DriveMedium, HashFunction, NamespaceSpec, Node, NodeConfig,
    PortalConfig, Requirement, Secret, SubsystemSpec, VolumeSpec,
};
use nvmeof::Nqn;
use uuid::Uuid;

const SUBSYSTEM: &str = "nqn.2026-11.io.basalt:conformance";
const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:11111111-1111-1111-1111-111111111111";
const SECOND_HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:22222222-2222-2222-2222-222222222222";
const MIB: u64 = 1 << 20;

/// A running node with a volume in memory.
pub(crate) struct Site {
    node: Node,
}

impl Site {
    pub(crate) fn open() -> Self {
        let drive = DriveConfig {
            size_bytes: Some(256 * MIB),
            ..DriveConfig::new(DriveMedium::Memory("conformance".to_owned()))
        };
        let node = Node::start_closed(NodeConfig {
            cores: 2,
            drives: vec![drive],
            portals: vec![PortalConfig { listen: "127.0.0.1:0".parse().unwrap(), advertise: None }],
            map_memory_bytes: 8 * MIB,
            ..NodeConfig::new("conformance")
        })
        .unwrap();
        let volume = Uuid::new_v4();
        wait(node.create_volume(VolumeSpec {
            uuid: volume,
            size_bytes: 64 * MIB,
            block_size: BlockSize::B4096,
            reserved_bytes: 0,
            drives: Vec::new(),
        }))
        .unwrap();
        wait(node.set_subsystem(SubsystemSpec {
            nqn: SUBSYSTEM.to_owned(),
            allowed_hosts: vec![HOST.to_owned(), SECOND_HOST.to_owned()],
            namespaces: vec![NamespaceSpec { nsid: 1, volume, uuid: volume }],
        }))
        .unwrap();
        node.open_portals();
        Self { node }
    }

    /// Both hosts have to authenticate from now on, so.
    pub(crate) fn require(&self, hash: HashFunction, group: DhGroup, transform: Option<HashFunction>) {
        let secret = |byte| Secret::parse(&secret_text(byte, transform)).unwrap();
        let credentials = Credentials { host: secret(1), controller: Some(secret(2)) };
        let requirement = Requirement { credentials, hash, group };
        let of = |host: &str| (host.to_owned(), requirement.clone());
        wait(self.node.set_requirements(vec![of(HOST), of(SECOND_HOST)]));
    }

    /// The checks of hosts that know the secrets; without the controller's they ask it for none.
    pub(crate) fn options_with(
        &self,
        transform: Option<HashFunction>,
        two_way: bool,
    ) -> conformance::Options {
        let secret = |byte| conformance::Secret::parse(&secret_text(byte, transform)).unwrap();
        let credentials =
            conformance::Credentials { host: secret(1), controller: two_way.then(|| secret(2)) };
        conformance::Options { credentials: Some(credentials), ..self.options() }
    }

    /// Every check, writing ones and those with two hosts too.
    pub(crate) fn options(&self) -> conformance::Options {
        let nqn = |text: &str| Nqn::new(text).unwrap();
        let address = self.node.portals()[0];
        let mut options = conformance::Options::new(address, nqn(SUBSYSTEM), nqn(HOST), Uuid::from_u128(1));
        options.second_host = Some((nqn(SECOND_HOST), Uuid::from_u128(2)));
        options.write = true;
        options
    }
}

/// A key of equal bytes, used as it is or transformed.
fn secret_text(byte: u8, transform: Option<HashFunction>) -> String {
    let hash = transform.unwrap_or(HashFunction::Sha256);
    let text = Secret::generate(hash, |key| key.fill(byte)).to_text();
    match transform {
        Some(_) => text.to_string(),
        None => text.replacen(":01:", ":00:", 1),
    }
}

/// Runs a node request to its end.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(answer) = future.as_mut().poll(&mut cx) {
            return answer;
        }
        std::thread::yield_now();
    }
}
