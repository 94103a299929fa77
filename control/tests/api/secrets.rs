//! Hosts that have to authenticate: set, shown once, replaced, taken away, and kept over a restart.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::common::{Client, Running, config, file_drive, node_config};
use control::serve;
use dataplane::{
    host::{HostController, HostError, HostOptions},
    node::{Credentials, Node, Secret},
    rt::{CoreId, Runtime},
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::data_path::options;

const SECRETS: &str = "/basalt/v1/hosts/a/secrets";

async fn put(client: &Client, body: Value) -> Value {
    let answer = client.send(Method::PUT, SECRETS, body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body["message"]);
    answer.body
}

/// Whether the host gets in with what an answer showed.
async fn connects(options: HostOptions, shown: Option<&Value>) -> Result<(), HostError> {
    let secret = |name: &str, shown: &Value| shown[name].as_str().map(|text| Secret::parse(text).unwrap());
    let credentials = shown.map(|shown| Credentials {
        host: secret("hostSecret", shown).unwrap(),
        controller: secret("controllerSecret", shown),
    });
    let runtime = Runtime::start(1).unwrap();
    let (answer, wait) = oneshot::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        let connected = HostController::connect(HostOptions { credentials, ..options }).await;
        let connected = match connected {
            Ok(controller) => controller.io_queue(1, 32).await.map(drop),
            Err(error) => Err(error),
        };
        answer.send(connected).unwrap();
    });
    wait.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_asked_for_from_then_on() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    client.host("a").await;
    client.publish(&volume, "a").await;
    assert_eq!(client.status(Method::GET, SECRETS, json!({})).await, 404);
    let first = put(&client, json!({"generate": true, "twoWay": true})).await;
    assert!(
        first["hostSecret"].as_str().unwrap().starts_with("DHHC-1:01:"),
        "the kind only: {}",
        first["hash"]
    );

    let options = options(&client, "a").await;
    assert!(matches!(connects(options.clone(), None).await, Err(HostError::NoSecret)));
    connects(options.clone(), Some(&first)).await.unwrap();
    let shown = client.get(SECRETS).await;
    let expected = json!({"hostId": "a", "hash": "sha256", "dhGroup": "ffdhe2048", "twoWay": true,
        "since": first["since"]});
    assert_eq!(shown, expected);

    let body = json!({"generate": true, "hash": "sha512", "dhGroup": "null"});
    let second = put(&client, body).await;
    assert!(connects(options.clone(), Some(&first)).await.is_err());
    connects(options.clone(), Some(&second)).await.unwrap();

    assert_eq!(client.status(Method::DELETE, SECRETS, json!({})).await, 200);
    connects(options, None).await.unwrap();
    assert_eq!(client.status(Method::DELETE, SECRETS, json!({})).await, 404);
    let unknown = "/basalt/v1/hosts/nobody/secrets";
    assert_eq!(client.status(Method::PUT, unknown, json!({"generate": true})).await, 404);
}

/// Starts a server over the drive and the state of a directory.
pub(crate) async fn start(dir: tempfile::TempDir) -> Running {
    let drive = file_drive(&dir.path().join("drive.img"), 16);
    let node = Node::start_closed(node_config(vec![drive])).unwrap();
    let server = serve(config(dir.path()), node.clone()).await.unwrap();
    Running { dir, node, server }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_kept_sealed_and_asked_for_after_a_restart() {
    let running = start(tempfile::tempdir().unwrap()).await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    client.host("a").await;
    client.publish(&volume, "a").await;
    let secret = put(&client, json!({"generate": true})).await;
    let (dir, node) = running.stop().await;
    node.shutdown().await;
    drop(node);
    let text = secret["hostSecret"].as_str().unwrap().as_bytes();
    let store = std::fs::read(dir.path().join("control.redb")).unwrap();
    assert!(!store.windows(text.len()).any(|window| window == text), "the store shows no secret");

    let running = start(dir).await;
    let asked = options(&running.client(), "a").await;
    assert!(matches!(connects(asked.clone(), None).await, Err(HostError::NoSecret)));
    connects(asked, Some(&secret)).await.unwrap();
    let (dir, node) = running.stop().await;
    node.shutdown().await;
    drop(node);

    // Without the key nobody can tell the secret, so the host stays outside until it has a new one.
    std::fs::remove_file(dir.path().join("secrets.key")).unwrap();
    let running = start(dir).await;
    let client = running.client();
    let asked = options(&client, "a").await;
    assert!(matches!(connects(asked.clone(), Some(&secret)).await, Err(HostError::BringUp(_))));
    let new = put(&client, json!({"generate": true})).await;
    connects(options(&client, "a").await, Some(&new)).await.unwrap();
}

/// As somebody who stole only the name, again and again, until told to stop; how often it was let in.
fn knock(options: HostOptions, stop: Arc<AtomicBool>) -> oneshot::Receiver<usize> {
    let (answer, wait) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = Runtime::start(1).unwrap();
        let (done, ended) = std::sync::mpsc::channel();
        runtime.handle().spawn_on(CoreId(0), move || async move {
            let mut let_in = 0;
            while !stop.load(Ordering::Relaxed) {
                let_in += usize::from(HostController::connect(options.clone()).await.is_ok());
            }
            done.send(let_in).unwrap();
        });
        let _ = answer.send(ended.recv().unwrap());
    });
    wait
}

/// A name that its host gives up is asked for the secret for as long as something is exported to it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_slips_in_under_a_name_that_is_given_up() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    client.host("a").await;
    client.publish(&volume, "a").await;
    put(&client, json!({"generate": true, "dhGroup": "null"})).await;
    let stop = Arc::new(AtomicBool::new(false));
    let let_in = knock(options(&client, "a").await, stop.clone());
    for round in 0..200 {
        let probe = json!({"clientType": "Agent", "duration": 0, "hostId": "a", "name": "n", "version": "1",
            "hostNqn": format!("nqn.2014-08.org.example:{round}")});
        assert_eq!(client.post("/host_probe", probe).await["status"], "Success");
        client.host("a").await;
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(let_in.await.unwrap(), 0, "times let in without the secret");
}
