//! Nodes in other processes: joining, volumes there, and a node that goes and comes back. Here "another process" is
//! another node with an API of its own, reached through a socket.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, time::Duration};

use control::{Join, Location, NodeRole, NodeServer, serve, serve_node};
use dataplane::node::{Node, NodeConfig};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Client, Cluster, LOCAL, Running, config, file_drive, node_config};

/// Where one node keeps its state.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn serve(&self, listen: SocketAddr, join: Option<Join>) -> (Node, Result<NodeServer, String>) {
        let id = control::node_id(self.0.path()).unwrap();
        let drive = file_drive(&self.0.path().join("drive.img"), 8);
        let node = Node::start_closed(NodeConfig { node_id: id, ..node_config(vec![drive]) }).unwrap();
        let role = NodeRole { data_dir: self.0.path().to_owned(), listen, join };
        let served = serve_node(role, node.clone()).await;
        (node, served.map_err(|error| error.to_string()))
    }

    fn id(&self) -> String {
        control::node_id(self.0.path()).unwrap()
    }
}

fn join(running: &Running, invite: &str) -> Join {
    Join {
        host: "127.0.0.1".to_owned(),
        port: running.address().port(),
        invite: invite.parse().unwrap(),
        name: "second".to_owned(),
        location: Location { zone: Some("z1".to_owned()), ..Location::default() },
    }
}

async fn invite(client: &Client) -> String {
    let answer = client.send(Method::POST, "/basalt/v1/invites", "").await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.body);
    answer.body["invite"].as_str().unwrap().to_owned()
}

