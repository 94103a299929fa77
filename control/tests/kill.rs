//! The server is killed in the middle of many changes, again and again: what was answered holds, and store and
//! node agree on everything.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Client, config, file_drive, node_config};
use control::serve;
use dataplane::node::Node;
use hyper::Method;
use serde_json::{Value, json};

const ROUNDS: usize = 6;
const TASKS: usize = 8;
/// Tells the child where to live; without it `server` does nothing.
const DIRECTORY: &str = "BASALT_KILL_TEST_DIRECTORY";

/// What a client knows of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Absent,
    There,
    Published,
    /// The answer to the last request never came.
    InDoubt,
}

type Volumes = Arc<Mutex<BTreeMap<String, Known>>>;

/// Not a test: the process that `store_and_node_agree_after_every_kill` starts and kills.
#[tokio::test]
#[ignore = "the child process of the other test"]
async fn server() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let node = Node::start_closed(node_config(vec![file_drive(&directory.join("drive.img"), 8)])).unwrap();
    let mut config = config(&directory.join("data"));
    config.reserve_floor_gib = Some(0);
    let server = serve(config, node).await.unwrap();
    // The whole address or nothing.
    std::fs::write(directory.join("api.new"), server.listeners()[0].to_string()).unwrap();
    std::fs::rename(directory.join("api.new"), directory.join("api")).unwrap();
    std::future::pending::<()>().await;
}

/// Killed when dropped, so that a test that fails leaves nothing behind.
struct Server(Child);

impl Server {
    async fn start(directory: &Path) -> (Self, Client) {
        let _ = std::fs::remove_file(directory.join("api"));
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child);
        for _ in 0..1200 {
            if let Ok(address) = std::fs::read_to_string(directory.join("api")) {
                let client = Client::new(address.parse().unwrap(), &directory.join("data/credentials"));
                return (server, client.certificate("ssdtoolbox.pem"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server never listened");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes, publishes, takes back and deletes volumes until the server is gone.
async fn work(client: Client, name: String, volumes: Volumes, answers: Arc<AtomicUsize>) {
    let say = async |method: Method, path: String, body: Value| {
        let (_, _, text) = client.try_raw(method, &path, body.to_string()).await.ok()?;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "Success", "{path} {body}: {answer}");
        answers.fetch_add(1, Ordering::Relaxed);
        Some(())
    };
    for n in 0.. {
        let id = uuid::Uuid::new_v4().to_string();
        let made = json!({"alias": format!("{name}-{n}"), "uuid": id, "capacity": 1,
            "provisioningType": "THIN", "reservedSpacePercentage": 2});
        let pair = json!({"volId": id, "hostId": "h"});
        let mut steps = vec![
            (Method::POST, "/volumes".to_owned(), made, Known::There),
            (Method::PATCH, format!("/volumes/{id}"), json!({"newCapacity": 2}), Known::There),
            (Method::POST, "/publish".to_owned(), pair.clone(), Known::Published),
        ];
        if n % 3 != 0 {
            steps.push((Method::POST, "/unpublish".to_owned(), pair, Known::There));
            steps.push((Method::DELETE, format!("/volumes/{id}"), Value::Null, Known::Absent));
        }
        for (method, path, body, then) in steps {
            volumes.lock().unwrap().insert(id.clone(), Known::InDoubt);
            if say(method, path, body).await.is_none() {
                return;
            }
            volumes.lock().unwrap().insert(id.clone(), then);
        }
    }
}

/// What was answered must hold; what was in doubt is settled for good now.
async fn check(client: &Client, volumes: &Volumes) {
    let status = client.get("/basalt/v1/status").await;
    assert_eq!(status["problems"], json!([]), "store and node disagree");
    let listed: BTreeMap<String, bool> = client
        .get("/volumes")
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["uuid"].as_str().unwrap().to_owned(), v["inUse"].as_bool().unwrap()))
        .collect();
    compare(&mut volumes.lock().unwrap(), &listed);
    let published = listed.values().filter(|in_use| **in_use).count();
    let targets = client.get("/targets").await;
    let exported: u64 =
        targets.as_array().unwrap().iter().map(|t| t["numNamespaces"].as_u64().unwrap()).sum();
    assert_eq!(exported, published as u64);
}

/// `listed`: whether each volume is in use.
fn compare(volumes: &mut BTreeMap<String, Known>, listed: &BTreeMap<String, bool>) {
    for (id, known) in volumes.iter_mut() {
        let found = match listed.get(id) {
            None => Known::Absent,
            Some(false) => Known::There,
            Some(true) => Known::Published,
        };
        assert!(*known == found || *known == Known::InDoubt, "{id} is {found:?}, not {known:?}");
        *known = found;
    }
    assert!(listed.keys().all(|id| volumes.contains_key(id)), "nothing that nobody asked for");
}

#[tokio::test]
async fn store_and_node_agree_after_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let volumes = Volumes::default();
    for round in 0..ROUNDS {
        let (server, client) = Server::start(directory.path()).await;
        if round == 0 {
            client.host("h").await;
        }
        check(&client, &volumes).await;
        let answers = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let name = format!("r{round}t{task}");
                tokio::spawn(work(client.clone(), name, Arc::clone(&volumes), Arc::clone(&answers)))
            })
            .collect();
        // Another moment in the tasks' programs in each round.
        while answers.load(Ordering::Relaxed) < 40 + 7 * round {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!tasks.iter().all(|t| t.is_finished()), "the tasks end with the server only");
        }
        drop(server);
        for task in tasks {
            task.await.unwrap();
        }
    }
    let (_server, client) = Server::start(directory.path()).await;
    check(&client, &volumes).await;
    let left = volumes.lock().unwrap().clone();
    for (id, known) in left {
        if known == Known::Published {
            assert_eq!(client.unpublish(&id, "h").await["status"], "Success");
        }
        if known != Known::Absent {
            assert_eq!(client.delete(&format!("/volumes/{id}")).await["status"], "Success");
        }
    }
    assert_eq!(client.get("/basalt/v1/status").await["problems"], json!([]));
    assert_eq!(client.get("/volumes").await, json!([]));
    // Nothing hidden is left, neither in the store nor on the drive, once that has given its extents back.
    assert_eq!(client.get("/tenants").await[0]["consumedCapacity"], 0);
    let empty = async || {
        let drive = client.get("/basalt/v1/drives").await[0].take();
        drive["unreservedBytes"] == drive["capacityBytes"]
    };
    for _ in 0..600 {
        if empty().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("volumes that nobody knows take space: {}", client.get("/basalt/v1/drives").await);
}
