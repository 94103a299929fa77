//! Nobody does more than their role allows: every operation of the OpenAPI document, tried by those who may not.

use std::fs;

use crate::{
    admin::Admin,
    common::{Client, Running},
    contents::Contents,
};
use control::{AdminGroup, ControlConfig};
use hyper::Method;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use serde_json::{Value, json};

const PASSWORD: &str = "passw0rd!";

/// Of the user admin, in the default tenant.
async fn scoped_token(running: &Running) -> String {
    let credentials = json!({"username": "admin", "password": running.admin_password()});
    let body = json!({"auth": {"tenantName": "default", "passwordCredentials": credentials}});
    let answer = running.stranger().send(Method::POST, "/v1/user/tokens", body.to_string()).await;
    answer.body["token"].as_str().unwrap().to_owned()
}

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
    /// A user without any role, and one with the role Observers: with their bearers in both headers.
    nobody: Client,
    watcher: Client,
    volume: String,
    /// Of the role r.
    role_token: String,
    /// All that it keeps.
    contents: Contents,
    /// What nodes and processes know besides.
    seen: Vec<Value>,
}

/// One of the document.
struct Operation {
    method: Method,
    path: String,
    /// Needs no credential.
    open: bool,
    /// It takes a token of the role API.
    of_roles: bool,
    /// It takes the administration token, which nobody here has.
    of_admin: bool,
}

/// The administration token is set without one, and everything that can be switched on is.
fn without_passphrase(config: &mut ControlConfig) {
    config.admin.first_run_words = None;
    config.admin.groups = AdminGroup::ALL.into();
}

/// With the bearer in both headers.
async fn user(running: &Running, name: &str) -> Client {
    let login = running.stranger().login(name, PASSWORD).await;
    let bearer = login.body["bearer_token"].as_str().unwrap();
    running.stranger().bearer(bearer).header("x-auth-token", &format!("U={bearer}"))
}

/// What a user token that is in no tenant is good for: tokens, and the list of no tenants.
const UNSCOPED: [&str; 2] = ["/v1/user/tokens", "/v1/tenant"];

impl World {
    async fn start() -> Self {
        let running = Running::with(without_passphrase).await;
        Admin::of(&running).await;
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
        let admin = admin.header("x-auth-token", &scoped_token(&running).await);
        for (path, body) in [
            ("/v1/policy", json!({"policy": {"name": "p"}})),
            ("/v1/resource", json!({"resource": {"name": "x", "data": "d"}})),
            ("/v1/role", json!({"role": {"name": "r"}})),
            ("/v1/role/r", json!({"host": {"host": "10.0.0.1", "cuk": "c"}})),
            ("/v1/role", json!({"role": {"name": "other"}})),
            ("/v1/tenant", json!({"tenant": {"name": "other", "users": ["nobody"]}})),
        ] {
            assert_eq!(admin.status(Method::POST, path, body).await, 201, "{path}");
        }
        let made = admin.get("/v1/role/token/r").await;
        let role_token = made["token"].as_str().unwrap().to_owned();
        let (nobody, watcher) = (user(&running, "nobody").await, user(&running, "watcher").await);
        // While it is stopped, everything can be looked at.
        let (dir, node) = running.stop().await;
        let contents = Contents::of(dir.path());
        let running = Running::on(dir, node, without_passphrase).await;
        let at = |client: Client| client.at(running.address());
        let (admin, nobody, watcher) = (at(admin), at(nobody), at(watcher));
        let mut world =
            Self { running, admin, nobody, watcher, volume, role_token, contents, seen: Vec::new() };
        world.seen = world.look().await;
        world
    }

    /// What the node and this process know: it does not stand in any file.
    async fn look(&self) -> Vec<Value> {
        let path_state = format!("/basalt/v1/volumes/{}/path-state", self.volume);
        let mut found = Vec::new();
        for path in [path_state.as_str(), "/basalt/v1/drives", "/backends"] {
            let mut value = self.admin.get(path).await;
            if path == "/backends" {
                value[0].as_object_mut().unwrap().remove("lastProbTime");
            }
            found.push(value);
        }
        found
    }

