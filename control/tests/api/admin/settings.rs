//! Settings: all or nothing, and what they change (admin.md §5.7).

use std::sync::{Arc, Mutex};

use super::{Admin, start, start_with};
use control::LogFilter;
use serde_json::{Value, json};

#[derive(Debug, Default)]
struct Levels(Mutex<String>);

impl LogFilter for Levels {
    fn check(&self, level: &str) -> Result<(), String> {
        if ["debug", "warn"].contains(&level) { Ok(()) } else { Err(format!("{level} is no level")) }
    }

    fn set(&self, level: &str) -> Result<(), String> {
        self.check(level)?;
        level.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

async fn post(admin: &Admin, document: &Value) -> super::Answer {
    admin.post("settings", &[("settings", &document.to_string())]).await
}

async fn hostname(admin: &Admin, name: &str) {
    let named = |answer: &super::Answer| answer.status == 200 && answer.json()["network"]["hostname"] == name;
    admin.wait("settings", named).await;
}

#[tokio::test]
async fn they_are_shown_as_posted_and_take_effect() {
    let levels = Arc::new(Levels::default());
    let filter = Arc::clone(&levels);
    let (running, admin) = start_with(|config| config.log_filter = Some(filter)).await;
    assert_eq!(admin.get("settings").await.status, 404, "nothing was set yet");
    let document = json!({"network": {"interface": "eth0", "hostname": "node.one", "ntpserver": ""},
        "app": {"name": "kept", "log_level": "debug"}});
    let answer = post(&admin, &document).await;
    assert_eq!((answer.status, &answer.headers["location"] as &str), (202, "/api/v1/admin/settings"));
    assert_eq!(answer.json(), json!({"Status": "202 Accepted", "Location": "/api/v1/admin/settings"}));
    hostname(&admin, "node.one").await;
    let expected = json!({"network": {"mode": "dhcp", "interface": "eth0", "hostname": "node.one"},
        "app": {"name": "kept", "log_level": "debug"}});
    assert_eq!(admin.get("settings").await.json(), expected);
    let nodes = running.admin().await.get("/v1/cluster/nodes").await;
    assert_eq!(nodes[0]["node_name"], "node.one");
    assert_eq!(*levels.0.lock().unwrap(), "debug");

    let (dir, node) = running.stop().await;
    let running = crate::common::Running::on(dir, node, |config| config.admin.first_run_words = None).await;
    let nodes = running.admin().await.get("/v1/cluster/nodes").await;
    assert_eq!(nodes[0]["node_name"], "node.one", "a restart keeps it");
    let log = std::fs::read_to_string(running.dir.path().join("logs/settings.log")).unwrap();
    assert!(log.contains("[SYSTEM] the settings were taken"), "{log}");
}

#[tokio::test]
async fn addresses_wait_for_a_restart_and_must_be_this_machines() {
    let (running, admin) = start().await;
    let fixed = |name: &str, ip: &str| {
        json!({"network": {"interface": "eth0", "hostname": name, "ip_address": ip, "netmask": "/8",
            "gateway": "127.0.0.1"}})
    };
    assert_eq!(post(&admin, &fixed("one", "127.0.0.1")).await.status, 202);
    hostname(&admin, "one").await;
    let shown = admin.get("settings").await.json();
    assert_eq!((&shown["network"]["mode"], &shown["pending"]), (&json!("static"), &json!(true)));

    // Nobody has an address that is set aside for documents.
    assert_eq!(post(&admin, &fixed("two", "192.0.2.1")).await.status, 202);
    let path = running.dir.path().join("logs/settings.log");
    for _ in 0..1200 {
        if std::fs::read_to_string(&path).unwrap().contains("192.0.2.1: no interface") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(admin.get("settings").await.json(), shown, "the old ones stay");
    let (dir, _node) = running.stop().await;
    let address = control::configured_address(dir.path()).await.unwrap();
    assert_eq!(address, Some("127.0.0.1".parse().unwrap()));
}

/// The time server that the settings name is asked.
#[tokio::test]
async fn the_clock_is_compared() {
    let (_running, admin) = start().await;
    assert_eq!(admin.get("health").await.json().get("clock"), None);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let mut message = [0; 512];
            let (_, from) = socket.recv_from(&mut message).await.unwrap();
            // It has no time since 1900, and says who asked.
            message.copy_within(40..48, 24);
            message[..2].copy_from_slice(&[0x24, 1]);
            message[32..48].fill(0);
            socket.send_to(&message[..48], from).await.unwrap();
        }
    });
    let document = |server: &str| json!({"network": {"interface": "eth0", "hostname": "node", "ntpserver": server}, "app": {}});
    assert_eq!(post(&admin, &document(&server)).await.status, 202);
    let compared = |answer: &super::Answer| answer.json()["clock"]["server"] == json!(server);
    let clock = admin.wait("health", compared).await.json()["clock"].clone();
    assert!(clock["offset_ms"].as_f64().unwrap() < -3e12 && clock.get("error").is_none(), "{clock}");
    assert_eq!(post(&admin, &document("")).await.status, 202);
    admin.wait("health", |answer| answer.json().get("clock").is_none()).await;
}

#[tokio::test]
async fn wrong_ones_change_nothing_and_name_the_field() {
    let (_running, admin) = start().await;
    let good = json!({"interface": "eth0", "hostname": "good"});
    for (document, why) in [
        (json!("text"), "no JSON object"),
        (json!({"network": {"hostname": "x-x"}}), "network.interface is missing"),
        (
            json!({"network": {"interface": "eth0", "hostname": "x-x", "ntpserver": "a<b>"}}),
            "network.ntpserver may hold",
        ),
        (
            json!({"network": {"interface": "eth0", "hostname": "x-x", "ntpserver": "it's"}}),
            "network.ntpserver may hold",
        ),
        (json!({"network": good, "app": {"log_level": "debug"}}), "app.log_level cannot be set"),
    ] {
        let answer = post(&admin, &document).await;
        assert_eq!(answer.status, 400, "{document}");
        assert!(answer.message().contains(why), "{}", answer.message());
    }
    let answer = admin.post("settings", &[]).await;
    assert_eq!((answer.status, answer.message().as_str()), (400, "settings is missing"));
    assert_eq!(admin.get("settings").await.status, 404);
}