/// Asks until it is so; the tests' own limit ends the waiting.
async fn until(client: &Client, path: &str, is_so: impl Fn(&Value) -> bool) {
    for _ in 0..1200 {
        if is_so(&client.get(path).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path}: {}", client.get(path).await);
}

#[tokio::test]
async fn a_node_joins_gets_volumes_goes_and_comes_back() {
    let running = Running::start().await;
    let client = running.client();
    let place = Place::new();
    let text = invite(&client).await;
    let (node, served) = place.serve((LOCAL, 0).into(), Some(join(&running, &text))).await;
    let served = served.unwrap();
    let address = served.address();
    let path = format!("/backends/{}", place.id());
    until(&client, &path, |b| b[0]["state"] == "Available").await;
    let backend = client.get(&path).await;
    assert_eq!((&backend[0]["zone"], &backend[0]["numberOfSSDs"]), (&json!("z1"), &json!(1)));

    let own = client.get("/basalt/v1/nodes").await;
    let own = own.as_array().unwrap().iter().find(|n| n["persistentID"] != json!(place.id())).unwrap();
    let own = format!("/backends/{}", own["persistentID"].as_str().unwrap());
    assert_eq!(client.put(&own, json!({"hostId": "same"})).await["status"], "Success");
    let twice = client.put(&path, json!({"hostId": "same"})).await;
    assert_eq!(twice["status"], "BackendWithHostIdAlreadyExists", "{twice}");

    let there = json!({"alias": "there", "capacity": 4, "storageClass": {"zones": ["z1"]}});
    let volume = client.post("/volumes", there).await["persistentId"].as_str().unwrap().to_owned();
    assert_eq!(node.volumes().await.len(), 1);
    assert_eq!(running.node.volumes().await.len(), 0);
    client.host("h").await;
    assert_eq!(client.publish(&volume, "h").await["status"], "Success");
    let exported = node.subsystems().await;
    assert_eq!(exported[0].namespaces[0].volume.to_string(), volume);
    assert!(running.node.subsystems().await.is_empty());

    served.shutdown().await;
    node.shutdown().await;
    drop(node);
    until(&client, &path, |b| b[0]["state"] == "Unavailable").await;
    let shown = client.get(&format!("/volumes/{volume}")).await;
    assert_eq!(shown[0]["location"][0]["replicaState"], "Missing", "recorded, and not dropped: {shown}");
    let refused = client.delete(&format!("/volumes/{volume}")).await;
    assert_ne!(refused["status"], "Success");
    // The host knows the volume's NSID, which another node could not tell.
    let other = client.volume("here", 1).await;
    assert_eq!(client.publish(&other, "h").await["status"], "Success", "through the node that is there");
    let held = client.delete(&path).await;
    assert_eq!(held["status"], "BackendHasVolumes", "{held}");
    assert_eq!(client.delete("/reset_inventory").await["status"], "CommunicationError");

    // Without an invite, at the same address.
    let (node, served) = place.serve(address, None).await;
    let served = served.unwrap();
    until(&client, &path, |b| b[0]["state"] == "Available").await;
    until(&client, &format!("/volumes/{volume}"), |v| v[0]["location"][0]["replicaState"] == "Available")
        .await;
    for _ in 0..1200 {
        if node.subsystems().await == exported {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(node.subsystems().await, exported, "exported as before");
    assert_eq!(client.unpublish(&volume, "h").await["status"], "Success");
    assert_eq!(client.delete(&format!("/volumes/{volume}")).await["status"], "Success");
    served.shutdown().await;
}

#[tokio::test]
async fn a_provisioner_alone_knows_its_nodes_apart_and_lets_go_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(config(dir.path()), None).await.unwrap();
    let client = Client::new(server.listeners()[0], server.credentials()).certificate("ssdtoolbox.pem");
    assert_eq!(client.get("/backends").await, json!([]));
    assert_eq!(
        client.post("/volumes", json!({"alias": "v", "capacity": 1})).await["status"],
        "NoMatchingBackend"
    );
    let status = client.get("/basalt/v1/status").await;
    assert!(status["next"][0].as_str().unwrap().contains("node invite"), "{status}");

    let (one, other) = (Place::new(), Place::new());
    let mut running = Vec::new();
    for (place, name) in [(&one, "one"), (&other, "other")] {
        let invite = invite(&client).await.parse().unwrap();
        let port = server.listeners()[0].port();
        let host = "127.0.0.1".to_owned();
        let join = Join { host, port, invite, name: name.to_owned(), location: Location::default() };
        let (node, served) = place.serve((LOCAL, 0).into(), Some(join)).await;
        running.push((node, served.unwrap()));
        until(&client, &format!("/backends/{}", place.id()), |b| b[0]["state"] == "Available").await;
    }
    let drive = json!({"memory": "m", "sizeBytes": 2u64 << 30});
    let unclear = client.send(Method::POST, "/basalt/v1/drives", drive.to_string()).await;
    assert_eq!((unclear.status.as_u16(), &unclear.body["field"]), (400, &json!("node")));
    let named = json!({"memory": "m", "sizeBytes": 2u64 << 30, "node": "other"});
    let added = client.send(Method::POST, "/basalt/v1/drives", named.to_string()).await;
    assert_eq!(added.body["node"], json!(other.id()), "{}", added.body);
    assert_eq!(running[1].0.drives().await.len(), 2);
    let metrics = client.raw(Method::GET, "/metrics", "").await.2;
    assert!(metrics.contains(&format!("ks_node_state{{node=\"{}\",name=\"one\"", one.id())), "{metrics}");

    let mine = format!("/backends/{}", one.id());
    assert_eq!(client.delete("/backends/02:00:00:00:00:99").await["status"], "NotExists");
    let zone = json!({"zone": "only"});
    assert_eq!(client.put(&mine, zone).await["status"], "Success");
    let there = json!({"alias": "there", "capacity": 1, "storageClass": {"zones": ["only"]}});
    let volume = client.post("/volumes", there).await["persistentId"].as_str().unwrap().to_owned();
    let forced = format!("{mine}?force=true");
    assert_eq!(client.delete(&forced).await["status"], "BackendHasVolumes", "it answers");
    let (node, served) = running.remove(0);
    let address = served.address();
    served.shutdown().await;
    node.shutdown().await;
    drop(node);
    until(&client, &mine, |b| b[0]["state"] == "Unavailable").await;
    assert_eq!(client.delete(&mine).await["status"], "BackendHasVolumes", "without force");
    until(&client, "/basalt/v1/nodes", |nodes| {
        nodes.as_array().unwrap().iter().any(|n| n["available"] == false)
    })
    .await;
    assert_eq!(client.delete(&forced).await["status"], "Success");
    assert_eq!(client.get(&mine).await, json!([]));
    let lost = client.get(&format!("/volumes/{volume}")).await;
    let location = &lost[0]["location"][0];
    assert_eq!(
        (&location["backend"]["persistentID"], &location["replicaState"]),
        (&json!(""), &json!("Missing"))
    );
    let (node, served) = one.serve(address, None).await;
    let served = served.unwrap();
    let add = |port: u16| json!({"mgmtIPs": "127.0.0.1", "mgmtPort": port, "rack": "r9"});
    let nobody = client.post("/backends", add(server.listeners()[0].port())).await;
    assert_eq!(nobody["status"], "NotAvailable", "that is no node: {nobody}");
    assert_eq!(client.post("/backends", add(address.port())).await["status"], "Success");
    assert_eq!(client.post("/backends", add(address.port())).await["status"], "AlreadyExists");
    until(&client, &mine, |b| b[0]["state"] == "Available" && b[0]["rack"] == "r9").await;
    client.host("h").await;
    assert_eq!(client.publish(&volume, "h").await["status"], "PublishFailed");
    assert_eq!(client.delete(&format!("/volumes/{volume}")).await["status"], "Success");
    // What it still has of before is nobody's, and never deleted by itself.
    let problems = client.get("/basalt/v1/status").await["problems"].clone();
    assert!(problems[0].as_str().unwrap().contains("not recorded here"), "{problems}");
    served.shutdown().await;
    node.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn an_invite_is_good_once_and_for_its_own_server() {
    let (running, other) = (Running::start().await, Running::start().await);
    let place = Place::new();
    let (_node, uninvited) = place.serve((LOCAL, 0).into(), None).await;
    assert!(uninvited.unwrap_err().contains("invite"));
    let client = running.client();
    let text = invite(&client).await;
    let (_node, wrong) = Place::new().serve((LOCAL, 0).into(), Some(join(&other, &text))).await;
    assert!(wrong.unwrap_err().contains("certificate"), "another server is not told the secret");
    let spoilt = format!("{}x", &text[..text.len() - 1]);
    let (_node, wrong) = Place::new().serve((LOCAL, 0).into(), Some(join(&running, &spoilt))).await;
    assert!(wrong.unwrap_err().contains("not valid"));
    let (one, other) = (Place::new(), Place::new());
    let ((_node, first), (_other_node, second)) = tokio::join!(
        one.serve((LOCAL, 0).into(), Some(join(&running, &text))),
        other.serve((LOCAL, 0).into(), Some(join(&running, &text))),
    );
    let (joined, refused) = if first.is_ok() { (&one, second) } else { (&other, first) };
    assert!(refused.unwrap_err().contains("not valid"), "two came with it at once");
    let (_node, twice) = Place::new().serve((LOCAL, 0).into(), Some(join(&running, &text))).await;
    assert!(twice.unwrap_err().contains("not valid"));
    let membership = std::fs::metadata(joined.0.path().join("membership.json")).unwrap();
    assert_eq!(membership.permissions().mode() & 0o777, 0o600);
    let nodes = client.get("/basalt/v1/nodes").await;
    assert_eq!(nodes.as_array().unwrap().len(), 2, "{nodes}");
    let bad = client.send(Method::POST, "/basalt/v1/nodes", json!({"invite": 5}).to_string()).await;
    assert_eq!(bad.status.as_u16(), 400, "{}", bad.body);
}

#[tokio::test]
async fn a_node_of_this_process_that_was_shut_down_is_not_there() {
    let cluster = Cluster::of(2).await;
    let client = cluster.running.client();
    let path = format!("/backends/{}", Cluster::id(1));
    assert_eq!(client.get(&path).await[0]["state"], "Available");
    cluster.node(1).shutdown().await;
    until(&client, &path, |b| b[0]["state"] == "Unavailable").await;
    let own = client.get(&format!("/backends/{}", Cluster::id(0))).await;
    assert_eq!(own[0]["state"], "Available");
}

#[tokio::test]
async fn a_certificate_counts_until_the_node_is_given_another() {
    let running = Running::start().await;
    let client = running.client();
    let place = Place::new();
    let membership = place.0.path().join("membership.json");
    let mine = format!("/backends/{}", place.id());
    let mut given = Vec::new();
    // Removed and invited again, as one that has lost its certificate.
    for _ in 0..2 {
        let text = invite(&client).await;
        let (node, served) = place.serve((LOCAL, 0).into(), Some(join(&running, &text))).await;
        let served = served.unwrap();
        until(&client, &mine, |b| b[0]["state"] == "Available").await;
        assert_eq!(client.delete(&mine).await["status"], "Success");
        served.shutdown().await;
        node.shutdown().await;
        given.push(std::fs::read(&membership).unwrap());
        std::fs::remove_file(&membership).unwrap();
    }
    for (index, code) in [(0, "NotAvailable"), (1, "Success")] {
        std::fs::write(&membership, &given[index]).unwrap();
        let (node, served) = place.serve((LOCAL, 0).into(), None).await;
        let served = served.unwrap();
        let add = json!({"mgmtIPs": "127.0.0.1", "mgmtPort": served.address().port()});
        let answer = client.post("/backends", add).await;
        assert_eq!(answer["status"], code, "{answer}");
        let why = answer["description"].as_str().unwrap();
        assert!(code == "Success" || why.contains("certificate"), "{why}");
        served.shutdown().await;
        node.shutdown().await;
    }
}
