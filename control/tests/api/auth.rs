//! Who is let in (provisioner D55), and TLS.

use crate::common::{Client, Running};
use control::Require;
use hyper::{Method, StatusCode};
use rustls::SupportedProtocolVersion;
use serde_json::json;

const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const BACKENDS: &str = "/backends";

async fn status(client: &Client, path: &str) -> u16 {
    client.send(Method::GET, path, "").await.status.as_u16()
}

/// A certificate of a CA of its own.
fn foreign_certificate() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["intruder".to_owned()]).unwrap();
    params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
}

#[tokio::test]
async fn settings_by_credentials() {
    // (setting, certificate only, token only, both, neither)
    let table = [
        (Require::Any, [200, 200, 200, 401]),
        (Require::Certificate, [200, 401, 200, 401]),
        (Require::Token, [401, 200, 200, 401]),
        (Require::Both, [401, 401, 200, 401]),
    ];
    for (require, expected) in table {
        let running = Running::with(|c| c.auth.require = require).await;
        let bearer = format!("Bearer {}", running.token());
        let clients = [
            running.client(),
            running.stranger().authorization(&bearer),
            running.client().authorization(&bearer),
            running.stranger(),
        ];
        for (client, expected) in clients.iter().zip(expected) {
            assert_eq!(status(client, BACKENDS).await, expected, "{require:?}");
            assert_eq!(status(client, "/basalt/v1/drives").await, expected, "{require:?}");
        }
    }
}

#[tokio::test]
async fn a_foreign_certificate_counts_as_none() {
    let running = Running::start().await;
    let foreign = running.stranger().certificate_pem(foreign_certificate().as_bytes());
    for versions in [TLS12, TLS13] {
        let foreign = foreign.clone().only(versions);
        let refused = foreign.send(Method::GET, BACKENDS, "").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert_eq!(refused.body["status"], "Unauthorized");
        assert!(refused.body["description"].as_str().unwrap().contains("HTTP Status 401"));
        let token = foreign.authorization(&format!("Bearer {}", running.token()));
        assert_eq!(status(&token, BACKENDS).await, 200);
    }
}

#[tokio::test]
async fn a_resumed_session_remembers_its_certificate() {
    let running = Running::start().await;
    for versions in [TLS12, TLS13] {
        let client = running.client().only(versions);
        for _ in 0..3 {
            assert_eq!(status(&client, BACKENDS).await, 200);
        }
    }
}

#[tokio::test]
async fn the_server_certificate_is_no_client_certificate() {
    let running = Running::start().await;
    let read = |name: &str| std::fs::read_to_string(running.server.credentials().join(name)).unwrap();
    let pem = read("server.pem") + &read("server.key");
    assert_eq!(status(&running.stranger().certificate_pem(pem.as_bytes()), BACKENDS).await, 401);
}

#[tokio::test]
async fn wrong_authorizations() {
    let running = Running::start().await;
    let token = running.token();
    let wrong = [
        "Bearer Unknown".to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {token}"),
        format!("Bearer {token}x"),
        format!("Bearer {}", &token[1..]),
        token.clone(),
    ];
    for authorization in wrong {
        assert_eq!(
            status(&running.stranger().authorization(&authorization), BACKENDS).await,
            401,
            "{authorization}"
        );
        // A certificate is let in whatever the header says.
        assert_eq!(
            status(&running.client().authorization(&authorization), BACKENDS).await,
            200,
            "{authorization}"
        );
    }
    let lower = format!("bearer {token}");
    assert_eq!(status(&running.stranger().authorization(&lower), BACKENDS).await, 200);
}

#[tokio::test]
async fn what_is_open_to_anyone() {
    let open =
        |paths: [u16; 5]| ["/healthz", "/readyz", "/info", "/metrics", "/tenants"].into_iter().zip(paths);
    let running = Running::start().await;
    for (path, expected) in open([200, 200, 200, 401, 401]) {
        assert_eq!(status(&running.stranger(), path).await, expected, "{path}");
    }
    assert_eq!(status(&running.stranger(), "//info/").await, 200);
    let (head, ..) = running.stranger().raw(Method::HEAD, "/readyz", "").await;
    assert_eq!(head, StatusCode::OK);
    // Open is only reading.
    let posted = running.stranger().send(Method::POST, "/info", "{}").await;
    assert_eq!(posted.status, StatusCode::UNAUTHORIZED);

    let running = Running::with(|c| (c.auth.open_info, c.auth.open_metrics) = (false, true)).await;
    assert_eq!(status(&running.stranger(), "/info").await, 401);
    let (status, kind, _) = running.stranger().raw(Method::GET, "/metrics", "").await;
    assert_eq!((status.as_u16(), kind.starts_with("text/plain; version=0.0.4")), (200, true));
}

#[tokio::test]
async fn unknown_paths_show_nothing_to_strangers() {
    let running = Running::start().await;
    assert_eq!(status(&running.stranger(), "/no/such/path").await, 401);
    let refused = running.stranger().send(Method::GET, "/basalt/v1/none", "").await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (401, &json!("unauthorized")));
}

#[tokio::test]
async fn rotation_ends_the_old_token() {
    let running = Running::start().await;
    let old = running.stranger().authorization(&format!("Bearer {}", running.token()));
    let rotated = old.send(Method::POST, "/basalt/v1/tokens:rotate", "").await;
    assert_eq!(rotated.status, StatusCode::OK);
    let new = rotated.body["token"].as_str().unwrap();
    assert_eq!((running.token().as_str(), new.len()), (new, 43));
    assert_eq!(status(&old, BACKENDS).await, 401);
    assert_eq!(status(&running.stranger().authorization(&format!("Bearer {new}")), BACKENDS).await, 200);

    let new = format!("Bearer {new}");
    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |_| {}).await;
    let old = old.at(running.address());
    assert_eq!(status(&old, BACKENDS).await, 401);
    assert_eq!(status(&running.stranger().authorization(&new), BACKENDS).await, 200);
}
