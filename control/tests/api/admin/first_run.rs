//! The passphrase of a first start (admin.md §1.1, §7).

use super::Admin;
use crate::common::Running;
use serde_json::json;

#[tokio::test]
async fn until_its_passphrase_is_used_setup_is_all_there_is() {
    let running = Running::start().await;
    let file = running.server.credentials().join("setup-token");
    let phrase = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let stranger = Admin { client: running.stranger(), token: String::new() };
    for who in [&stranger, &stranger.with(&phrase)] {
        let answer = who.get("version").await;
        assert_eq!((answer.status, &answer.json()["First-Run"]), (403, &json!(true)));
        assert!(answer.message().contains("credentials/setup-token"));
    }
    assert_eq!(stranger.post("setup", &[("newtoken", "mine")]).await.status, 403, "nobody claims it");
    let admin = stranger.with(&phrase);
    assert_eq!(admin.post("setup", &[("newtoken", "with space")]).await.json()["First-Run"], true);
    assert_eq!(admin.post("setup", &[("newtoken", "mine")]).await.status, 200);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
    let (mine, wrong) = (admin.with("mine").get("version").await, admin.get("version").await);
    assert_eq!((mine.status, wrong.status, &wrong.json()["First-Run"]), (200, 403, &json!(false)));
    assert_eq!(admin.with("mine").get("none").await.json().get("First-Run"), None, "no message, no key");

    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |_| {}).await;
    let mine = Admin { client: running.stranger(), token: "mine".to_owned() };
    assert_eq!(mine.get("version").await.status, 200, "it outlives the process");
}
