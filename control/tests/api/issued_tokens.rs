//! Tokens that the server issues (provisioner D55).

use std::os::unix::fs::PermissionsExt;

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::Method;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::common::Running;

const TOKENS: &str = "/basalt/v1/tokens";

async fn issue(running: &Running, body: Value) -> Value {
    let answer = running.client().send(Method::POST, TOKENS, body.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn each_role_opens_what_it_should() {
    let running = Running::start().await;
    let volume = json!({"alias": "a", "capacity": 1});
    // (role, GET /metrics, GET /volumes, POST /volumes, GET /basalt/v1/tokens, POST there, GET /v1/session/who-am-i)
    let table = [
        ("admin", [200, 200, 200, 200, 201, 401]),
        ("observer", [200, 200, 403, 200, 403, 401]),
        ("metrics", [200, 403, 403, 403, 403, 401]),
    ];
    for (role, expected) in table {
        let issued = issue(&running, json!({ "role": role })).await;
        let client = running.stranger().bearer(issued["token"].as_str().unwrap());
        let seen = [
            client.status(Method::GET, "/metrics", json!({})).await,
            client.status(Method::GET, "/volumes", json!({})).await,
            client.status(Method::POST, "/volumes", volume.clone()).await,
            client.status(Method::GET, TOKENS, json!({})).await,
            client.status(Method::POST, TOKENS, json!({"role": "metrics"})).await,
            client.status(Method::GET, "/v1/session/who-am-i", json!({})).await,
        ];
        assert_eq!(seen, expected, "{role}");
    }
    let scrape = issue(&running, json!({"role": "metrics"})).await;
    let scraper = running.stranger().bearer(scrape["token"].as_str().unwrap());
    let refused = scraper.send(Method::GET, "/tenants", "").await;
    assert_eq!((refused.status.as_u16(), &refused.body["status"]), (403, &json!("Forbidden")));
    assert_eq!(scraper.status(Method::POST, "/metrics", json!({})).await, 403);
}

#[tokio::test]
async fn a_revoked_or_expired_token_is_refused() {
    let running = Running::start().await;
    let admin = running.client();
    let issued =
        issue(&running, json!({"role": "observer", "name": "grafana", "lifetimeSeconds": 7200})).await;
    let (id, token) = (issued["id"].as_str().unwrap(), issued["token"].as_str().unwrap());
    let created = issued["createdMs"].as_u64().unwrap();
    assert_eq!(issued["expiresMs"], created + 7_200_000);
    let client = running.stranger().bearer(token);
    assert_eq!(client.status(Method::GET, "/tenants", json!({})).await, 200);

    let listed = admin.get(TOKENS).await;
    let expected = json!([{"id": id, "role": "observer", "name": "grafana", "createdMs": created,
        "expiresMs": created + 7_200_000}]);
    assert_eq!(listed, expected, "the token itself is shown once only");

    // Signed with the server's own key, and too old.
    let file = running.dir.path().join("tokens.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = BASE64_STANDARD.decode(std::fs::read_to_string(&file).unwrap().trim()).unwrap();
    let claims = json!({"iss": "basalt", "jti": id, "roles": ["ADMIN"], "iat": 1, "exp": 3601});
    let old = encode(&Header::default(), &claims, &EncodingKey::from_secret(&key)).unwrap();
    let refused = running.stranger().bearer(&old).send(Method::GET, "/tenants", "").await;
    assert_eq!(refused.status.as_u16(), 401);
    assert!(refused.body["description"].as_str().unwrap().contains("has expired"), "{}", refused.body);

    let path = format!("{TOKENS}/{id}");
    assert_eq!(admin.delete(&path).await, json!({ "revoked": id }));
    assert_eq!(client.status(Method::GET, "/tenants", json!({})).await, 401);
    assert_eq!(admin.send(Method::DELETE, &path, "").await.status, 404);
    assert_eq!(admin.get(TOKENS).await, json!([]));
}

#[tokio::test]
async fn wrong_requests_name_their_field() {
    let running = Running::start().await;
    for (field, body) in [
        ("role", json!({})),
        ("role", json!({"role": "root"})),
        ("lifetimeSeconds", json!({"role": "admin", "lifetimeSeconds": 60})),
    ] {
        let refused = running.client().send(Method::POST, TOKENS, body.to_string()).await;
        assert_eq!((refused.status.as_u16(), &refused.body["field"]), (400, &json!(field)), "{body}");
    }
    assert_eq!(running.client().get(TOKENS).await, json!([]));
}
