//! What the API promises, seen by a host on the wire.

use std::{net::SocketAddr, path::Path, time::Duration};

use crate::common::{Client, Running, config, file_drive, node_config};
use control::{ControlServer, serve};
use dataplane::{
    host::{HostController, HostError, HostOptions, HostQueue, Payload},
    node::Node,
    rt::{Buf, CoreId, Runtime},
};
use hyper::Method;
use nvmeof::{Nqn, Status, host::sqe, transport::ICRequest};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

const BLOCK: usize = 4096;

/// How the host `id` connects to its target, by what the API says.
pub(crate) async fn options(client: &Client, id: &str) -> HostOptions {
    let target = &client.get(&format!("/targets?hostId={id}")).await[0];
    let backend = target["backend"]["persistentID"].as_str().unwrap();
    let portal = &client.get(&format!("/backends/{backend}")).await[0]["portals"][0];
    let ip: std::net::IpAddr = portal["ip"].as_str().unwrap().parse().unwrap();
    HostOptions {
        address: SocketAddr::new(ip, u16::try_from(portal["port"].as_u64().unwrap()).unwrap()),
        subsystem: Nqn::new(target["targetName"].as_str().unwrap()).unwrap(),
        host: Nqn::new(format!("nqn.2014-08.org.nvmexpress:uuid:{id}")).unwrap(),
        host_id: Uuid::from_u128(7),
        digests: ICRequest::default(),
        kato_ms: 0,
        io_queues: 1,
        credentials: None,
        tls: None,
    }
}

async fn write(queue: &HostQueue, lba: u64, byte: u8) -> Status {
    let mut data = Buf::alloc(BLOCK).await;
    data.fill(byte);
    queue.command(sqe::write(1, lba, 1, false), Payload::Out(data)).await.unwrap().status()
}

/// The block's bytes, all of which must be the same.
async fn read(queue: &HostQueue, lba: u64) -> u8 {
    let answer = queue.command(sqe::read(1, lba, 1), Payload::In(4096)).await.unwrap();
    assert_eq!(answer.status(), Status::SUCCESS);
    let data = answer.data.unwrap();
    assert!(data.iter().all(|&b| b == data[0]));
    data[0]
}

/// Asks until `holds`; what a node does about its connections it does a moment later.
async fn eventually(client: &Client, path: &str, holds: impl Fn(&Value) -> bool) {
    for _ in 0..600 {
        let answer = client.get(path).await;
        if holds(&answer) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} never changed: {}", client.get(path).await);
}

#[tokio::test]
async fn a_published_volume_is_there_and_an_unpublished_one_is_gone() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    client.host("a").await;
    client.publish(&volume, "a").await;
    let options = options(&client, "a").await;

    let hosts = Runtime::start(1).unwrap();
    let stranger =
        HostOptions { host: Nqn::new("nqn.2014-08.org.nvmexpress:uuid:b").unwrap(), ..options.clone() };
    let refused = hosts
        .handle()
        .call_on(CoreId(0), move || async move { HostController::connect(stranger).await.map(drop) })
        .await
        .unwrap();
    assert!(matches!(refused, Err(HostError::BringUp(_))), "{refused:?}");

    let ((connected, is_connected), (gone, is_gone)) = (oneshot::channel(), oneshot::channel());
    let again = options.clone();
    hosts.handle().spawn_on(CoreId(0), move || async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        assert_eq!(write(&queue, 5, 9).await, Status::SUCCESS);
        assert_eq!((read(&queue, 5).await, read(&queue, 6).await), (9, 0));
        connected.send(()).unwrap();
        // Reads until the target takes the connection or the namespace away.
        loop {
            match queue.command(sqe::read(1, 5, 1), Payload::In(4096)).await {
                Ok(answer) if answer.status() == Status::SUCCESS => dataplane::rt::yield_now().await,
                Ok(_) | Err(_) => break,
            }
        }
        gone.send(()).unwrap();
    });
    is_connected.await.unwrap();
    let sessions = |v: &Value| v[0]["location"][0]["sessions"][0]["hostID"] == "a";
    eventually(&client, &format!("/volume_extended/{volume}"), sessions).await;
    eventually(&client, "/basalt/v1/status", |s| s["hosts"][0]["connected"] == true).await;
    let written = |v: &Value| v[0]["usedBytes"].as_u64().is_some_and(|used| used > 0);
    eventually(&client, &format!("/volumes/{volume}"), written).await;
    let (_, _, metrics) = client.raw(Method::GET, "/metrics", "").await;
    let count = |line: &&str| line.starts_with("basalt_volume_write_seconds_count") && line.contains(&volume);
    let line = metrics.lines().find(count).unwrap();
    assert!(line.ends_with("alias=\"v\"} 1"), "{line}");

    assert_eq!(client.unpublish(&volume, "a").await["status"], "Success");
    is_gone.await.unwrap();
    let refused = hosts
        .handle()
        .call_on(CoreId(0), move || async move { HostController::connect(again).await.map(drop) })
        .await
        .unwrap();
    assert!(refused.is_err());
    eventually(&client, "/basalt/v1/status", |s| s["hosts"][0]["connected"] == false).await;
}

