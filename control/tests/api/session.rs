//! Users, logins and their bearers (session.md), through HTTP.

use crate::common::{Client, Running};
use hyper::{Method, header};
use serde_json::{Value, json};

const PASSWORD: &str = "passw0rd!";

async fn user(admin: &Client, name: &str) -> String {
    let body = json!({"name": name, "primary_group": "513", "uid": "", "password": PASSWORD,
        "home_directory": null});
    admin.post("/v1/users/", body).await["id"].as_str().unwrap().to_owned()
}

/// Status and error class.
async fn refused(client: &Client, method: Method, path: &str, body: Value) -> (u16, String) {
    let answer = client.send(method, path, body.to_string()).await;
    assert_eq!(answer.body["stack"], json!([]), "{}", answer.body);
    (answer.status.as_u16(), answer.body["error_class"].as_str().unwrap().to_owned())
}

fn class(status: u16, class: &str) -> (u16, String) {
    (status, class.to_owned())
}

#[tokio::test]
async fn from_a_password_to_a_bearer() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let who = admin.get("/v1/session/who-am-i").await;
    assert_eq!(
        (&who["id"], &who["name"], &who["primary_group"]),
        (&json!("500"), &json!("admin"), &json!("513"))
    );
    assert!(who["sid"].as_str().unwrap().starts_with("S-1-5-21-"), "{who}");
    assert_eq!(who["privileges"].as_array().unwrap().len(), 15);
    assert_eq!(admin.get("/v1/session/roles").await, json!(["Administrators"]));
    // It is an administrator's bearer on every API; its certificate would count on the others only.
    assert_eq!(admin.get("/backends").await.as_array().unwrap().len(), 1);
    assert_eq!(refused(&running.client(), Method::GET, "/v1/session/who-am-i", json!({})).await.0, 401);
    let token = running.stranger().bearer(&running.token());
    assert_eq!(token.get("/v1/session/who-am-i").await["name"], "admin");
}

#[tokio::test]
async fn wrong_logins_are_all_the_same() {
    let running = Running::start().await;
    let stranger = running.stranger();
    let mut answers = Vec::new();
    for (name, password) in [("admin", "wrong"), ("nobody", "wrong"), ("guest", ""), ("Users", "wrong")] {
        let answer = stranger.login(name, password).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error_class"]),
            (401, &json!("http_unauthorized_error"))
        );
        answers.push(answer.body.to_string());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    for body in
        [json!({"username": "admin"}), json!({"password": "x"}), json!({"username": 5, "password": "x"})]
    {
        let login = refused(&stranger, Method::POST, "/v1/session/login", body).await;
        assert_eq!(login, class(400, "invalid_request_error"));
    }
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let running = Running::start().await;
    let stranger = running.stranger();
    for _ in 0..10 {
        assert_eq!(stranger.login("admin", "wrong").await.status, 401);
    }
    let blocked = stranger.login("admin", &running.admin_password()).await;
    assert_eq!(
        (blocked.status.as_u16(), &blocked.body["error_class"]),
        (429, &json!("http_too_many_requests_error"))
    );
    assert_eq!(stranger.login("admin", "wrong").await.status, 429);
    let events = running.client().get("/basalt/v1/events").await;
    let throttled = events.as_array().unwrap().iter().filter(|event| event["kind"] == "logins-throttled");
    assert_eq!(throttled.count(), 1, "{events}");
}

#[tokio::test]
async fn a_session_outlives_a_restart_but_not_its_time() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |_| {}).await;
    let admin = admin.at(running.address());
    assert_eq!(admin.get("/v1/session/who-am-i").await["name"], "admin");

    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |config| config.auth.session_seconds = 0).await;
    assert_eq!(admin.at(running.address()).get("/v1/session/roles").await, json!(["Administrators"]));
    let ended = running.stranger().login("admin", &running.admin_password()).await;
    let ended = running.stranger().bearer(ended.body["bearer_token"].as_str().unwrap());
    let refusal = refused(&ended, Method::GET, "/v1/session/who-am-i", json!({})).await;
    assert_eq!(refusal, class(401, "http_unauthorized_error"));
    // Where no bearer is needed a bad one does not matter.
    assert_eq!(ended.get("/v1/version").await["flavor"], "debug");
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let id = user(&admin, "alice").await;
    let one = running.stranger().logged_in("alice", PASSWORD).await;
    let other = running.stranger().logged_in("alice", PASSWORD).await;
    let change = |old: &str, new: &str| json!({"old_password": old, "new_password": new});
    let path = "/v1/session/change-password";
    assert_eq!(refused(&one, Method::POST, path, change("wrong", "long enough")).await.0, 401);
    assert_eq!(refused(&one, Method::POST, path, change(PASSWORD, "short")).await.0, 400);
    assert_eq!(one.status(Method::POST, path, change(PASSWORD, "long enough")).await, 200);
    assert_eq!(one.get("/v1/session/who-am-i").await["name"], "alice");
    assert_eq!(other.status(Method::GET, "/v1/session/who-am-i", json!({})).await, 401);
    assert_eq!(running.stranger().login("alice", PASSWORD).await.status, 401);
    // An administrator's new password ends them all; a deletion, too.
    let set = json!({"new_password": "another one"});
    assert_eq!(admin.status(Method::POST, &format!("/v1/users/{id}/setpassword"), set).await, 200);
    assert_eq!(one.status(Method::GET, "/v1/session/who-am-i", json!({})).await, 401);
    let again = running.stranger().logged_in("alice", "another one").await;
    assert_eq!(admin.status(Method::DELETE, &format!("/v1/users/{id}"), json!({})).await, 200);
    assert_eq!(again.status(Method::GET, "/v1/session/who-am-i", json!({})).await, 401);
}