    /// Nothing was changed since the start, but what begins with one of `own`.
    async fn unchanged_but(self, own: &[&str]) {
        assert_eq!(self.look().await, self.seen);
        let (dir, _node) = self.running.stop().await;
        let changed = Contents::of(dir.path()).changed_since(&self.contents);
        let foreign: Vec<&String> =
            changed.iter().filter(|key| !own.iter().any(|begin| key.starts_with(begin))).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
    }

    /// All that requests need in one: each handler ignores what it does not know.
    fn body(&self) -> Value {
        json!({
            "alias": "x", "capacity": 1, "newCapacity": 2, "sourceVolumeId": self.volume, "volumeID": self.volume,
            "volumes": [self.volume], "volId": self.volume, "hostId": "h", "rack": "r", "memory": "m",
            "sizeBytes": 1u64 << 30, "hostNqn": "nqn.x", "name": "x", "clientType": "Agent", "version": "1",
            "duration": 0, "anaState": "inaccessible", "primary_group": "513", "password": PASSWORD, "new_password": "another one",
            "old_password": "wrong", "member_id": "1000", "cluster_name": "x", "enabled": false,
            "generate": true, "role": {"name": "r", "policies": ["yrn:yahoo:::default:policy:p"]},
            "policy": {"name": "p", "effect": "allow"}, "resource": {"name": "x", "data": "changed"},
            "tenant": {"name": "new", "id": "0", "users": ["nobody"]}, "host": {"host": "10.0.0.9"},
            "user": {"name": "admin"}, "auth_id": "500", "id": {"auth_id": "500"},
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
        let name = match path {
            "/v1/list/{name}" => "role".to_owned(),
            "/v1/tenant/{name}" => "default".to_owned(),
            "/v1/policy/{name}" => "yrn:yahoo:::default:policy:p".to_owned(),
            "/v1/resource/{name}" => "yrn:yahoo:::default:resource:x".to_owned(),
            "/v1/role/token/{name}" => self.role_token.clone(),
            _ => "yrn:yahoo:::default:role:r".to_owned(),
        };
        path.replace("{name}", &name)
            .replace("{tenant}", "0")
            .replace("{id}", id)
            .replace("{alias}", "v")
            .replace("{user}", "500")
    }

    async fn operations(&self) -> Vec<Operation> {
        let document = self.running.stranger().get("/openapi.json").await;
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let open = operation["security"] == json!([{}]);
                let of_roles = operation["tags"][0] == "Roles";
                let of_admin = path.starts_with("/api/v1/admin/");
                // Its refusals take their time; they have a test of their own (`admin::gate`).
                if path != "/api/v1/admin/setup" {
                    found.push(Operation { method, path: path.clone(), open, of_roles, of_admin });
                }
            }
        }
        assert!(found.len() > 80, "{}", found.len());
        found
    }
}

#[tokio::test]
async fn without_a_credential_nothing_is_changed() {
    let world = World::start().await;
    let stranger = world.running.stranger();
    for Operation { method, path, open, of_roles, of_admin } in world.operations().await {
        let status = stranger.status(method.clone(), &world.path(&path), world.body()).await;
        if of_admin {
            assert_eq!(status, 403, "{method} {path}");
            continue;
        }
        if of_roles {
            assert!(
                (400..=404).contains(&status) || (open && method == Method::GET),
                "{method} {path}: {status}"
            );
            continue;
        }
        // The open writes are the login and the joining of a node; with that body they are refused.
        let is_open = path == "/v1/session/login" || (path == "/basalt/v1/nodes" && method == Method::POST);
        let expected = if is_open { 400 } else { 401 };
        assert!(status == expected || (open && method == Method::GET), "{method} {path}: {status}");
    }
    world.unchanged_but(&[]).await;
}

/// As the server's CA makes them, but for yesterday.
fn expired_certificate(running: &Running) -> String {
    let read = |name: &str| fs::read_to_string(running.server.credentials().join(name)).unwrap();
    let ca_key = KeyPair::from_pem(&read("ca.key")).unwrap();
    let ca = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2020, 1, 2));
    params.signed_by(&key, &ca).unwrap().pem() + &key.serialize_pem()
}

