//! What the operator is entitled to (admin.md §5.9).

use super::{Admin, start_with, update::Maker};
use control::AdminGroup;
use serde_json::{Value, json};

fn document(users: u64, expires: &str) -> Value {
    json!({"app": "enterprise", "users": users, "expires": expires, "name": "Somebody", "contact": "a@b.example"})
}

async fn install(admin: &Admin, file: &[u8]) -> super::Answer {
    admin.upload("license", &[("license", file)]).await
}

#[tokio::test]
async fn it_is_shown_and_holds() {
    let dir = tempfile::tempdir().unwrap();
    let maker = Maker::new();
    maker.write_keys(dir.path());
    let (running, admin) = start_with(|config| {
        config.admin.groups.insert(AdminGroup::License);
        config.admin.update_key = Some(dir.path().join("update.key"));
        config.admin.release_key = Some(dir.path().join("release.pem"));
    })
    .await;
    assert_eq!(admin.get("license").await.status, 404);
    let (bearer, client) = (running.admin().await, running.client());
    let user = |name: &str| json!({"name": name, "primary_group": "513", "password": "passw0rd!"});
    let status = async |name: &str| bearer.status(hyper::Method::POST, "/v1/users/", user(name)).await;

    // The user admin is one of them.
    let good = document(2, "19 January 2138");
    let answer = install(&admin, &maker.license(&good)).await;
    assert_eq!((answer.status, answer.json()), (200, good.clone()), "{}", answer.text());
    assert_eq!(admin.get("license").await.json(), good);
    assert_eq!((status("first").await, status("second").await), (200, 403));
    client.volume("v", 1).await;

    let stranger = Maker::new();
    for (file, code, why) in [
        (Vec::new(), 400, "license is missing"),
        (b"junk".repeat(99), 404, "cannot be decrypted"),
        (stranger.license(&good), 404, "not signed"),
        (maker.license(&json!({"app": "x"})), 404, "license.json"),
        (maker.license(&document(5, "tomorrow")), 404, "expires is"),
        (maker.package("9.9", ""), 404, "software_package.tar.gz"),
    ] {
        let answer = install(&admin, &file).await;
        assert_eq!(answer.status, code, "{why}: {}", answer.text());
        assert!(answer.message().contains(why), "{why}: {}", answer.message());
    }
    assert_eq!(admin.get("license").await.json(), good, "the old one stays");

    assert_eq!(install(&admin, &maker.license(&document(3, "19 January 2020"))).await.status, 200);
    let budget = json!({"name": "t", "tenantId": "t", "capacity": 1, "totalIOPS": 0, "totalBW": 0});
    for (path, body) in [("/volumes", json!({"alias": "w", "capacity": 1})), ("/tenants", budget)] {
        assert_eq!(client.post(path, body).await["status"], "LicenseError", "{path}");
    }
    assert_eq!(client.get("/volumes").await.as_array().unwrap().len(), 1, "what is there stays");
    assert_eq!(status("second").await, 200, "users are not a matter of days");
}
