//! A control plane over a node with a memory drive, and a client that speaks HTTPS to it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use control::{ControlConfig, ControlServer, serve};
use dataplane::node::{DriveConfig, DriveMedium, Node, NodeConfig, PortalConfig};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Bytes, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const LOCAL: [u8; 4] = [127, 0, 0, 1];

/// A node whose drive is gone with it.
pub(crate) fn memory_node(size_gib: u64) -> Node {
    Node::start(node_config(vec![memory_drive("test", size_gib)])).unwrap()
}

pub(crate) fn memory_drive(name: &str, size_gib: u64) -> DriveConfig {
    drive(DriveMedium::Memory(name.to_owned()), size_gib)
}

/// A sparse file that keeps its volumes over a restart.
pub(crate) fn file_drive(path: &Path, size_gib: u64) -> DriveConfig {
    drive(DriveMedium::Path(path.to_owned()), size_gib)
}

fn drive(medium: DriveMedium, size_gib: u64) -> DriveConfig {
    DriveConfig { size_bytes: Some(size_gib * GIB), ..DriveConfig::new(medium) }
}

pub(crate) fn node_config(drives: Vec<DriveConfig>) -> NodeConfig {
    NodeConfig {
        cores: 1,
        drives,
        portals: vec![PortalConfig { listen: SocketAddr::from((LOCAL, 0)), advertise: None }],
        map_memory_bytes: 16 << 20,
        ..NodeConfig::new("02:00:00:00:00:01")
    }
}

pub(crate) fn config(data_dir: &Path) -> ControlConfig {
    ControlConfig { api: vec![SocketAddr::from((LOCAL, 0))], ..ControlConfig::new(data_dir) }
}

/// A server with its data directory; both go when it is dropped.
pub(crate) struct Running {
    pub(crate) dir: TempDir,
    pub(crate) node: Node,
    pub(crate) server: ControlServer,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A fresh server on a 64 GiB memory drive, with the settings changed.
    pub(crate) async fn with(change: impl FnOnce(&mut ControlConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::on(dir, memory_node(64), change).await
    }

    pub(crate) async fn on(dir: TempDir, node: Node, change: impl FnOnce(&mut ControlConfig)) -> Self {
        let mut config = config(dir.path());
        change(&mut config);
        let server = serve(config, node.clone()).await.unwrap();
        Self { dir, node, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.listeners()[0]
    }

    /// With the client certificate and no token, as Cinder without one.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address(), self.server.credentials()).certificate("ssdtoolbox.pem")
    }

    /// With neither.
    pub(crate) fn stranger(&self) -> Client {
        Client::new(self.address(), self.server.credentials())
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.server.credentials().join("token")).unwrap().trim().to_owned()
    }