impl World {
    /// Clients whose credential counted once, or would count elsewhere.
    async fn shut_out(&self) -> Vec<(&'static str, Client)> {
        let (admin, stranger) = (&self.admin, self.running.stranger());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let access_token = async |user: &str, change: Value| {
            let made = admin.post("/v1/auth/access-tokens/", json!({"user": {"name": user}})).await;
            let path = format!("/v1/auth/access-tokens/{}", text(&made["id"]));
            assert_eq!(admin.status(Method::PATCH, &path, change).await, 200);
            stranger.bearer(&text(&made["bearer_token"]))
        };
        let body = json!({"role": "admin"}).to_string();
        let issued = admin.send(Method::POST, "/basalt/v1/tokens", body).await.body;
        let path = format!("/basalt/v1/tokens/{}", text(&issued["id"]));
        assert_eq!(admin.status(Method::DELETE, &path, json!({})).await, 200);
        let session = stranger.logged_in("watcher", PASSWORD).await;
        let password = json!({"new_password": "another one"});
        assert_eq!(admin.status(Method::POST, "/v1/users/1001/setpassword", password).await, 200);
        let rotated = stranger.bearer(&self.running.token());
        assert_eq!(rotated.status(Method::POST, "/basalt/v1/tokens:rotate", json!({})).await, 200);
        let elsewhere = Running::start().await;
        let foreign = fs::read(elsewhere.server.credentials().join("ssdtoolbox.pem")).unwrap();
        vec![
            ("a revoked token", stranger.bearer(&text(&issued["token"]))),
            ("a rotated token", rotated),
            ("another server's token", stranger.bearer(&elsewhere.token())),
            (
                "an expired access token",
                access_token("admin", json!({"expiration_time": "2020-01-01T00:00:00Z"})).await,
            ),
            ("a disabled access token", access_token("watcher", json!({"enabled": false})).await),
            ("a session that ended", session),
            ("another CA's certificate", stranger.clone().certificate_pem(&foreign)),
            (
                "an expired certificate",
                stranger.clone().certificate_pem(expired_certificate(&self.running).as_bytes()),
            ),
        ]
    }
}

#[tokio::test]
async fn a_credential_that_does_not_count_opens_nothing() {
    let world = World::start().await;
    let shut_out = world.shut_out().await;
    let closed: Vec<_> = world.operations().await.into_iter().filter(|o| !o.open && !o.of_roles).collect();
    for (what, client) in shut_out {
        for Operation { method, path, of_admin, .. } in &closed {
            let status = client.status(method.clone(), &world.path(path), world.body()).await;
            assert_eq!(status, if *of_admin { 403 } else { 401 }, "{what}: {method} {path}");
        }
    }
    assert_eq!(world.look().await, world.seen);
}

#[tokio::test]
async fn without_a_role_there_is_nothing_to_see_or_change() {
    let world = World::start().await;
    for Operation { method, path, open, of_roles, of_admin } in world.operations().await {
        let status = world.nobody.status(method.clone(), &world.path(&path), world.body()).await;
        if of_admin {
            assert_eq!(status, 403, "{method} {path}");
            continue;
        }
        if of_roles {
            let may =
                UNSCOPED.contains(&path.as_str()) && (method != Method::POST || path.ends_with("tokens"));
            let refused = (400..=404).contains(&status);
            assert!(refused || may || (open && method == Method::GET), "{method} {path}: {status}");
            continue;
        }
        if open || (method == Method::GET && OWN.contains(&path.as_str())) {
            continue;
        }
        // A wrong old password is the one 401.
        let expected = if path == "/v1/session/change-password" { 401 } else { 403 };
        assert_eq!(status, expected, "{method} {path}");
    }
    // A user token of its own.
    world.unchanged_but(&["user-tokens/"]).await;
}

