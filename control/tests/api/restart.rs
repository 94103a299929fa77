//! What survives: everything that was answered with Success.

use crate::common::{Running, memory_node, uuid};
use serde_json::json;

#[tokio::test]
async fn a_restart_keeps_everything() {
    let running = Running::start().await;
    let client = running.client();
    let (plain, published) = (client.volume("plain", 1).await, client.volume("published", 2).await);
    client.host("h").await;
    client.publish(&published, "h").await;
    let backend = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    client.put(&format!("/backends/{backend}"), json!({"rack": "r1", "inUse": false})).await;
    let (volumes, targets) = (client.get("/volumes").await, client.get("/targets").await);
    let token = running.token();
    let subsystems = running.node.subsystems().await;

    // The node forgets subsystems when it goes; here it stays, so take them away by hand.
    for subsystem in &subsystems {
        let _ = running.node.remove_subsystem(&subsystem.nqn).await;
    }
    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |_| {}).await;
    assert_eq!(running.token(), token);
    assert_eq!(running.node.subsystems().await, subsystems, "published before the server answers");
    // The old client certificate is still one.
    let client = running.client();
    assert_eq!((client.get("/volumes").await, client.get("/targets").await), (volumes, targets));
    let after = &client.get("/backends").await[0];
    assert_eq!(
        (&after["persistentID"], &after["rack"], &after["inUse"]),
        (&json!(backend), &json!("r1"), &json!(false))
    );
    let refused = client.post("/volumes", json!({"alias": "x", "capacity": 1})).await;
    assert_eq!(refused["status"], "NoMatchingBackend", "the backend is not in use");
    assert_eq!(client.delete(&format!("/volumes/{plain}")).await["status"], "Success");
}

#[tokio::test]
async fn a_lost_drive_is_reported_and_takes_nothing_else_down() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.volume("gone", 1).await;
    client.host("h").await;
    client.publish(&id, "h").await;
    let (dir, _node) = running.stop().await;
    let running = Running::on(dir, memory_node(64), |_| {}).await;
    let client = running.client();
    let status = client.get("/basalt/v1/status").await;
    assert!(status["problems"].to_string().contains(&id), "{status}");
    assert_eq!(client.get("/volumes").await[0]["location"][0]["replicaState"], "Missing");
    let new = client.volume("new", 1).await;
    assert_eq!(client.publish(&new, "h").await["status"], "Success");
    let exported = &running.node.subsystems().await[0].namespaces;
    assert_eq!((exported.len(), exported[0].uuid.to_string()), (1, new));
}

#[tokio::test]
async fn one_data_directory_has_one_server() {
    let running = Running::start().await;
    let config = crate::common::config(running.dir.path());
    let second = control::serve(config, running.node.clone()).await;
    assert!(second.unwrap_err().to_string().contains("another running server"));
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let running = Running::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = crate::common::config(dir.path());
    config.api = vec![running.address()];
    let error = control::serve(config, running.node.clone()).await.unwrap_err().to_string();
    assert!(error.contains(&running.address().to_string()), "{error}");
    assert!(!dir.path().join("credentials").exists(), "nothing was begun");
}

#[tokio::test]
async fn an_address_is_free_again_at_once() {
    // One that no other test's port 0 can be given meanwhile.
    let own = std::net::SocketAddr::from(([127, 77, 0, 1], 0));
    let running = Running::with(|c| c.api = vec![own]).await;
    let address = running.address();
    running.client().get("/volumes").await;
    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |c| c.api = vec![address]).await;
    assert_eq!(running.address(), address);
}

#[tokio::test]
async fn every_listener_serves_the_same() {
    let any = std::net::SocketAddr::from((crate::common::LOCAL, 0));
    let running = Running::with(|c| c.api = vec![any, any]).await;
    running.client().volume("a", 1).await;
    let second = running.server.listeners()[1];
    let client =
        crate::common::Client::new(second, running.server.credentials()).certificate("ssdtoolbox.pem");
    assert_eq!(client.get("/volumes_by_alias/a").await.as_array().unwrap().len(), 1);
    assert_eq!(client.get(&format!("/volumes/{}", uuid(1))).await, json!([]));
}
