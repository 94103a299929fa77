//! Protocol failures: always JSON, always the contract's shape, never a change (provisioner D3 to D7).

use crate::common::Running;
use hyper::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn unknown_paths_and_methods() {
    let running = Running::start().await;
    let client = running.client();
    let cases = [
        (Method::GET, "/nothing", 404, "NotFound"),
        (Method::GET, "/0/hosts", 404, "NotFound"),
        (Method::GET, "/migrate_volume", 405, "MethodNotAllowed"),
        (Method::PATCH, "/backends", 405, "MethodNotAllowed"),
        (Method::PUT, "/volumes", 405, "MethodNotAllowed"),
        (Method::DELETE, "/0/volumes", 405, "MethodNotAllowed"),
        (Method::GET, "/publish", 405, "MethodNotAllowed"),
        (Method::POST, "/info", 405, "MethodNotAllowed"),
        (Method::GET, "/clone_volume", 405, "MethodNotAllowed"),
        (Method::PATCH, "/0/snapshots/x", 405, "MethodNotAllowed"),
        (Method::OPTIONS, "/hosts", 405, "MethodNotAllowed"),
    ];
    for (method, path, status, code) in cases {
        let answer = client.send(method.clone(), path, "{}").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["status"], code, "{method} {path}");
        let description = answer.body["description"].as_str().unwrap();
        assert!(description.contains(&format!("HTTP Status {status}")), "{description}");
    }
}

#[tokio::test]
async fn basalts_own_api_has_its_own_shape() {
    let running = Running::start().await;
    for (method, path, status, code) in [
        (Method::GET, "/basalt/v1/none", 404, "not_found"),
        (Method::POST, "/basalt/v1/status", 405, "method_not_allowed"),
    ] {
        let answer = running.client().send(method, path, "").await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (status, &json!(code)));
        assert!(answer.body["message"].as_str().unwrap().contains(path));
        assert_eq!(answer.body["field"], json!(null));
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_object() {
    let running = Running::start().await;
    let client = running.client();
    for body in ["", "{", "null", "[]", "5", "\"x\"", "<html/>", "{\"a\":1} x", &"[".repeat(1000)] {
        let answer = client.send(Method::POST, "/volumes", body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.body["status"], "InvalidInput");
        assert!(answer.body["description"].as_str().unwrap().contains("HTTP Status 400"));
    }
    // More than sockets hold: it is read, or the client would not come to read the answer.
    let long = json!({"alias": "x".repeat(4 << 20), "capacity": 1}).to_string();
    let answer = client.send(Method::POST, "/volumes", long).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("InvalidInput"))
    );
    assert_eq!(client.get("/volumes").await, json!([]), "nothing was changed");
}

#[tokio::test]
async fn paths_and_query_names_are_tolerant() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.volume("a", 1).await;
    client.host("h").await;
    client.publish(&id, "h").await;
    let paths = [
        "/volumes",
        "/volumes/",
        "//volumes",
        "/0/volumes",
        "//0//volumes//",
        "/volumes?hostID=h",
        "/volumes?HOSTID=h&Offset=0",
        "/volumes?unknown=1",
        "/volumes_by_alias/a",
        "/0/volumes_by_alias/%61/",
    ];
    for path in paths {
        assert_eq!(client.get(path).await.as_array().unwrap().len(), 1, "{path}");
    }
    let backend = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    for raw in [backend.clone(), backend.replace(':', "%3A"), backend.replace(':', "%3a")] {
        assert_eq!(client.get(&format!("/backends/{raw}")).await[0]["persistentID"], backend);
    }
    assert_eq!(client.send(Method::GET, "/volumes?limit=%ZZ", "").await.body["status"], "InvalidInput");
    assert_eq!(client.send(Method::GET, "/volumes_by_alias/%FF", "").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_unknown_tenant() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.volume("a", 1).await;
    let body = json!({"alias": "b", "capacity": 1});
    assert_eq!(client.post("/nobody/volumes", body).await["status"], "TenantNotFound");
    for path in ["/nobody/volumes", "/nobody/volumes_by_alias/a", &format!("/nobody/volume_extended/{id}")] {
        assert_eq!(client.get(path).await["status"], "TenantNotFound", "{path}");
    }
    assert_eq!(client.delete(&format!("/nobody/volumes/{id}")).await["status"], "TenantNotFound");
    assert_eq!(client.post("/nobody/publish", json!({})).await["status"], "TenantNotFound");
    assert_eq!(client.get("/0/volumes").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn unknown_ids_are_empty_lists() {
    let running = Running::start().await;
    let client = running.client();
    for path in [
        "/volumes/6ba7b810-9dad-41d1-80b4-00c04fd430c8",
        "/volumes/no-uuid",
        "/volumes_by_alias/nobody",
        "/volume_extended/no-uuid",
        "/backends/02:ff:ff:ff:ff:ff",
        "/targets?hostId=nobody",
        "/targets?volId=no-uuid",
        "/hosts?hostName=nobody",
        "/volumes?hostId=nobody",
        "/volumes?backendId=nobody",
    ] {
        assert_eq!(client.get(path).await, json!([]), "{path}");
    }
}

#[tokio::test]
async fn health_and_the_root() {
    let running = Running::start().await;
    assert_eq!(running.stranger().get("/healthz").await, json!({"healthy": true}));
    assert_eq!(running.stranger().get("/readyz").await, json!({"ready": true}));
    assert_eq!(running.stranger().get("/").await, json!({"version": ["v1"]}));
}