#[tokio::test]
async fn users_and_groups() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let alice = user(&admin, "alice").await;
    assert_eq!(alice, "1000");
    let group = admin.post("/v1/groups/", json!({"name": "g", "gid": "7"})).await;
    assert_eq!((&group["id"], &group["gid"]), (&json!("1001"), &json!("7")));
    let members = "/v1/groups/1001/members/";
    assert_eq!(admin.status(Method::POST, members, json!({"member_id": alice})).await, 200);
    assert_eq!(admin.get(members).await[0]["name"], "alice");
    let groups = admin.get("/v1/users/1000/groups/").await;
    assert_eq!((&groups[0]["name"], &groups[1]["name"]), (&json!("Users"), &json!("g")));
    assert_eq!(admin.status(Method::DELETE, "/v1/groups/1001/members/1000", json!({})).await, 200);
    assert_eq!(admin.status(Method::DELETE, "/v1/groups/1001/members/1000", json!({})).await, 404);

    let new = json!({"id": "1000", "name": "alicia", "primary_group": "1001", "uid": "42", "password": null,
        "home_directory": "/home/alicia"});
    let changed = admin.put("/v1/users/1000", new).await;
    assert_eq!((&changed["name"], &changed["uid"]), (&json!("alicia"), &json!("42")));
    assert_eq!(admin.get("/v1/users/1000").await, changed);
    running.stranger().logged_in("alicia", PASSWORD).await;
    assert_eq!(refused(&admin, Method::DELETE, "/v1/groups/1001", json!({})).await.0, 409);
    assert_eq!(admin.status(Method::DELETE, "/v1/users/1000", json!({})).await, 200);
    assert_eq!(admin.status(Method::DELETE, "/v1/groups/1001", json!({})).await, 200);
    assert_eq!(admin.get("/v1/users/").await.as_array().unwrap().len(), 2);
    assert_eq!(user(&admin, "alice").await, "1002", "numbers are not given twice");
}