    /// Of the user admin, as the first start made it.
    pub(crate) fn admin_password(&self) -> String {
        let file = self.server.credentials().join("admin-password");
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// Logged in as the user admin.
    pub(crate) async fn admin(&self) -> Client {
        self.stranger().logged_in("admin", &self.admin_password()).await
    }

    /// Stops the server and lets its node go on; the directory stays.
    pub(crate) async fn stop(self) -> (TempDir, Node) {
        self.server.shutdown().await;
        (self.dir, self.node)
    }
}

/// A server with several storage nodes, all in this process. Volumes of several copies are mirrored by hosts.
pub(crate) struct Cluster {
    pub(crate) running: Running,
    /// Where each keeps its state; the first is that of the server.
    members: Vec<(Node, Option<TempDir>)>,
}

impl Cluster {
    pub(crate) async fn of(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("persistent-id"), Self::id(0)).unwrap();
        let running =
            Running::on(dir, memory_node(64), |c| c.default_replication = control::Replication::Host).await;
        let members = vec![(running.node.clone(), None)];
        let mut cluster = Self { running, members };
        for index in 1..nodes {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("persistent-id"), Self::id(index)).unwrap();
            cluster.members.push((memory_node(64), Some(dir)));
            cluster.bring_back(index).await;
        }
        cluster
    }

    /// Its persistentID; all have the same room, so that copies go to the first ones.
    pub(crate) fn id(index: usize) -> String {
        format!("02:00:00:00:00:{index:02x}")
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.members[index].0
    }

    /// The node no longer answers; not the first one.
    pub(crate) fn take_away(&self, index: usize) {
        self.running.server.release(&Self::id(index));
    }

    pub(crate) async fn bring_back(&mut self, index: usize) {
        let (node, dir) = &self.members[index];
        let dir = dir.as_ref().unwrap();
        self.running.server.direct(node.clone(), dir.path()).await.unwrap();
    }

    /// How many volumes each node has, and how many namespaces it exports.
    pub(crate) async fn counts(&self) -> (Vec<usize>, Vec<usize>) {
        let (mut volumes, mut exported) = (Vec::new(), Vec::new());
        for (node, _) in &self.members {
            volumes.push(node.volumes().await.len());
            exported.push(node.subsystems().await.iter().map(|s| s.namespaces.len()).sum());
        }
        (volumes, exported)
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    credentials: std::path::PathBuf,
    identity: Option<(Vec<CertificateDer<'static>>, Arc<PrivateKeyDer<'static>>)>,
    authorization: Option<String>,
    accept: Option<String>,
    headers: Vec<(&'static str, String)>,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// One for all requests, so that later ones resume the TLS session, as real clients' do.
    tls: Arc<OnceLock<TlsConnector>>,
}

/// What came back; every body is JSON, or the test fails.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, credentials: &Path) -> Self {
        Self {
            address,
            credentials: credentials.to_owned(),
            identity: None,
            authorization: None,
            accept: None,
            headers: Vec::new(),
            versions: rustls::ALL_VERSIONS,
            tls: Arc::default(),
        }
    }

    pub(crate) fn certificate(self, file: &str) -> Self {
        let pem = std::fs::read(self.credentials.join(file)).unwrap();
        self.certificate_pem(&pem)
    }

    /// Certificate and key in one text.
    pub(crate) fn certificate_pem(mut self, pem: &[u8]) -> Self {
        let chain = CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect();
        self.identity = Some((chain, Arc::new(PrivateKeyDer::from_pem_slice(pem).unwrap())));
        self.tls = Arc::default();
        self
    }

    pub(crate) fn authorization(mut self, value: &str) -> Self {
        self.authorization = Some(value.to_owned());
        self
    }

    /// Says what kinds of answers it takes.
    pub(crate) fn accept(mut self, kinds: &str) -> Self {
        self.accept = Some(kinds.to_owned());
        self
    }

    /// With that header in every request.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same client, of another server.
    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    pub(crate) fn only(mut self, versions: &'static [&'static rustls::SupportedProtocolVersion]) -> Self {
        self.versions = versions;
        self.tls = Arc::default();
        self
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let ca = std::fs::read(self.credentials.join("ca.pem")).unwrap();
        roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match &self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        Arc::new(config).into()
    }

    /// Status, content type and text of the answer.
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> (StatusCode, String, String) {
        self.try_raw(method, path, body).await.unwrap()
    }

    /// Fails if the server does not answer.
    pub(crate) async fn try_raw(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, String, String), Box<dyn std::error::Error + Send + Sync>> {
        let response = self.try_response(method, path, "", body.into()).await?;
        let kind = response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
        let status = response.status();
        Ok((status, kind.unwrap_or_default(), String::from_utf8(response.into_body().to_vec())?))
    }

    /// The whole answer, whatever its body is. `kind`: of the body that is sent.
    pub(crate) async fn response(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Response<Bytes> {
        self.try_response(method, path, kind, body).await.unwrap()
    }

    /// One header of the answer to a GET.
    pub(crate) async fn header_of(&self, path: &str, name: header::HeaderName) -> String {
        let response = self.response(Method::GET, path, "", Bytes::new()).await;
        let value = response.headers().get(&name).unwrap_or_else(|| panic!("{path} has no {name}"));
        value.to_str().unwrap().to_owned()
    }

    pub(crate) async fn try_response(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::from(self.address.ip());
        let stream = self.tls.get_or_init(|| self.connector()).connect(name, tcp).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "test");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(accept) = &self.accept {
            request = request.header(header::ACCEPT, accept);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let (head, body) = sender.send_request(request.body(Full::new(body))?).await?.into_parts();
        let bytes = body.collect().await?.to_bytes();
        drop(sender);
        connection.abort();
        Ok(Response::from_parts(head, bytes))
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let (status, kind, text) = self.raw(method, path, body).await;
        let is_json = ["application/json", "application/json; charset=utf-8"].contains(&kind.as_str());
        assert!(is_json, "{path}: {kind}: {text}");
        let body = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text:?}"));
        Answer { status, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.ok(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Value {
        self.ok(Method::PATCH, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Value {
        self.ok(Method::PUT, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Value {
        let answer = self.send(Method::DELETE, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    async fn ok(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.send(method, path, body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    /// A session of that user.
    pub(crate) async fn login(&self, user: &str, password: &str) -> Answer {
        let body = json!({ "username": user, "password": password });
        self.send(Method::POST, "/v1/session/login", body.to_string()).await
    }

    /// With that bearer instead of what it had.
    pub(crate) fn bearer(&self, bearer: &str) -> Self {
        self.clone().authorization(&format!("Bearer {bearer}"))
    }

    /// The same client, logged in.
    pub(crate) async fn logged_in(&self, user: &str, password: &str) -> Self {
        let answer = self.login(user, password).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        self.bearer(answer.body["bearer_token"].as_str().unwrap())
    }

    /// The status of an answer that may have no body.
    pub(crate) async fn status(&self, method: Method, path: &str, body: Value) -> u16 {
        self.raw(method, path, body.to_string()).await.0.as_u16()
    }

    /// Makes a volume and returns its UUID.
    pub(crate) async fn volume(&self, alias: &str, gib: u64) -> String {
        let made = self.post("/volumes", json!({ "alias": alias, "capacity": gib })).await;
        assert_eq!(made["status"], "Success", "{made}");
        made["persistentId"].as_str().unwrap().to_owned()
    }

    /// As `volume`, with so many copies.
    pub(crate) async fn replicated(&self, alias: &str, gib: u64, copies: u64) -> String {
        let class = json!({"numReplicas": copies});
        let body = json!({"alias": alias, "capacity": gib, "storageClass": class});
        let made = self.post("/volumes", body).await;
        assert_eq!(made["status"], "Success", "{made}");
        made["persistentId"].as_str().unwrap().to_owned()
    }

    /// A volume's copies: their UUIDs and states.
    pub(crate) async fn copies(&self, volume: &str) -> Vec<(String, String)> {
        let shown = self.get(&format!("/volumes/{volume}")).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let locations = shown[0]["location"].as_array().unwrap();
        locations.iter().map(|l| (text(&l["uuid"]), text(&l["replicaState"]))).collect()
    }

    /// Announces a host that is Unavailable at once, so that it can be deleted again.
    pub(crate) async fn host(&self, id: &str) {
        let probe = json!({"clientType": "Agent", "duration": 0, "hostId": id, "name": format!("name-{id}"),
            "hostNqn": format!("nqn.2014-08.org.nvmexpress:uuid:{id}"), "version": "1"});
        assert_eq!(self.post("/host_probe", probe).await["status"], "Success");
    }

    pub(crate) async fn publish(&self, volume: &str, host: &str) -> Value {
        self.post("/publish", json!({ "volId": volume, "hostId": host })).await
    }

    pub(crate) async fn unpublish(&self, volume: &str, host: &str) -> Value {
        self.post("/unpublish", json!({ "volId": volume, "hostId": host })).await
    }
}

pub(crate) fn uuid(n: u32) -> String {
    format!("6ba7b810-9dad-41d1-80b4-0000{n:08x}")
}
