//! Where backups live (admin.md §5.10).

use std::{os::unix::fs::PermissionsExt, path::Path};

use super::{Admin, Answer, start, start_with};
use crate::common::Running;
use control::{AdminGroup, ControlConfig};
use serde_json::{Value, json};

async fn post(admin: &Admin, document: &Value) -> Answer {
    admin.post("storage", &[("settings", &document.to_string())]).await
}

/// Switches the group on, with a program that serves a directory for nfs and one that fails for aoe.
fn with_helpers(dir: &Path) -> impl FnOnce(&mut ControlConfig) + use<> {
    let program = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let shared = dir.join("shared");
    std::fs::create_dir_all(&shared).unwrap();
    let good = program("nfs", format!("cat > {}; echo {}", dir.join("document").display(), shared.display()));
    let bad = program("aoe", "exit 1".to_owned());
    move |config| {
        config.admin.first_run_words = None;
        config.admin.groups.insert(AdminGroup::Storage);
        config.admin.storage_helpers.add("nfs", good).unwrap();
        config.admin.storage_helpers.add("aoe", bad).unwrap();
    }
}

async fn service(admin: &Admin) -> String {
    let body = admin.get("services").await.json();
    let services = body["services"].as_array().unwrap();
    let found = services.iter().find_map(|service| service.get("metadata-backup-store"));
    found.unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn backups_go_there_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (running, admin) = start_with(with_helpers(dir.path())).await;
    assert_eq!(admin.get("storage").await.status, 404, "nothing was set yet");
    let document =
        json!({"storage": {"type": "nfs", "mount_options": "defaults", "ip": "192.0.2.1", "share": "/ab"}});
    let answer = post(&admin, &document).await;
    assert_eq!((answer.status, &answer.headers["location"] as &str), (202, "/api/v1/admin/storage"));
    let shown = admin.wait("storage", |answer| answer.status == 200).await.json();
    let mut expected = document.clone();
    expected["options"] = json!(["local", "nfs", "aoe"]);
    expected["pending"] = json!(true);
    assert_eq!(shown, expected);

    let (data, node) = running.stop().await;
    let running = Running::on(data, node, with_helpers(dir.path())).await;
    let admin = Admin { client: running.stranger(), token: super::TOKEN.to_owned() };
    expected.as_object_mut().unwrap().remove("pending");
    assert_eq!(admin.get("storage").await.json(), expected);
    assert_eq!(service(&admin).await, "running");
    let read: Value = serde_json::from_slice(&std::fs::read(dir.path().join("document")).unwrap()).unwrap();
    assert_eq!(read, document);
    assert_eq!(admin.post("backup", &[("action", "START")]).await.status, 202);
    admin.wait("backup", |a| a.status == 200 && a.json()["status"] == "success").await;
    let mut nodes = std::fs::read_dir(dir.path().join("shared")).unwrap();
    let ours = nodes.next().unwrap().unwrap().path();
    assert!(nodes.next().is_none() && ours.join("backup.tar").is_file(), "each node has a directory");
    assert!(!running.dir.path().join("backups/backup.tar").exists());
    assert_eq!(admin.get("backup/download").await.status, 200);

    // What cannot be mounted leaves the data directory.
    let document = json!({"storage": {"type": "aoe", "device": "e1.1"}});
    assert_eq!(post(&admin, &document).await.status, 202);
    admin.wait("storage", |answer| answer.json()["storage"]["type"] == "aoe").await;
    let (data, node) = running.stop().await;
    let running = Running::on(data, node, with_helpers(dir.path())).await;
    let admin = Admin { client: running.stranger(), token: super::TOKEN.to_owned() };
    assert_eq!(service(&admin).await, "not running");
    assert_eq!(admin.get("backup").await.status, 404, "it is elsewhere");
    assert_eq!(admin.post("backup", &[("action", "START")]).await.status, 202);
    admin.wait("backup", |a| a.status == 200 && a.json()["status"] == "success").await;
    assert!(running.dir.path().join("backups/backup.tar").exists());
}

#[tokio::test]
async fn wrong_ones_change_nothing_and_name_the_field() {
    let (_running, admin) = start().await;
    assert_eq!(admin.get("storage").await.status, 404, "it is switched off");
    let dir = tempfile::tempdir().unwrap();
    let (_running, admin) = start_with(with_helpers(dir.path())).await;
    for (document, why) in [
        (
            json!({"storage": {"type": "nfs", "mount_options": "a<b", "ip": "::1", "share": "/ab"}}),
            "storage.mount_options",
        ),
        (
            json!({"storage": {"type": "iscsi", "target": "iqn.a", "ip": "host", "username": "abc", "password": "abc"}}),
            "storage.ip",
        ),
        (
            json!({"storage": {"type": "nbd", "export_name": "abc", "ip": "::1", "port": "./1"}}),
            "storage.port",
        ),
        (
            json!({"storage": {"type": "nbd", "export_name": "abc", "ip": "::1", "port": "1"}}),
            "nbd is not offered",
        ),
        (json!({"storage": {"type": "aoe"}}), "storage.device is missing"),
        (json!({"storage": {"type": "floppy"}}), "storage.type"),
        (json!([]), "no JSON object"),
    ] {
        let answer = post(&admin, &document).await;
        assert_eq!(answer.status, 400, "{document}");
        assert!(answer.message().contains(why), "{}", answer.message());
    }
    let answer = admin.post("storage", &[]).await;
    assert_eq!((answer.status, answer.message().as_str()), (400, "settings is missing"));
    assert_eq!(admin.get("storage").await.status, 404);
}
