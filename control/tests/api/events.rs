//! What `/basalt/v1/events` tells.

use std::time::Duration;

use crate::common::{Client, Running};
use hyper::Method;
use serde_json::{Value, json};

/// The events after `after`, once there are `count` of them.
async fn events(client: &Client, after: u64, count: usize) -> Vec<Value> {
    for _ in 0..600 {
        let found = client.get(&format!("/basalt/v1/events?after={after}")).await;
        let found = found.as_array().unwrap();
        if found.len() >= count {
            return found.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no {count} events: {}", client.get("/basalt/v1/events").await);
}

#[tokio::test]
async fn what_is_done_is_told_in_order_and_over_a_restart() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    let made = client.post("/snapshots", json!({"alias": "s", "volumeID": volume})).await;
    let snapshot = made["persistentId"].as_str().unwrap();
    client.delete(&format!("/snapshots/{snapshot}")).await;
    client.patch(&format!("/volumes/{volume}"), json!({"newCapacity": 2})).await;
    client.host("h").await;
    client.publish(&volume, "h").await;
    client.unpublish(&volume, "h").await;
    client.delete(&format!("/volumes/{volume}")).await;
    let told = events(&client, 0, 8).await;
    let kinds: Vec<&str> = told.iter().map(|e| e["kind"].as_str().unwrap()).collect();
    let expected = [
        "server-started",
        "volume-created",
        "snapshot-created",
        "snapshot-deleted",
        "volume-expanded",
        "volume-published",
        "volume-unpublished",
        "volume-deleted",
    ];
    assert_eq!(kinds, expected);
    assert_eq!((&told[2]["object"], &told[1]["object"]), (&json!(snapshot), &json!(volume)));
    assert!(told[1]["message"].as_str().unwrap().contains("volume v"), "{}", told[1]);
    for (event, sequence) in told.iter().zip(1..) {
        assert_eq!(event["sequence"], sequence);
        assert!(event["time"].as_u64().unwrap() > 1_700_000_000_000);
    }
    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |_| {}).await;
    let news = events(&running.client(), 8, 1).await;
    assert_eq!((&news[0]["sequence"], &news[0]["kind"]), (&json!(9), &json!("server-started")));
}

#[tokio::test]
async fn a_pool_that_fills_warns() {
    let running = Running::start().await;
    let client = running.client();
    let pool = client.get("/tenants").await[0]["capacity"].as_u64().unwrap();
    let volume = client.volume("v", pool * 93 / 100).await;
    let told = events(&client, 0, 3).await;
    // It comes from whoever watches the drives, so it may stand before or behind the volume's own.
    let warning = told.iter().find(|e| e["kind"] == "capacity-warning").unwrap();
    assert_eq!(warning["object"], "pool");
    assert!(warning["message"].as_str().unwrap().contains("% of the pool are promised"), "{warning}");
    client.delete(&format!("/volumes/{volume}")).await;
    let eased = events(&client, 3, 2).await;
    assert!(eased.iter().any(|e| e["kind"] == "capacity-eased"), "{eased:?}");
}

#[tokio::test]
async fn after_must_be_a_number() {
    let running = Running::start().await;
    let answer = running.client().send(Method::GET, "/basalt/v1/events?after=x", "").await;
    assert_eq!((answer.status.as_u16(), &answer.body["field"]), (400, &json!("after")));
}
