//! Nobody does more than their role allows: every operation of the OpenAPI document, tried by those who may not.

use crate::common::{Client, Running};
use hyper::Method;
use serde_json::{Value, json};

const PASSWORD: &str = "passw0rd!";

/// What somebody without a role may do, about themselves only; with the body below these are refused otherwise.
const OWN: [&str; 8] = [
    "/v1/session/who-am-i",
    "/v1/session/roles",
    "/v1/session/change-password",
    "/v1/auth/access-tokens",
    "/v1/identity/expand",
    "/v1/cluster/nodes",
    "/v1/cluster/nodes/{id}",
    "/v1/cluster/settings",
];

/// A server with one of everything, and what a request about it would say.
struct World {
    running: Running,
    admin: Client,
    volume: String,
}

impl World {
    async fn start() -> Self {
        let running = Running::start().await;
        let admin = running.admin().await;
        let volume = admin.volume("v", 1).await;
        admin.host("h").await;
        let secrets = "/basalt/v1/hosts/h/secrets";
        assert_eq!(admin.status(Method::PUT, secrets, json!({"generate": true})).await, 200);
        let tls_keys = "/basalt/v1/hosts/h/tls-keys";
        assert_eq!(admin.status(Method::PUT, tls_keys, json!({"generate": true})).await, 200);
        for name in ["nobody", "watcher"] {
            let body = json!({"name": name, "primary_group": "513", "password": PASSWORD});
            admin.post("/v1/users/", body).await;
        }
        let watcher = json!({"member_id": "1001"});
        assert_eq!(admin.status(Method::POST, "/v1/groups/515/members/", watcher).await, 200);
        admin.post("/v1/auth/access-tokens/", json!({"user": {"name": "admin"}})).await;
        Self { running, admin, volume }
    }

    /// All that requests need in one: each handler ignores what it does not know.
    fn body(&self) -> Value {
        json!({
            "alias": "x", "capacity": 1, "newCapacity": 2, "sourceVolumeId": self.volume, "volumeID": self.volume,
            "volumes": [self.volume], "volId": self.volume, "hostId": "h", "rack": "r", "memory": "m",
            "sizeBytes": 1u64 << 30, "hostNqn": "nqn.x", "name": "x", "clientType": "Agent", "version": "1",
            "duration": 0, "anaState": "inaccessible", "primary_group": "513", "password": PASSWORD, "new_password": "another one",
            "old_password": "wrong", "member_id": "1000", "cluster_name": "x", "enabled": false,
            "generate": true, "user": {"name": "admin"}, "auth_id": "500", "id": {"auth_id": "500"},
        })
    }

    /// The path with the ids of what is there.
    fn path(&self, path: &str) -> String {
        let id = match path {
            _ if path.contains("/users/") => "1000",
            _ if path.contains("/groups/") => "512",
            _ if path.contains("/hosts/") => "h",
            _ if path.contains("/nodes/") => "1",
            _ => &self.volume,
        };
        path.replace("{tenant}", "0").replace("{id}", id).replace("{alias}", "v").replace("{user}", "500")
    }

    /// Everything that a write could change.
    async fn everything(&self) -> Vec<Value> {
        let mut found = Vec::new();
        let path_state = format!("/basalt/v1/volumes/{}/path-state", self.volume);
        for path in [
            &path_state,
            "/volumes",
            "/snapshots",
            "/targets",
            "/backends",
            "/basalt/v1/drives",
            "/basalt/v1/hosts/h/secrets",
            "/basalt/v1/hosts/h/tls-keys",
            "/v1/users",
            "/v1/groups",
            "/v1/groups/512/members",
            "/v1/auth/access-tokens",
            "/v1/cluster/settings",
        ] {
            let mut value = self.admin.get(path).await;
            if path == "/backends" {
                value[0].as_object_mut().unwrap().remove("lastProbTime");
            }
            found.push(value);
        }
        found
    }

    async fn operations(&self) -> Vec<(Method, String, bool)> {
        let document = self.running.stranger().get("/openapi.json").await;
        let mut found = Vec::new();
        // The administration API has a credential of its own, and tests (`admin::gate`).
        let paths = document["paths"].as_object().unwrap();
        for (path, item) in paths.iter().filter(|(path, _)| !path.starts_with("/api/v1/admin/")) {
            for (method, operation) in item.as_object().unwrap() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                found.push((method, path.clone(), operation["security"] == json!([{}])));
            }
        }
        assert!(found.len() > 80, "{}", found.len());
        found
    }
}

#[tokio::test]
async fn without_a_credential_nothing_is_changed() {
    let world = World::start().await;
    let (stranger, before) = (world.running.stranger(), world.everything().await);
    for (method, path, open) in world.operations().await {
        let status = stranger.status(method.clone(), &world.path(&path), world.body()).await;
        // The open writes are the login and the joining of a node; with that body they are refused.
        let is_open = path == "/v1/session/login" || (path == "/basalt/v1/nodes" && method == Method::POST);
        let expected = if is_open { 400 } else { 401 };
        assert!(status == expected || (open && method == Method::GET), "{method} {path}: {status}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn without_a_role_there_is_nothing_to_see_or_change() {
    let world = World::start().await;
    let nobody = world.running.stranger().logged_in("nobody", PASSWORD).await;
    let before = world.everything().await;
    for (method, path, open) in world.operations().await {
        let status = nobody.status(method.clone(), &world.path(&path), world.body()).await;
        if open || (method == Method::GET && OWN.contains(&path.as_str())) {
            continue;
        }
        // A wrong old password is the one 401.
        let expected = if path == "/v1/session/change-password" { 401 } else { 403 };
        assert_eq!(status, expected, "{method} {path}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn an_observer_sees_all_and_changes_nothing() {
    let world = World::start().await;
    let watcher = world.running.stranger().logged_in("watcher", PASSWORD).await;
    assert_eq!(watcher.get("/v1/session/roles").await, json!(["Observers"]));
    let before = world.everything().await;
    for (method, path, open) in world.operations().await {
        let status = watcher.status(method.clone(), &world.path(&path), world.body()).await;
        // It shows secrets.
        let hidden = path == "/auth_server";
        let reads = (method == Method::GET && !hidden) || path.starts_with("/v1/identity/");
        match path.as_str() {
            _ if open => {}
            "/v1/session/change-password" => assert_eq!(status, 401),
            _ => assert_eq!(status == 403, !reads, "{method} {path}: {status}"),
        }
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_gone_at_once() {
    let world = World::start().await;
    let watcher = world.running.stranger().logged_in("watcher", PASSWORD).await;
    assert_eq!(watcher.status(Method::GET, "/volumes", json!({})).await, 200);
    let member = "/v1/groups/515/members/1001";
    assert_eq!(world.admin.status(Method::DELETE, member, json!({})).await, 200);
    assert_eq!(watcher.status(Method::GET, "/volumes", json!({})).await, 403);
}
