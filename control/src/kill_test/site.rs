//! Storage nodes behind their APIs, which outlive every provisioner, and what can be seen of all that is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State as Shared},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use axum_server::Handle;
use dataplane::node::{DriveConfig, DriveMedium, Node, NodeConfig, VolumeState};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::Notify, task::JoinHandle};

use super::cut::{Fate, Life, Step};
use crate::{
    credentials::{Credentials, ServerNames},
    known_drives::KnownDrives,
    limits,
    model::{
        GIB,
        backend::BackendRecord,
        node::{CertificateDigest, NodeRecord},
    },
    node_api::{FENCE, fenced_routes},
    nodes::{
        LocalNode, NodeHandle,
        authority::{Authority, node_key, node_server},
    },
    open::store_path,
    server::listen,
    state::{Change, State},
    store::RedbStore,
    tls,
};

/// Of the provisioner itself, which has no drives.
const PROVISIONER: &str = "02:00:00:00:00:ff";
/// What changes nothing on a node, or nothing that anybody could miss: who is served is told again after each start.
const NO_STEPS: [&str; 15] = [
    "open_portals",
    "assign_controller_ids",
    "ana_state",
    "process",
    "observe",
    "drives",
    "check_drive",
    "volumes",
    "volume",
    "snapshot",
    "snapshot_unique_bytes",
    "subsystems",
    "usage",
    "known_nsids",
    "controllers",
];

pub(super) struct Site {
    pub(super) dir: TempDir,
    pub(super) runtime: Runtime,
    pub(super) doors: Arc<Doors>,
    nodes: Vec<(String, Node)>,
    /// Of the nodes' APIs.
    pub(super) ports: Vec<u16>,
    /// Whose signature on a licence counts.
    license_key: rcgen::KeyPair,
}

/// Where every request to a node passes, before the node's fence.
#[derive(Default)]
pub(super) struct Doors(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// By the number of the provisioner's start, which its requests bear.
    lives: BTreeMap<u64, Life>,
    /// Nodes that were told to let hosts in, by life.
    open: BTreeMap<u64, BTreeSet<String>>,
    /// Hosts that have to prove something, by node and operation, as it was last told.
    proofs: BTreeMap<(String, String), Vec<Value>>,
    late: Vec<(Arc<Notify>, JoinHandle<StatusCode>)>,
}

impl Doors {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    pub(super) fn expect(&self, epoch: u32, life: &Life) {
        self.seen().lives.insert(u64::from(epoch), life.clone());
    }

    /// How many nodes that life has brought to what is recorded.
    pub(super) fn served(&self, epoch: u32) -> usize {
        self.seen().open.get(&u64::from(epoch)).map_or(0, BTreeSet::len)
    }

    /// Lets those requests in of which provisioners died; how nodes answer them.
    pub(super) async fn let_late_in(&self) -> Vec<StatusCode> {
        let mut answers = Vec::new();
        let late = std::mem::take(&mut self.seen().late);
        for (go, answered) in late {
            go.notify_one();
            answers.push(answered.await.unwrap());
        }
        answers
    }
}

/// The door of one node.
#[derive(Clone)]
struct Door {
    id: String,
    doors: Arc<Doors>,
}

async fn pass(Shared(door): Shared<Door>, request: Request, next: Next) -> Response {
    let operation = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let fence: u64 = request.headers()[FENCE].to_str().unwrap().parse().unwrap();
    if NO_STEPS.contains(&operation.as_str()) {
        let answer = next.run(request).await;
        if operation == "open_portals" {
            door.doors.seen().open.entry(fence >> 32).or_default().insert(door.id.clone());
        }
        return answer;
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, limits::NODE_BODY_BYTES).await.unwrap();
    let epoch = fence >> 32;
    let life = door.doors.seen().lives[&epoch].clone();
    let fate = life.take(Step::Node(door.id.clone(), operation.clone()));
    let request = Request::from_parts(parts, Body::from(body.clone()));
    match fate {
        Fate::Done => {
            let answer = next.run(request).await;
            if answer.status() == StatusCode::OK {
                note(&door, operation, &body);
            }
            answer
        }
        Fate::Last => {
            let go = Arc::new(Notify::new());
            let gone = Arc::clone(&go);
            let answered = tokio::spawn(async move {
                gone.notified().await;
                next.run(request).await.status()
            });
            door.doors.seen().late.push((go, answered));
            std::future::pending().await
        }
        Fate::Never => std::future::pending().await,
    }
}

fn note(door: &Door, operation: String, body: &[u8]) {
    if ["set_requirements", "set_host_tls"].contains(&operation.as_str()) {
        let (hosts,): (Vec<(Value, Value)>,) = serde_json::from_slice(body).unwrap();
        let names = hosts.into_iter().map(|(name, _)| name).collect();
        door.doors.seen().proofs.insert((door.id.clone(), operation), names);
    }
}

