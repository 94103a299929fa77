//! Access tokens (session.md §7), through HTTP.

use crate::common::{Client, Running};
use hyper::Method;
use serde_json::{Value, json};

const TOKENS: &str = "/v1/auth/access-tokens/";
const WHO: &str = "/v1/session/who-am-i";
const PASSWORD: &str = "passw0rd!";

async fn user(admin: &Client, name: &str) -> String {
    let body = json!({"name": name, "primary_group": "513", "password": PASSWORD});
    admin.post("/v1/users/", body).await["id"].as_str().unwrap().to_owned()
}

/// Id and bearer.
async fn token(client: &Client, user: Value) -> (String, String) {
    let made = client.post(TOKENS, json!({ "user": user })).await;
    (made["id"].as_str().unwrap().to_owned(), made["bearer_token"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_token_from_its_making_to_its_end() {
    let running = Running::start().await;
    let admin = running.admin().await;
    user(&admin, "alice").await;
    let (id, bearer) = token(&admin, json!({"domain": "LOCAL", "name": "alice"})).await;
    let path = format!("{TOKENS}{id}");
    let alice = running.stranger().bearer(&bearer);
    assert_eq!(alice.get(WHO).await["name"], "alice");
    let kept = admin.get(&path).await;
    assert_eq!((&kept["user"]["name"], &kept["creator"]["name"]), (&json!("alice"), &json!("admin")));
    assert_eq!((&kept["expiration_time"], &kept["enabled"]), (&json!(null), &json!(true)));
    assert!(!kept.to_string().contains(&bearer));

    let enable = |yes: bool| json!({ "enabled": yes });
    assert_eq!(admin.patch(&path, enable(false)).await["enabled"], false);
    assert_eq!(alice.status(Method::GET, WHO, json!({})).await, 401);
    admin.patch(&path, enable(true)).await;
    assert_eq!(alice.get(WHO).await["name"], "alice");
    let past = admin.patch(&path, json!({"expiration_time": "2020-01-01T00:00:00+01:00"})).await;
    assert_eq!(past["expiration_time"], "2019-12-31T23:00:00Z");
    assert_eq!(alice.status(Method::GET, WHO, json!({})).await, 401);
    admin.patch(&path, json!({"expiration_time": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(alice.get(WHO).await["name"], "alice");
    assert_eq!(admin.status(Method::DELETE, &path, json!({})).await, 200);
    assert_eq!(alice.status(Method::GET, WHO, json!({})).await, 401);
    assert_eq!(admin.status(Method::DELETE, &path, json!({})).await, 404);
    assert_eq!(admin.status(Method::GET, &path, json!({})).await, 404);
}

#[tokio::test]
async fn ones_own_and_others() {
    let running = Running::start().await;
    let admin = running.admin().await;
    user(&admin, "alice").await;
    let alice = running.stranger().logged_in("alice", PASSWORD).await;
    let (of_admin, _) = token(&admin, json!({"name": "admin"})).await;
    let (own, bearer) = token(&alice, json!({"auth_id": "1000"})).await;
    // A token makes no more of others, either.
    for client in [&alice, &running.stranger().bearer(&bearer)] {
        for user in [json!({"name": "admin"}), json!({"name": "nobody"})] {
            assert_eq!(client.status(Method::POST, TOKENS, json!({ "user": user })).await, 403);
        }
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            let body = json!({"enabled": false});
            assert_eq!(client.status(method, &format!("{TOKENS}{of_admin}"), body).await, 403);
        }
        let listed = client.get(TOKENS).await;
        assert_eq!(listed["entries"].as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed["entries"][0]["id"], json!(own));
    }
    assert_eq!(admin.get(TOKENS).await["entries"].as_array().unwrap().len(), 2);
    assert_eq!(alice.status(Method::DELETE, &format!("{TOKENS}{own}"), json!({})).await, 200);
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let cases = [
        (json!({}), 400),
        (json!({"user": {}}), 400),
        (json!({"user": "admin"}), 400),
        (json!({"user": {"name": "Users"}}), 400),
        (json!({"user": {"name": "nobody"}}), 404),
        (json!({"user": {"name": "admin"}, "expiration_time": "2030-01-01T00:00:00"}), 400),
        (json!({"user": {"name": "admin"}, "expiration_time": 5}), 400),
    ];
    for (body, status) in cases {
        assert_eq!(admin.status(Method::POST, TOKENS, body.clone()).await, status, "{body}");
    }
    for (user, status) in [("nobody", 400), ("Users", 400), ("uid:x", 400), ("admin", 200)] {
        let path = format!("{TOKENS}?user={user}");
        assert_eq!(admin.status(Method::GET, &path, json!({})).await, status, "{user}");
    }
    assert_eq!(admin.get(TOKENS).await, json!({"entries": [], "paging": {"next": ""}}));
}

#[tokio::test]
async fn two_of_a_user_and_no_more() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let making = (0..6).map(|_| {
        let admin = admin.clone();
        tokio::spawn(
            async move { admin.status(Method::POST, TOKENS, json!({"user": {"name": "admin"}})).await },
        )
    });
    let mut made = 0;
    for status in making.collect::<Vec<_>>() {
        let status = status.await.unwrap();
        assert!([200, 409].contains(&status), "{status}");
        made += u32::from(status == 200);
    }
    assert_eq!(made, 2);
    let first = admin.get(&format!("{TOKENS}?user=admin?limit=1")).await;
    let next = first["paging"]["next"].as_str().unwrap();
    let second = admin.get(next).await;
    assert_ne!(first["entries"][0]["id"], second["entries"][0]["id"]);
    assert_eq!(second["paging"]["next"], "");
}

#[tokio::test]
async fn a_users_tokens_go_with_it() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let id = user(&admin, "alice").await;
    let (_, bearer) = token(&admin, json!({"name": "alice"})).await;
    assert_eq!(admin.status(Method::DELETE, &format!("/v1/users/{id}"), json!({})).await, 200);
    assert_eq!(running.stranger().bearer(&bearer).status(Method::GET, WHO, json!({})).await, 401);
    assert_eq!(admin.get(TOKENS).await["entries"], json!([]));
}
