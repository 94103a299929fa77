//! Every operation over a real TLS socket answers as the node itself does, and nobody else is let in.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use axum_server::Handle;
use dataplane::node::{
    AnaState, BlockSize, CloneSpec, DriveConfig, DriveMedium, NamespaceSpec, Node, NodeConfig, NodeError,
    NodeObject, RateLimits, SnapshotSpec, SnapshotVolumeSpec, SubsystemSpec, VolumeSpec,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

use super::serve;
use crate::{
    credentials::{Credentials, ServerNames},
    known_drives::KnownDrives,
    model::GIB,
    nodes::{
        LocalNode, NodeClient, NodeHandle,
        authority::{Authority, node_key, node_name, node_server},
        wire::WireAnaState,
    },
    tls,
};

const ID: &str = "02:00:00:00:00:0a";
const HOST: &str = "nqn.2014-08.org.example:host";

struct Both {
    local: NodeHandle,
    remote: NodeHandle,
    address: SocketAddr,
    authority: Authority,
    ca: String,
    /// The node's certificate and key, in PEM.
    identity: [String; 2],
    dir: TempDir,
}

fn start() -> Both {
    let dir = tempfile::tempdir().unwrap();
    let drive = DriveConfig {
        size_bytes: Some(16 * GIB),
        ..DriveConfig::new(DriveMedium::Memory("remote".to_owned()))
    };
    let config = NodeConfig { drives: vec![drive], map_memory_bytes: 16 << 20, ..NodeConfig::new(ID) };
    let node = LocalNode::new(Node::start(config).unwrap(), KnownDrives::load(dir.path()).unwrap());
    let authority = Authority::open(dir.path(), ID).unwrap();
    let (key, request) = node_key(ID).unwrap();
    let certificate = authority.issue_node(&request, ID).unwrap().pem;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let local = NodeHandle::Local(node);
    let server = node_server(authority.certificate(), &certificate, &key).unwrap();
    drop(serve(socket, address, server, local.clone(), Handle::new()).unwrap());
    let client = NodeClient::new(address, node_name(ID), None, authority.provisioner().unwrap(), 1);
    let ca = authority.certificate().to_owned();
    let identity = [certificate, key];
    Both { local, remote: NodeHandle::Remote(client), address, authority, ca, identity, dir }
}

/// The same answer from both, as text.
macro_rules! same {
    ($both:ident.$name:ident($($argument:expr),*)) => {{
        let remote = $both.remote.$name($($argument),*).await;
        let local = $both.local.$name($($argument),*).await;
        assert_eq!(format!("{remote:?}"), format!("{local:?}"));
        remote
    }};
}

#[tokio::test]
async fn every_reading_operation_answers_alike_and_every_change_is_done() {
    let both = start();
    let (volume, clone, shown, snapshot) =
        (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4));
    let spec = VolumeSpec {
        uuid: volume,
        size_bytes: GIB,
        block_size: BlockSize::B4096,
        reserved_bytes: GIB,
        drives: Vec::new(),
    };
    let made = both.remote.create_volume(spec.clone()).await.unwrap();
    assert_eq!((made.uuid, made.size_bytes), (volume, GIB));
    let again = both.remote.create_volume(spec).await;
    assert!(matches!(again, Err(NodeError::AlreadyExists(NodeObject::Volume))), "{again:?}");
    both.remote.expand_volume(volume, 2 * GIB, 2 * GIB, Vec::new()).await.unwrap();
    let limits = RateLimits { max_iops: 7, max_bytes_per_second: 0 };
    both.remote.set_limits(volume, limits).await.unwrap();
    assert_eq!(same!(both.volume(volume)).unwrap().limits, limits);
    both.remote.create_snapshots(vec![SnapshotSpec { volume, snapshot }]).await.unwrap();
    same!(both.snapshot(snapshot)).unwrap();
    same!(both.snapshot_unique_bytes(snapshot)).unwrap();
    let show =
        SnapshotVolumeSpec { uuid: shown, snapshot, writable: false, size_bytes: 2 * GIB, reserved_bytes: 0 };
    both.remote.create_snapshot_volume(show).await.unwrap();
    let copy = CloneSpec { uuid: clone, source: volume, size_bytes: 2 * GIB, reserved_bytes: GIB };
    both.remote.clone_volume(copy).await.unwrap();
    assert_eq!(both.remote.volumes().await.unwrap().len(), 3);

    let subsystem = SubsystemSpec {
        nqn: "nqn.2014-08.org.example:target".to_owned(),
        allowed_hosts: vec![HOST.to_owned()],
        namespaces: vec![NamespaceSpec { nsid: 1, volume, uuid: volume }],
    };
    both.remote.set_subsystem(subsystem.clone()).await.unwrap();
    assert_eq!(same!(both.subsystems()).unwrap(), std::slice::from_ref(&subsystem));
    let used = both.remote.delete_volume(volume).await;
    assert!(matches!(used, Err(NodeError::InUse(NodeObject::Volume))), "{used:?}");
    same!(both.controllers()).unwrap();
    same!(both.usage()).unwrap();
    assert_eq!(same!(both.known_nsids(subsystem.nqn.clone())).unwrap(), BTreeSet::from([1]));
    both.remote.set_ana_state(volume, WireAnaState(AnaState::NonOptimized)).await.unwrap();
    assert_eq!(same!(both.ana_state(volume)).unwrap(), WireAnaState(AnaState::NonOptimized));
    both.remote.update_requirements(vec![(HOST.to_owned(), None)]).await.unwrap();
    both.remote.set_requirements(Vec::new()).await.unwrap();
    both.remote.update_host_tls(vec![(HOST.to_owned(), None)]).await.unwrap();
    both.remote.set_host_tls(Vec::new()).await.unwrap();
    both.remote.open_portals().await.unwrap();
    both.remote.remove_subsystem(subsystem.nqn).await.unwrap();

    let more =
        DriveConfig { size_bytes: Some(4 * GIB), ..DriveConfig::new(DriveMedium::Memory("more".to_owned())) };
    let added = both.remote.add_drive(more).await.unwrap();
    assert_eq!(same!(both.drives()).unwrap().len(), 2);
    same!(both.check_drive(added.uuid)).unwrap();
    same!(both.grow_drive(Uuid::nil(), None)).unwrap_err();
    same!(both.begin_evacuation(Uuid::nil())).unwrap_err();
    both.remote.remove_drive(added.uuid).await.unwrap();
    same!(both.process()).unwrap();
    both.remote.assign_controller_ids(1, 4096).await.unwrap();
    same!(both.observe()).unwrap();
    for uuid in [shown, clone] {
        both.remote.delete_volume(uuid).await.unwrap();
    }
    both.remote.delete_snapshot(snapshot).await.unwrap();
    both.remote.delete_volume(volume).await.unwrap();
    let gone = both.remote.volume(Uuid::from_u128(9)).await;
    assert!(matches!(gone, Err(NodeError::NotFound(NodeObject::Volume))), "{gone:?}");
}