impl Site {
    /// That many nodes, each with a drive of 64 GiB and in a rack of its own: `r0`, `r1`…
    pub(super) fn of(nodes: usize) -> Self {
        // In memory, where there is such a place: nobody pulls a plug here.
        let memory = Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        std::fs::write(dir.path().join("persistent-id"), PROVISIONER).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let mut site = Self {
            dir,
            runtime: runtime.unwrap(),
            doors: Arc::default(),
            nodes: Vec::new(),
            ports: Vec::new(),
            license_key: rcgen::KeyPair::generate().unwrap(),
        };
        std::fs::write(site.license_key(), site.license_key.public_key_pem()).unwrap();
        let names = ServerNames::new(&[], &[]).unwrap();
        let credentials = Credentials::open(site.dir.path(), PROVISIONER, &names).unwrap();
        let authority = Authority::open(&credentials.dir, PROVISIONER).unwrap();
        let mut change = Change::default();
        for n in 0..nodes {
            let id = format!("02:00:00:00:00:{n:02x}");
            let (address, certificate) = site.add_node(&id, &authority);
            let (rack, mgmt_port) = (Some(format!("r{n}")), Some(address.port()));
            change = change.create(&BackendRecord { rack, mgmt_port, ..BackendRecord::new(&id) });
            change = change.create(&NodeRecord {
                name: id.clone(),
                persistent_id: id,
                address,
                certificate: Some(certificate),
            });
            site.ports.push(address.port());
        }
        let store = Arc::new(RedbStore::open(&store_path(site.dir.path())).unwrap());
        site.runtime.block_on(State::new(store).commit(change)).unwrap();
        site
    }

    fn add_node(&mut self, id: &str, authority: &Authority) -> (SocketAddr, CertificateDigest) {
        let drive = DriveConfig {
            size_bytes: Some(64 * GIB),
            ..DriveConfig::new(DriveMedium::Memory("kill".to_owned()))
        };
        let config =
            NodeConfig { cores: 1, drives: vec![drive], map_memory_bytes: 16 << 20, ..NodeConfig::new(id) };
        let node = Node::start(config).unwrap();
        let (key, request) = node_key(id).unwrap();
        let certificate = authority.issue_node(&request, id).unwrap();
        let server = node_server(authority.certificate(), &certificate.pem, &key).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let known = self.dir.path().join(id);
        std::fs::create_dir(&known).unwrap();
        let local = NodeHandle::Local(LocalNode::new(node.clone(), KnownDrives::load(&known).unwrap()));
        let door = Door { id: id.to_owned(), doors: Arc::clone(&self.doors) };
        let routes = fenced_routes(local).layer(from_fn_with_state(door, pass));
        let _guard = self.runtime.enter();
        drop(listen(socket, address, tls::Acceptor::new(server), routes, Handle::new()).unwrap());
        self.nodes.push((id.to_owned(), node));
        (address, certificate.digest)
    }

    /// The file that the provisioner checks licences with.
    pub(super) fn license_key(&self) -> PathBuf {
        self.dir.path().join("license-key.pem")
    }

    pub(super) fn license(&self, claims: &Value) -> String {
        let key = EncodingKey::from_ec_pem(self.license_key.serialize_pem().as_bytes()).unwrap();
        encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
    }

    /// What the nodes have, once what is being deleted is gone.
    pub(super) async fn on_nodes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, node) in &self.nodes {
            let is_going = |state: &VolumeState| *state == VolumeState::Deleting;
            poll("deletions end", async || {
                let volumes = node.volumes().await.iter().any(|v| is_going(&v.state));
                !volumes && !node.snapshots().await.iter().any(|s| is_going(&s.state))
            })
            .await;
            for v in node.volumes().await {
                let (size, reserved) = (v.size_bytes, v.reserved_bytes);
                let facts = json!([v.uuid, size, reserved, v.complete, v.writable, v.limits]);
                found.push(format!("{id} has volume {facts}"));
            }
            found.extend(node.snapshots().await.iter().map(|s| format!("{id} has snapshot {}", s.uuid)));
            found.extend(node.subsystems().await.iter().map(|s| format!("{id} exports {}", json!(s))));
        }
        let seen = self.doors.seen();
        let proofs = seen.proofs.iter().filter(|(_, hosts)| !hosts.is_empty());
        found.extend(proofs.map(|((id, operation), hosts)| format!("{id} {operation} {}", json!(hosts))));
        found
    }

    /// Every drive is as empty as a new one, once it has given its extents back.
    pub(super) fn is_empty(&self) {
        self.runtime.block_on(poll("all space is free again", async || {
            for (_, node) in &self.nodes {
                if node.drives().await.iter().any(|d| d.unreserved_bytes != d.capacity_bytes) {
                    return false;
                }
            }
            true
        }));
    }
}

/// Looks until it is so; a slow machine may take long.
pub(super) async fn poll(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..20_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it never came to this: {what}");
}