async fn start(dir: &Path) -> (Node, ControlServer, Client) {
    let drive = file_drive(&dir.join("drive.img"), 4);
    let node = Node::start_closed(node_config(vec![drive])).unwrap();
    let server = serve(config(&dir.join("data")), node.clone()).await.unwrap();
    let client = Client::new(server.listeners()[0], server.credentials()).certificate("ssdtoolbox.pem");
    (node, server, client)
}

#[tokio::test]
async fn data_and_targets_survive_a_restart_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let hosts = Runtime::start(1).unwrap();
    let (node, server, client) = start(dir.path()).await;
    let volume = client.volume("v", 2).await;
    client.host("a").await;
    client.publish(&volume, "a").await;
    let first = options(&client, "a").await;
    let nqn = first.subsystem.clone();
    hosts
        .handle()
        .call_on(CoreId(0), move || async move {
            let controller = HostController::connect(first).await.unwrap();
            let queue = controller.io_queue(1, 32).await.unwrap();
            assert_eq!(write(&queue, 77, 3).await, Status::SUCCESS);
            let flushed = queue.command(sqe::flush(1), Payload::None).await.unwrap();
            assert_eq!(flushed.status(), Status::SUCCESS);
        })
        .await
        .unwrap();
    server.shutdown().await;
    node.shutdown().await;
    drop(node);

    let (node, server, client) = start(dir.path()).await;
    assert_eq!(client.get("/volumes").await[0]["uuid"], volume);
    assert_eq!(client.get("/basalt/v1/status").await["problems"], serde_json::json!([]));
    let second = options(&client, "a").await;
    assert_eq!(second.subsystem, nqn);
    let found = hosts
        .handle()
        .call_on(CoreId(0), move || async move {
            let controller = HostController::connect(second).await.unwrap();
            let queue = controller.io_queue(1, 32).await.unwrap();
            (read(&queue, 77).await, read(&queue, 78).await)
        })
        .await;
    assert_eq!(found, Some((3, 0)));
    server.shutdown().await;
    node.shutdown().await;
}

/// What the volume's block 5 holds, after writing `byte` to it if there is one.
async fn block(client: &Client, volume: &str, byte: Option<u8>) -> u8 {
    // A host of its own sees just this one, as namespace 1.
    client.host(volume).await;
    assert_eq!(client.publish(volume, volume).await["status"], "Success");
    let options = options(client, volume).await;
    let hosts = Runtime::start(1).unwrap();
    let handle = hosts.handle();
    let found = handle.call_on(CoreId(0), move || async move {
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        if let Some(byte) = byte {
            assert_eq!(write(&queue, 5, byte).await, Status::SUCCESS);
        }
        read(&queue, 5).await
    });
    let found = found.await.unwrap();
    assert_eq!(client.unpublish(volume, volume).await["status"], "Success");
    found
}

#[tokio::test]
async fn snapshots_and_clones_hold_what_was_there_then() {
    let running = Running::start().await;
    let client = running.client();
    let make = async |path: &str, body: Value| {
        let made = client.post(path, body).await;
        assert_eq!(made["status"], "Success", "{path}: {made}");
        made["persistentId"].as_str().unwrap().to_owned()
    };
    let volume = client.volume("v", 1).await;
    block(&client, &volume, Some(1)).await;
    let snapshot = make("/snapshots", json!({"alias": "s", "volumeID": volume})).await;
    block(&client, &volume, Some(2)).await;
    let clone = make("/clone_volume", json!({"alias": "c", "sourceVolumeId": volume, "capacity": 2})).await;
    let shows = async |alias: &str, writable: bool| {
        let body = json!({"alias": alias, "snapshotID": snapshot, "writable": writable});
        make("/snapshot_volumes", body).await
    };
    let (read_only, first, second) =
        (shows("r", false).await, shows("w1", true).await, shows("w2", true).await);
    block(&client, &volume, Some(3)).await;
    block(&client, &first, Some(4)).await;
    let unique = client.get(&format!("/snapshots/{snapshot}")).await[0]["uniqueBytes"].clone();
    assert_eq!(unique, 0, "others still show what it holds");

    let deleted = client.delete(&format!("/snapshots/{snapshot}?force=true")).await;
    assert_eq!(deleted["status"], "Success", "{deleted}");
    let expected = [(&volume, 3), (&clone, 2), (&read_only, 1), (&first, 4), (&second, 1)];
    for (id, byte) in expected {
        assert_eq!(block(&client, id, None).await, byte, "{}", client.get(&format!("/volumes/{id}")).await);
    }
    for id in [volume, second, read_only, first] {
        assert_eq!(client.delete(&format!("/volumes/{id}")).await["status"], "Success");
    }
    assert_eq!(block(&client, &clone, None).await, 2, "a clone needs nobody");
}
