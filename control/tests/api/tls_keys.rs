//! Keys for TLS: set, shown once, asked for, exchanged, taken away, and kept over a restart.

use crate::common::{Client, Running};
use dataplane::{
    host::{HostController, HostError, HostOptions},
    node::{ConfiguredPsk, RetainedPsk},
    rt::{CoreId, Runtime},
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{data_path::options, secrets::start};

const KEYS: &str = "/basalt/v1/hosts/a/tls-keys";

async fn put(client: &Client, body: Value) -> Value {
    let answer = client.send(Method::PUT, KEYS, body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body["message"]);
    answer.body
}

/// Whether the host gets in with the key that an answer showed; without TLS if there is none.
async fn connects(options: HostOptions, shown: Option<&Value>) -> Result<(), HostError> {
    let tls = shown.map(|shown| {
        let configured = ConfiguredPsk::parse(shown["key"].as_str().unwrap()).unwrap();
        RetainedPsk::new(&configured, options.host.clone())
    });
    let runtime = Runtime::start(1).unwrap();
    let (answer, wait) = oneshot::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        let connected = match HostController::connect(HostOptions { tls, ..options }).await {
            Ok(controller) => controller.io_queue(1, 32).await.map(drop),
            Err(error) => Err(error),
        };
        answer.send(connected).unwrap();
    });
    wait.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_required_from_then_on() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    client.host("a").await;
    client.publish(&volume, "a").await;
    assert_eq!(client.status(Method::GET, KEYS, json!({})).await, 404);
    assert_eq!(client.status(Method::PUT, KEYS, json!({"policy": "allowed"})).await, 404);
    let first = put(&client, json!({"generate": true})).await;

    let options = options(&client, "a").await;
    assert!(matches!(connects(options.clone(), None).await, Err(HostError::BringUp(_))));
    connects(options.clone(), Some(&first)).await.unwrap();
    let shown = client.get(KEYS).await;
    let expected = json!({"hostId": "a", "hash": "sha256", "policy": "required", "since": first["since"]});
    assert_eq!(shown, expected);

    let allowed = put(&client, json!({"policy": "allowed"})).await;
    assert_eq!((&allowed["key"], &allowed["since"]), (&Value::Null, &first["since"]));
    connects(options.clone(), None).await.unwrap();
    connects(options.clone(), Some(&first)).await.unwrap();

    let second = put(&client, json!({"generate": true, "hash": "sha384", "policy": "required"})).await;
    assert!(matches!(connects(options.clone(), Some(&first)).await, Err(HostError::Tls(_))));
    connects(options.clone(), Some(&second)).await.unwrap();
    // The host's own key, given as text, is not repeated.
    let given = put(&client, json!({"key": first["key"]})).await;
    assert_eq!((&given["key"], &given["policy"]), (&Value::Null, &json!("required")));
    connects(options.clone(), Some(&first)).await.unwrap();

    assert_eq!(client.status(Method::DELETE, KEYS, json!({})).await, 200);
    assert!(matches!(connects(options.clone(), Some(&first)).await, Err(HostError::Tls(_))));
    connects(options, None).await.unwrap();
    assert_eq!(client.status(Method::DELETE, KEYS, json!({})).await, 404);
    let unknown = "/basalt/v1/hosts/nobody/tls-keys";
    assert_eq!(client.status(Method::PUT, unknown, json!({"generate": true})).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_sealed_and_required_after_a_restart() {
    let running = start(tempfile::tempdir().unwrap()).await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    client.host("a").await;
    client.publish(&volume, "a").await;
    let key = put(&client, json!({"generate": true})).await;
    let (dir, node) = running.stop().await;
    node.shutdown().await;
    drop(node);

    let running = start(dir).await;
    let asked = options(&running.client(), "a").await;
    assert!(matches!(connects(asked.clone(), None).await, Err(HostError::BringUp(_))));
    connects(asked, Some(&key)).await.unwrap();
    let (dir, node) = running.stop().await;
    node.shutdown().await;
    drop(node);

    // Without the sealing key nobody can tell the key: the host stays outside, and is not let in unencrypted.
    std::fs::remove_file(dir.path().join("secrets.key")).unwrap();
    let running = start(dir).await;
    let client = running.client();
    let asked = options(&client, "a").await;
    assert!(connects(asked.clone(), Some(&key)).await.is_err());
    assert!(matches!(connects(asked, None).await, Err(HostError::BringUp(_))));
    let new = put(&client, json!({"generate": true})).await;
    connects(options(&client, "a").await, Some(&new)).await.unwrap();
}