#[tokio::test]
async fn only_the_provisioner_is_let_in_and_only_the_right_node_is_asked() {
    let both = start();
    let refused = async |name: &str, config: Arc<ClientConfig>| {
        let client = NodeClient::new(both.address, node_name(name), None, config, 1);
        let answer = NodeHandle::Remote(client).drives().await;
        assert!(matches!(answer, Err(NodeError::NoAnswer(_))), "{answer:?}");
    };
    let roots: RootCertStore = tls::roots(&both.ca).unwrap();
    let builder = || {
        ClientConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap()
    };
    refused(ID, Arc::new(builder().with_root_certificates(roots).with_no_client_auth())).await;
    // A node's own certificate opens no other node, and an administrator's none at all.
    let names = ServerNames::new(&[], &[]).unwrap();
    let credentials = Credentials::open(both.dir.path(), ID, &names).unwrap();
    let administrator = std::fs::read_to_string(credentials.dir.join("ssdtoolbox.pem")).unwrap();
    let [certificate, key] = both.identity.clone();
    for identity in [certificate + &key, administrator] {
        let chain = CertificateDer::from_pem_slice(identity.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.as_bytes()).unwrap();
        let config = builder().with_root_certificates(tls::roots(&both.ca).unwrap());
        refused(ID, Arc::new(config.with_client_auth_cert(vec![chain], key).unwrap())).await;
    }
    let other_dir = tempfile::tempdir().unwrap();
    let other = Authority::open(other_dir.path(), ID).unwrap();
    refused(ID, other.provisioner().unwrap()).await;
    // Another node than the one that was meant answers at the address.
    refused("02:00:00:00:00:0b", both.authority.provisioner().unwrap()).await;
    // Of two certificates of its name the one that was given later counts.
    let shown = Sha256::digest(CertificateDer::from_pem_slice(both.identity[0].as_bytes()).unwrap());
    let later = both.authority.issue_node(&node_key(ID).unwrap().1, ID).unwrap().digest;
    for (given_last, is_let_in) in [(Some(shown.into()), true), (Some(later), false), (None, true)] {
        let config = both.authority.provisioner().unwrap();
        let client = NodeClient::new(both.address, node_name(ID), given_last, config, 1);
        let drives = NodeHandle::Remote(client).drives().await;
        match is_let_in {
            true => assert_eq!(drives.unwrap().len(), 1),
            false => assert!(drives.unwrap_err().to_string().contains("its certificate"), "{given_last:?}"),
        }
    }
}
