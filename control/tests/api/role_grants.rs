//! What roles mean for storage (role.md §5, §7): which hosts get a tenant's volumes.

use std::time::Duration;

use crate::{
    common::{Client, Running},
    role_api::scoped,
};
use hyper::Method;
use serde_json::{Value, json};

async fn ok(client: &Client, method: Method, path: &str, body: Value) {
    let status = client.status(method.clone(), path, body).await;
    assert!(status < 300, "{method} {path}: {status}");
}

/// Waits until nothing is published to the host.
async fn unpublished(client: &Client, volume: &str) {
    for _ in 0..600 {
        let found = client.get(&format!("/volumes/{volume}")).await;
        if found[0]["inUse"] == false {
            assert_eq!(client.get("/targets").await, json!([]));
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("volume {volume} is still published");
}

async fn policy(user: &Client, name: &str, effect: &str, resource: &str) {
    let both = ["yrn:yahoo::::action:read", "yrn:yahoo::::action:write"];
    let resource = format!("yrn:yahoo:::default:resource:{resource}");
    let policy = json!({"name": name, "effect": effect, "action": both, "resource": [resource]});
    ok(user, Method::POST, "/v1/policy", json!({ "policy": policy })).await;
}

async fn policies(user: &Client, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| format!("yrn:yahoo:::default:policy:{name}")).collect();
    ok(user, Method::POST, "/v1/role", json!({"role": {"name": "r", "policies": names}})).await;
}

#[tokio::test]
async fn the_last_grant_that_goes_takes_the_volume_with_it() {
    let running = Running::start().await;
    let (client, user) = (running.client(), scoped(&running).await);
    let volume = client.volume("v", 1).await;
    client.host("h").await;
    policy(&user, "all", "allow", "volume").await;
    policy(&user, "not-this", "deny", &format!("volume/{volume}")).await;
    assert_eq!(client.publish(&volume, "h").await["status"], "Success", "no role, no restriction");

    policies(&user, &["all"]).await;
    unpublished(&client, &volume).await;
    assert_eq!(client.publish(&volume, "h").await["status"], "Forbidden");

    // Each way to get the permission, and to lose it.
    let add = "/v1/role/r?host=name-h";
    ok(&user, Method::PUT, add, json!({})).await;
    assert_eq!(client.publish(&volume, "h").await["status"], "Success");
    ok(&user, Method::DELETE, add, json!({})).await;
    unpublished(&client, &volume).await;

    ok(&user, Method::PUT, "/v1/role/r?host=10.0.0.1&cuk=h", json!({})).await;
    assert_eq!(client.publish(&volume, "h").await["status"], "Success");
    policies(&user, &["all", "not-this"]).await;
    unpublished(&client, &volume).await;
    assert_eq!(client.publish(&volume, "h").await["status"], "Forbidden");

    policies(&user, &["all"]).await;
    assert_eq!(client.publish(&volume, "h").await["status"], "Success");
    policy(&user, "all", "allow", "pool").await;
    unpublished(&client, &volume).await;

    ok(&user, Method::DELETE, "/v1/role/r", json!({})).await;
    assert_eq!(
        client.publish(&volume, "h").await["status"],
        "Success",
        "without roles all hosts count again"
    );
    let events = client.get("/basalt/v1/events").await.to_string();
    assert!(events.contains("no role grants it any more"), "{events}");
}

#[tokio::test]
async fn a_host_reads_how_to_reach_its_volume() {
    let running = Running::start().await;
    let (client, user) = (running.client(), scoped(&running).await);
    let volume = client.volume("v", 1).await;
    client.host("h").await;
    client.host("other").await;
    assert_eq!(client.publish(&volume, "other").await["status"], "Success");
    policy(&user, "all", "allow", "volume").await;
    ok(
        &user,
        Method::POST,
        "/v1/role/r",
        json!({"host": [{"host": "127.0.0.1", "cuk": "h"}, {"host": "other"}]}),
    )
    .await;
    policies(&user, &["all"]).await;
    assert_eq!(client.publish(&volume, "h").await["status"], "Success");
    let role = "yrn:yahoo:::default:role:r";
    let path =
        format!("/v1/resource/yrn:yahoo:::default:resource:volume/{volume}?type=keys&role={role}&cuk=h");
    let (status, _, text) = running.stranger().raw(Method::GET, &path, "").await;
    assert_eq!(status, 200, "{text}");
    let keys: Value = serde_json::from_str::<Value>(&text).unwrap()["resource"].clone();
    assert_eq!((&keys["uuid"], &keys["alias"]), (&json!(volume), &json!("v")));
    let subsystems = keys["subsystems"].as_object().unwrap();
    assert_eq!(subsystems.keys().collect::<Vec<_>>(), ["h"], "its own only");
    assert_eq!(keys["portals"].as_array().unwrap().len(), 1);
}
