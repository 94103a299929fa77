//! Backup and restore of the metadata (admin.md §5.11).

use super::{Admin, Answer, start};
use crate::common::Running;
use hyper::{Method, body::Bytes};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

async fn act(admin: &Admin, action: &str) -> Answer {
    admin.post("backup", &[("action", action)]).await
}

/// Makes one and returns its status and its bytes.
async fn backup(admin: &Admin) -> (Value, Bytes) {
    let answer = act(admin, "start").await;
    assert_eq!((answer.status, &answer.headers["location"] as &str), (202, "/api/v1/admin/backup"));
    let ended = |answer: &Answer| answer.status == 200 && answer.json()["status"] != "running";
    let status = admin.wait("backup", ended).await.json();
    let file = admin.get("backup/download").await;
    assert_eq!((file.status, &status["status"]), (200, &json!("success")), "{status}");
    assert_eq!(file.headers["content-type"], "application/octet-stream");
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"backup.tar\"");
    assert_eq!(file.headers["content-length"], file.bytes.len().to_string());
    (status, file.bytes)
}

async fn restore(admin: &Admin, archive: &[u8]) -> Answer {
    admin.upload("backup/restore", &[("archive", archive)]).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test]
async fn what_was_made_after_it_is_gone_and_what_was_there_is_back() {
    let (running, admin) = start().await;
    let client = running.client();
    let kept = client.volume("kept", 1).await;
    client.host("h").await;
    client.publish(&kept, "h").await;
    let bearer = running.admin().await;
    let user = json!({"name": "later-gone", "primary_group": "513", "password": "passw0rd!"});
    bearer.post("/v1/users/", user).await;
    let (status, archive) = backup(&admin).await;
    assert_eq!(status["sha256"], hex(&Sha256::digest(&archive)));
    assert!(status["filesize"].as_str().unwrap().ends_with('K'), "{status}");
    let before = (client.get("/volumes").await, client.get("/targets").await, bearer.get("/v1/users").await);
    let exported = running.node.subsystems().await;

    let new = client.volume("new", 1).await;
    client.publish(&new, "h").await;
    bearer.status(Method::DELETE, "/v1/users/1000", json!({})).await;
    assert_ne!(bearer.get("/v1/users").await, before.2);
    let answer = restore(&admin, &archive).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"Status": "200 OK"})));
    let after = (client.get("/volumes").await, client.get("/targets").await, bearer.get("/v1/users").await);
    assert_eq!(after, before);
    assert_eq!(running.node.subsystems().await, exported, "hosts see what they saw then");
    let problems = client.get("/basalt/v1/status").await["problems"].to_string();
    assert!(problems.contains(&new), "its data is not deleted: {problems}");
    assert!(running.dir.path().join("backups/before-restore.tar").exists());

    let log = admin.get("backup/log").await.text();
    for line in
        ["[BACKUP] a backup was asked for", "size check: ", "backup.tar created, ", "a backup was restored"]
    {
        assert!(log.contains(line), "{log}");
    }
    assert_eq!(act(&admin, "STOP").await.status, 202);
    for path in ["backup", "backup/download"] {
        assert_eq!(admin.get(path).await.status, 404, "{path}");
    }
    assert!(admin.get("backup/log").await.text().contains("deleted"));
}

#[tokio::test]
async fn what_cannot_be_restored_changes_nothing() {
    let (running, admin) = start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    let (_, archive) = backup(&admin).await;
    client.delete(&format!("/volumes/{volume}")).await;
    let before = client.get("/volumes").await;
    let mut changed = archive.to_vec();
    let at = changed.windows(7).position(|w| w == b"volumes").unwrap();
    changed[at] = b'w';
    for (archive, why) in [
        (archive.to_vec(), format!("{volume}, which no drive")),
        (changed, "was changed".to_owned()),
        (archive[..archive.len() / 2].to_vec(), "archive".to_owned()),
        (b"junk".repeat(1000), "no tar".to_owned()),
        (Vec::new(), "archive is missing".to_owned()),
    ] {
        let answer = restore(&admin, &archive).await;
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains(&why), "{why}: {}", answer.message());
    }
    assert_eq!(client.get("/volumes").await, before);
    let leftovers = std::fs::read_dir(running.dir.path().join("admin/incoming")).unwrap().count();
    assert_eq!(leftovers, 0);
    for action in ["", "again"] {
        let answer = act(&admin, action).await;
        assert_eq!((answer.status, answer.message().as_str()), (400, "action must be START or STOP"));
    }
    let other = Running::with(|config| config.admin.first_run_words = None).await;
    let other = Admin::of(&other).await;
    let answer = restore(&other, &archive).await;
    assert!(answer.status == 400 && answer.message().contains("is of the node"), "{}", answer.message());
}

#[tokio::test]
async fn backups_are_made_by_schedule() {
    let (running, admin) = start().await;
    let document = json!({"network": {"interface": "eth0", "hostname": "node"},
        "app": {"backup_schedule": "hourly", "backup_keep": 2}});
    assert_eq!(admin.post("settings", &[("settings", &document.to_string())]).await.status, 202);
    let made = |answer: &Answer| answer.text().contains("scheduled backup made");
    admin.wait("backup/log", made).await;
    let names = std::fs::read_dir(running.dir.path().join("backups")).unwrap();
    let names: Vec<String> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(matches!(&names[..], [name] if name.starts_with("scheduled-")), "{names:?}");
    let archive = std::fs::read(running.dir.path().join("backups").join(&names[0])).unwrap();
    assert_eq!(restore(&admin, &archive).await.status, 200);
}
