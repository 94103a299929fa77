//! The server is killed in the middle of many changes, again and again: what was answered holds, and store and
//! node agree on everything.

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

use crate::common::{Client, config, file_drive, node_config};
use control::serve;
use dataplane::node::Node;
use hyper::Method;
use serde_json::{Value, json};

const ROUNDS: usize = 6;
const TASKS: usize = 8;
/// Tells the child where to live; without it `server` does nothing.
const DIRECTORY: &str = "BASALT_KILL_TEST_DIRECTORY";

/// What a client knows of a volume or a snapshot.
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
            .args(["--exact", "kill::server", "--ignored", "--nocapture"])
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

/// A request, and what it makes of the object with that UUID.
type Step = (Method, String, Value, String, Known);

/// A volume's life; every third one stays, published, and with the clone that was a snapshot volume.
fn life(name: &str, n: usize) -> Vec<Step> {
    let [volume, snapshot, shows] = std::array::from_fn(|_| uuid::Uuid::new_v4().to_string());
    let small = |alias: &str, uuid: (&str, &str)| {
        json!({"alias": format!("{name}-{n}-{alias}"), uuid.0: uuid.1, "capacity": 1,
            "provisioningType": "THIN", "reservedSpacePercentage": 2})
    };
    let take = json!({"alias": "s", "volumeID": volume, "snapshotID": snapshot});
    let mut show = small("w", ("volumeID", &shows));
    show["snapshotID"] = json!(snapshot);
    show["writable"] = json!(true);
    let pair = json!({"volId": volume, "hostId": "h"});
    let post = |path: &str, body: &Value, id: &str, then| {
        (Method::POST, path.to_owned(), body.clone(), id.to_owned(), then)
    };
    let delete = |path: String, id: &str| (Method::DELETE, path, Value::Null, id.to_owned(), Known::Absent);
    let larger = json!({"newCapacity": 2});
    let mut steps = vec![
        post("/volumes", &small("v", ("uuid", &volume)), &volume, Known::There),
        post("/snapshots", &take, &snapshot, Known::There),
        (Method::PATCH, format!("/volumes/{volume}"), larger, volume.clone(), Known::There),
        post("/snapshot_volumes", &show, &shows, Known::There),
        post("/publish", &pair, &volume, Known::Published),
        delete(format!("/snapshots/{snapshot}?force=true"), &snapshot),
    ];
    if !n.is_multiple_of(3) {
        steps.push(post("/unpublish", &pair, &volume, Known::There));
        steps.push(delete(format!("/volumes/{volume}"), &volume));
        steps.push(delete(format!("/volumes/{shows}"), &shows));
    }
    steps
}

/// Lives through volumes until the server is gone.
async fn work(client: Client, name: String, volumes: Volumes, answers: Arc<AtomicUsize>) {
    let say = async |method: Method, path: String, body: Value| {
        let (_, _, text) = client.try_raw(method, &path, body.to_string()).await.ok()?;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "Success", "{path} {body}: {answer}");
        answers.fetch_add(1, Ordering::Relaxed);
        Some(())
    };
    for n in 0.. {
        for (method, path, body, id, then) in life(&name, n) {
            volumes.lock().unwrap().insert(id.clone(), Known::InDoubt);
            if say(method, path, body).await.is_none() {
                return;
            }
            volumes.lock().unwrap().insert(id, then);
        }
    }
}

/// What was answered must hold; what was in doubt is settled for good now.
async fn check(client: &Client, volumes: &Volumes) {
    let status = client.get("/basalt/v1/status").await;
    assert_eq!(status["problems"], json!([]), "store and node disagree");
    let (all, snapshots) = (client.get("/volumes").await, client.get("/snapshots").await);
    let all = all.as_array().unwrap().iter();
    let mut listed: BTreeMap<String, bool> =
        all.map(|v| (v["uuid"].as_str().unwrap().to_owned(), v["inUse"].as_bool().unwrap())).collect();
    listed.extend(snapshot_ids(&snapshots).into_iter().map(|id| (id, false)));
    compare(&mut volumes.lock().unwrap(), &listed);
    let published = listed.values().filter(|in_use| **in_use).count();
    let targets = client.get("/targets").await;
    let exported: u64 =
        targets.as_array().unwrap().iter().map(|t| t["numNamespaces"].as_u64().unwrap()).sum();
    assert_eq!(exported, published as u64);
}

fn snapshot_ids(snapshots: &Value) -> Vec<String> {
    let ids = snapshots.as_array().unwrap().iter().map(|s| s["snapshotID"].as_str().unwrap().to_owned());
    ids.collect()
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

async fn clean_up(client: &Client, volumes: &Volumes) {
    let snapshots = snapshot_ids(&client.get("/snapshots").await);
    for id in &snapshots {
        assert_eq!(client.delete(&format!("/snapshots/{id}?force=true")).await["status"], "Success");
    }
    let mut left = volumes.lock().unwrap().clone();
    left.retain(|id, known| *known != Known::Absent && !snapshots.contains(id));
    for (id, known) in left {
        if known == Known::Published {
            assert_eq!(client.unpublish(&id, "h").await["status"], "Success");
        }
        assert_eq!(client.delete(&format!("/volumes/{id}")).await["status"], "Success");
    }
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
        while answers.load(Ordering::Relaxed) < 40 + 17 * round {
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
    clean_up(&client, &volumes).await;
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