#[tokio::test]
async fn an_observer_sees_all_and_changes_nothing() {
    let world = World::start().await;
    let watcher = &world.watcher;
    assert_eq!(watcher.get("/v1/session/roles").await, json!(["Observers"]));
    for Operation { method, path, open, of_roles, of_admin } in world.operations().await {
        let status = watcher.status(method.clone(), &world.path(&path), world.body()).await;
        let write = [Method::POST, Method::PUT, Method::DELETE].contains(&method);
        // It shows secrets.
        let hidden = path == "/auth_server";
        let reads = (method == Method::GET && !hidden) || path.starts_with("/v1/identity/");
        match path.as_str() {
            _ if open => {}
            _ if of_admin => assert_eq!(status, 403, "{method} {path}"),
            _ if of_roles => {
                let may = UNSCOPED.contains(&path.as_str()) && (!write || path.ends_with("tokens"));
                assert!((400..=404).contains(&status) || may, "{method} {path}: {status}");
            }
            "/v1/session/change-password" => assert_eq!(status, 401),
            _ => assert_eq!(status == 403, !reads, "{method} {path}: {status}"),
        }
    }
    // A user token of its own, and what GET /inventory leaves by its contract.
    world.unchanged_but(&["user-tokens/", "tasks/", "inventory/"]).await;
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_gone_at_once() {
    let world = World::start().await;
    let watcher = &world.watcher;
    assert_eq!(watcher.status(Method::GET, "/volumes", json!({})).await, 200);
    let member = "/v1/groups/515/members/1001";
    assert_eq!(world.admin.status(Method::DELETE, member, json!({})).await, 200);
    assert_eq!(watcher.status(Method::GET, "/volumes", json!({})).await, 403);
}

#[tokio::test]
async fn a_token_does_nothing_outside_its_tenant_or_role() {
    let world = World::start().await;
    let scope = json!({"auth": {"tenantName": "local@other"}}).to_string();
    let made = world.nobody.send(Method::POST, "/v1/user/tokens", scope).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let with = |token: String| world.running.stranger().header("x-auth-token", &token);
    let of_other_tenant = with(format!("U={}", made.body["token"].as_str().unwrap()));
    let of_other_role = with(format!("R={}", world.role_token));
    // Here names without a tenant are meant in the token's own.
    let own = ["/v1/user/tokens", "/v1/tenant", "/v1/list/{name}", "/v1/role", "/v1/policy", "/v1/resource"];
    for Operation { method, path, open, of_roles, of_admin } in world.operations().await {
        if open {
            continue;
        }
        let named = world.path(&path);
        let status = of_other_tenant.status(method.clone(), &named, world.body()).await;
        match of_roles {
            true => assert!(status >= 400 || own.contains(&path.as_str()), "{method} {path}: {status}"),
            false => assert_eq!(status, if of_admin { 403 } else { 401 }, "{method} {path}"),
        }
        let named = named.replace(":role:r", ":role:other");
        let status = of_other_role.status(method.clone(), &named, world.body()).await;
        assert!((400..=404).contains(&status), "{method} {path}: {status}");
    }
    let other =
        ["roles/local@other/", "policies/local@other/", "resources/local@other/", "user-tokens/", "events/"];
    world.unchanged_but(&other).await;
}

#[tokio::test]
async fn an_issued_token_does_what_its_role_says_and_no_more() {
    let world = World::start().await;
    let mut clients = Vec::new();
    for role in ["observer", "metrics"] {
        let made =
            world.admin.send(Method::POST, "/basalt/v1/tokens", json!({ "role": role }).to_string()).await;
        clients.push((role, world.running.stranger().bearer(made.body["token"].as_str().unwrap())));
    }
    for Operation { method, path, open, of_roles, of_admin } in world.operations().await {
        if open || of_roles {
            continue;
        }
        for (role, client) in &clients {
            let status = client.status(method.clone(), &world.path(&path), world.body()).await;
            let of_session = path.starts_with("/v1/");
            let reads = !of_admin
                && method == Method::GET
                && (path == "/metrics" || (*role == "observer" && path != "/auth_server"));
            match reads && !of_session {
                true => assert!(status != 401 && status != 403, "{role}: {method} {path}: {status}"),
                false => assert!([401, 403].contains(&status), "{role}: {method} {path}: {status}"),
            }
        }
    }
    // Those of this test, and what GET /inventory leaves by its contract.
    world.unchanged_but(&["issued-tokens/", "events/", "tasks/", "inventory/"]).await;
}