#[tokio::test]
async fn refusals_say_why_and_change_nothing() {
    let running = Running::start().await;
    let admin = running.admin().await;
    user(&admin, "alice").await;
    let before = (admin.get("/v1/users/").await, admin.get("/v1/groups/").await);
    let new = |change: Value| {
        let mut body = json!({"name": "b", "primary_group": "513", "uid": "", "password": PASSWORD});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    let cases = [
        (Method::POST, "/v1/users/", new(json!({"name": "alice"})), 409, "alice"),
        (Method::POST, "/v1/users/", new(json!({"name": "Users"})), 409, "Users"),
        (Method::POST, "/v1/users/", new(json!({"name": ""})), 400, "name"),
        (Method::POST, "/v1/users/", new(json!({"primary_group": "999"})), 400, "primary_group"),
        (Method::POST, "/v1/users/", new(json!({"primary_group": "x"})), 400, "primary_group"),
        (Method::POST, "/v1/users/", new(json!({"uid": "-1"})), 400, "uid"),
        (Method::POST, "/v1/users/", new(json!({"password": "short"})), 400, "password"),
        (Method::POST, "/v1/users/", json!([]), 400, "object"),
        (Method::PUT, "/v1/users/1000", new(json!({"id": "5"})), 400, "id"),
        (Method::PUT, "/v1/users/500", new(json!({})), 403, "admin"),
        (Method::PUT, "/v1/users/999", new(json!({})), 404, "999"),
        (Method::DELETE, "/v1/users/500", json!({}), 403, "admin"),
        (Method::DELETE, "/v1/users/501", json!({}), 403, "guest"),
        (Method::DELETE, "/v1/users/x", json!({}), 404, "x"),
        (Method::POST, "/v1/groups/", json!({"name": "alice", "gid": ""}), 409, "alice"),
        (Method::DELETE, "/v1/groups/512", json!({}), 403, "Administrators"),
        (Method::DELETE, "/v1/groups/512/members/500", json!({}), 403, "admin"),
        (Method::POST, "/v1/groups/512/members/", json!({"member_id": "9"}), 400, "member_id"),
        (Method::POST, "/v1/groups/9/members/", json!({"member_id": "1000"}), 404, "9"),
        (Method::POST, "/v1/identity/find", json!({"domain": "LOCAL"}), 400, "auth_id"),
        (Method::POST, "/v1/identity/find", json!({"name": "alice", "auth_id": "500"}), 404, "identity"),
        (Method::GET, "/v1/cluster/nodes/9999", json!({}), 404, "9999"),
        (Method::GET, "/v1/cluster/none", json!({}), 404, "/v1/cluster/none"),
        (Method::PATCH, "/v1/users/", json!({}), 405, "PATCH"),
    ];
    for (method, path, body, status, word) in cases {
        let answer = admin.send(method.clone(), path, body.to_string()).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        let why = answer.body["description"].as_str().unwrap();
        assert!(why.contains(word), "{method} {path}: {why}");
    }
    assert_eq!((admin.get("/v1/users/").await, admin.get("/v1/groups/").await), before);
}

#[tokio::test]
async fn version_nodes_and_settings() {
    let running = Running::with(|config| config.node_name = "n1".to_owned()).await;
    let version = running.stranger().get("/v1/version").await;
    let revision = version["revision_id"].as_str().unwrap();
    assert_eq!(revision.rsplit_once(' ').unwrap(), ("Basalt", env!("CARGO_PKG_VERSION")));
    let admin = running.admin().await;
    let nodes = admin.get("/v1/cluster/nodes/").await;
    let id = admin.get("/backends").await[0]["persistentID"].clone();
    assert_eq!(
        (&nodes[0]["id"], &nodes[0]["node_status"], &nodes[0]["uuid"]),
        (&json!(1), &json!("online"), &id)
    );
    assert_eq!(nodes[0]["capacity_in_bytes"], (64 * crate::common::GIB).to_string());
    assert_eq!(admin.get("/v1/cluster/nodes/1").await, nodes[0]);
    assert_eq!(admin.get("/v1/cluster/settings").await, json!({"cluster_name": "n1"}));
    admin.put("/v1/cluster/settings", json!({"cluster_name": "c"})).await;
    assert_eq!(admin.get("/v1/cluster/settings").await, json!({"cluster_name": "c"}));
}

#[tokio::test]
async fn what_was_done_to_users_is_an_event_that_names_who() {
    let running = Running::start().await;
    let admin = running.admin().await;
    user(&admin, "alice").await;
    let events = running.client().get("/basalt/v1/events").await;
    let said: Vec<&str> = events.as_array().unwrap().iter().filter_map(|e| e["message"].as_str()).collect();
    assert!(said.iter().any(|s| s.starts_with("admin logged in from 127.0.0.1")), "{said:?}");
    assert!(said.contains(&"admin made user alice"), "{said:?}");
    assert!(!events.to_string().contains(PASSWORD));
    let store = std::fs::read(running.dir.path().join("control.redb")).unwrap();
    assert!(!store.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes()), "the store keeps digests");
}

#[tokio::test]
async fn only_what_if_match_names_is_changed() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let id = user(&admin, "alice").await;
    let group = admin.post("/v1/groups/", json!({"name": "g"})).await["id"].as_str().unwrap().to_owned();
    let token = admin.post("/v1/auth/access-tokens/", json!({"user": {"name": "alice"}})).await;
    let token = format!("/v1/auth/access-tokens/{}", token["id"].as_str().unwrap());
    let replaced = |name: &str| json!({"name": name, "primary_group": "513"});
    for (method, path, body, other) in [
        (Method::PUT, format!("/v1/users/{id}"), replaced("alicia"), replaced("alison")),
        (Method::PUT, format!("/v1/groups/{group}"), json!({"name": "h"}), json!({"name": "i"})),
        (
            Method::PUT,
            "/v1/cluster/settings".to_owned(),
            json!({"cluster_name": "c"}),
            json!({"cluster_name": "d"}),
        ),
        (Method::PATCH, token.clone(), json!({"enabled": false}), json!({"enabled": true})),
    ] {
        let seen = admin.header_of(&path, header::ETAG).await;
        let with_seen = admin.clone().header("if-match", &seen);
        assert_eq!(with_seen.status(method.clone(), &path, body).await, 200, "{path}");
        let now = admin.get(&path).await;
        assert_ne!(admin.header_of(&path, header::ETAG).await, seen, "{path}");
        let refused = refused(&with_seen, method.clone(), &path, other.clone()).await;
        assert_eq!(refused, class(412, "http_precondition_failed_error"), "{path}");
        assert_eq!(admin.get(&path).await, now, "{path}");
        let any = admin.clone().header("if-match", "*");
        assert_eq!(any.status(method, &path, other).await, 200, "{path}");
    }
    for path in [format!("/v1/users/{id}"), format!("/v1/groups/{group}"), token] {
        let with_none = admin.clone().header("if-match", "\"none\"");
        let refused = refused(&with_none, Method::DELETE, &path, json!({})).await;
        assert_eq!(refused, class(412, "http_precondition_failed_error"), "{path}");
        admin.get(&path).await;
    }
}
