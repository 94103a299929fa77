//! Who is let in, and in which order a request is judged (admin.md §1, §2).

use super::{Admin, PREFIX, TOKEN, start, start_with};
use crate::common::Running;
use control::AdminGroup;
use hyper::{Method, body::Bytes};
use serde_json::json;

/// Of `yourtoken`, for GET version.
const HASH: &str = "b714a60732e096ccef06e360eefe0f1ba4fa5d16ef7da726612e2026e5523241";

async fn get(admin: &Admin, path: &str) -> super::Answer {
    admin.ask_path(Method::GET, &format!("{PREFIX}/{path}"), "", Bytes::new()).await
}

#[tokio::test]
async fn a_token_or_a_hash_of_this_very_operation() {
    let (_running, admin) = start().await;
    for (path, status) in [
        (format!("version?token={TOKEN}"), 200),
        (format!("version?hash={HASH}"), 200),
        (format!("version/?hash={HASH}"), 200),
        (format!("build?hash={HASH}"), 403),
        (format!("version?hash={HASH}&token=wrong"), 200),
        (format!("version?hash=wrong&token={TOKEN}"), 403),
        (format!("version?hash={}", HASH.to_uppercase()), 403),
        ("version?token=".to_owned(), 403),
        ("version?hash=".to_owned(), 403),
        ("version?token=YOURTOKEN".to_owned(), 403),
        ("version".to_owned(), 403),
    ] {
        let answer = get(&admin, &path).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 403 {
            assert_eq!(answer.json()["Status"], "403 Forbidden");
            assert_eq!(answer.json().get("First-Run"), None, "it is off here");
            assert!(!answer.message().is_empty());
        }
    }
    // Other credentials of this server mean nothing here.
    let client = admin.client.clone().certificate("ssdtoolbox.pem");
    let other = Admin { client, token: String::new() };
    assert_eq!(other.get("version").await.status, 403);
}

#[tokio::test]
async fn first_it_must_be_there_then_be_allowed_then_be_asked_in_the_right_way() {
    let (_running, admin) = start_with(|config| config.admin.groups.clear()).await;
    let wrong = admin.with("wrong");
    for endpoint in ["settings", "nothing", "", "setup/x"] {
        for who in [&admin, &wrong] {
            let answer = who.get(endpoint).await;
            assert_eq!(
                (answer.status, answer.json()),
                (404, json!({"Status": "404 Not Found"})),
                "{endpoint}"
            );
        }
    }
    for (method, endpoint) in [(Method::POST, "version"), (Method::GET, "setup"), (Method::DELETE, "build")] {
        let ask = async |who: &Admin| who.ask(method.clone(), endpoint, "", Bytes::new()).await;
        assert_eq!(ask(&wrong).await.status, 403, "{method} {endpoint}");
        let answer = ask(&admin).await;
        assert_eq!((answer.status, &answer.json()["Status"]), (400, &json!("400 Bad Request")));
        assert!(answer.message().contains(&format!("does not take {method}")), "{}", answer.message());
    }
}

#[tokio::test]
async fn every_answer_has_the_contracts_headers() {
    let (_running, admin) = start().await;
    for answer in [admin.get("version").await, admin.get("none").await, admin.with("x").get("version").await]
    {
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000 ; includeSubDomains"),
            ("x-frame-options", "deny"),
            ("x-xss-protection", "1"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "object-src 'self';"),
        ] {
            assert_eq!(answer.headers[name], value);
        }
    }
}

/// Every operation that the document has, asked by somebody who may do everything elsewhere.
#[tokio::test]
async fn without_its_token_nothing_is_changed_or_shown() {
    let (running, admin) = start_with(|config| config.admin.groups = AdminGroup::ALL.into()).await;
    let document = running.stranger().get("/openapi.json").await;
    let stranger = Admin { client: running.admin().await, token: String::new() };
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(endpoint) = path.strip_prefix(&format!("{PREFIX}/")) else { continue };
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            assert_eq!(operation["security"], json!([{"adminToken": []}, {"adminHash": []}]));
            // Its refusals take their time; they have a test of their own.
            if endpoint != "setup" {
                let answer = stranger.ask(method.clone(), endpoint, "", Bytes::new()).await;
                assert_eq!(answer.status, 403, "{method} {endpoint}");
                asked += 1;
            }
            let answer = admin.ask(method.clone(), endpoint, "", Bytes::new()).await;
            assert!(![403, 405].contains(&answer.status), "{method} {endpoint}: {}", answer.text());
        }
    }
    assert!(asked >= 7, "{asked}");
}

#[tokio::test]
async fn setting_a_token() {
    let running = Running::with(|config| config.admin.first_run_words = None).await;
    let stranger = Admin { client: running.stranger(), token: String::new() };
    for nothing in ["version", "version?token=", "version?token=x"] {
        assert_eq!(get(&stranger, nothing).await.status, 403, "no token is stored");
    }
    let long = "x".repeat(256);
    for wrong in [&[][..], &[("newtoken", "")], &[("newtoken", "with space")], &[("newtoken", &long)]] {
        let answer = stranger.post("setup", wrong).await;
        assert_eq!(answer.status, 400, "{wrong:?}");
        assert!(answer.message().contains("newtoken"), "{}", answer.message());
    }
    let admin = Admin::of(&running).await;
    // Together, so that their pauses are no longer than they have to be.
    let (none, wrong) = (admin.with(""), admin.with("wrong"));
    let other = [("newtoken", "other")];
    let refused = tokio::join!(none.post("setup", &other), wrong.post("setup", &other));
    assert_eq!((refused.0.status, refused.1.status), (403, 403));
    assert_eq!(admin.get("version").await.status, 200, "the token stays");
    let form = Bytes::from_static(b"newtoken=other");
    let urlencoded = admin.ask(Method::POST, "setup", "application/x-www-form-urlencoded", form).await;
    assert_eq!(urlencoded.status, 200);
    assert_eq!(
        (admin.get("version").await.status, admin.with("other").get("version").await.status),
        (403, 200)
    );
    let log = std::fs::read_to_string(running.dir.path().join("logs/audit.log")).unwrap();
    for event in
        ["token.update.success,\"/setup\"", "token.setup.failed", "token.authenticate.failed,\"/version\""]
    {
        assert!(log.contains(event), "{event}: {log}");
    }
    assert!(!log.contains(TOKEN) && !log.contains("other"));
}
