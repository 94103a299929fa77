//! What it tells of itself (admin.md §3, §5.4 to §5.6).

use super::{start, start_with};
use control::AdminGroup;
use serde_json::{Value, json};

#[tokio::test]
async fn version_changelog_and_build() {
    let (running, admin) =
        start_with(|config| config.commit_date = "2026-11-22T10:00:00+01:00".to_owned()).await;
    let version = admin.get("version").await.json();
    assert_eq!(version, json!({"version": env!("CARGO_PKG_VERSION")}));
    let changelog = admin.get("changelog").await;
    assert!(changelog.headers["content-type"].starts_with("text/plain"));
    assert!(changelog.text().contains(env!("CARGO_PKG_VERSION")), "{}", changelog.text());
    let build = admin.get("build").await.json();
    assert_eq!((&build["builddate"], &build["commit"]), (&json!("1795338000"), &json!("unknown")));
    drop(running);
}

#[tokio::test]
async fn health_is_this_machines() {
    let (_running, admin) = start().await;
    let answer = admin.get("health").await;
    assert_eq!(answer.headers["cache-control"], "no-cache");
    let health = answer.json();
    for part in ["disk", "memory"] {
        for size in ["used", "total"] {
            let text = health[part][size].as_str().unwrap();
            let (number, unit) = text.split_at(text.len() - 1);
            assert!(number.parse::<f64>().is_ok() && "KMGT".contains(unit), "{part} {size} {text}");
        }
        assert!(health[part]["percentage"].as_u64().unwrap() <= 100);
    }
    assert!(health["cpu"]["num"].as_u64().unwrap() > 0 && health["cpu"]["cpu5min"].is_u64());
    assert_eq!(health["cpu"]["load"].as_str().unwrap().split(", ").count(), 3);
}

#[tokio::test]
async fn endpoints_are_those_that_are_switched_on() {
    let (_running, admin) = start().await;
    let all = admin.get("endpoints").await.json()["endpoints"].clone();
    let mut all: Vec<String> = serde_json::from_value(all).unwrap();
    assert!(all.is_sorted() && all.contains(&"/docs".to_owned()), "{all:?}");
    let (_running, admin) = start_with(|config| {
        config.admin.groups.remove(&AdminGroup::Settings);
    })
    .await;
    let fewer = admin.get("endpoints").await.json();
    all.retain(|path| !path.ends_with("/settings"));
    assert_eq!(fewer, json!({ "endpoints": all }));
}

#[tokio::test]
async fn services_are_told_by_who_runs() {
    let (running, admin) = start().await;
    let find = |body: &Value, name: &str| -> Option<String> {
        let list = body["services"].as_array().unwrap();
        let found = list.iter().find_map(|service| service.as_object().unwrap().get(name));
        found.map(|state| state.as_str().unwrap().to_owned())
    };
    let portal = format!("nvme-tcp:{}", running.node.portals()[0]);
    let parts =
        ["control-plane", "provisioner", "metadata-store", "data-plane", "shard-0", "watcher", &portal];
    let all_run = |answer: &super::Answer| {
        let body = answer.json();
        parts.iter().all(|name| find(&body, name).as_deref() == Some("running"))
    };
    admin.wait("services", all_run).await;
    running.node.shutdown().await;
    let shard_is_gone =
        |answer: &super::Answer| find(&answer.json(), "shard-0").as_deref() == Some("not running");
    let after = admin.wait("services", shard_is_gone).await.json();
    assert_eq!(find(&after, "control-plane").as_deref(), Some("running"));
}
