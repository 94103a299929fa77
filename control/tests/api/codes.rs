//! Each result code (provisioner §7) that tenants, volumes, snapshots and clones can give, from one request each.

use std::collections::BTreeSet;

use crate::common::{Running, uuid};
use hyper::Method;
use serde_json::{Value, json};

/// Of ops 10 to 19, 24 to 29 and 31, without those that need several backends.
const CODES: [&str; 16] = [
    "AlreadyExists",
    "InvalidInput",
    "InvalidReplicas",
    "InvalidSize",
    "NoBackendWithHostIdExists",
    "NoBackends",
    "NoFreeSpace",
    "NoMatchingBackend",
    "NotEnoughMatchingBackends",
    "NotExists",
    "Success",
    "TenantAlreadyExists",
    "TenantCapacityExceeded",
    "TenantHasVolumes",
    "TenantNotFound",
    "VolumeIsInUse",
];

fn volume(n: u32, class: Value) -> Value {
    json!({"alias": format!("v{n}"), "uuid": uuid(n), "capacity": 2, "storageClass": class})
}

fn tenant(id: &str) -> Value {
    json!({"name": id, "tenantId": id, "capacity": 3, "totalIOPS": 0, "totalBW": 0})
}

fn snapshot(n: u32, of: u32) -> Value {
    json!({"alias": "s", "snapshotID": uuid(n), "volumeID": uuid(of)})
}

fn clone(of: u32, gib: u64) -> Value {
    json!({"alias": "c", "sourceVolumeId": uuid(of), "capacity": gib})
}

/// In this order: the first ones make what the others are about.
fn requests() -> Vec<(&'static str, Method, String, Value)> {
    let (one, two, ten) = (uuid(1), uuid(2), uuid(10));
    let show = json!({"alias": "shows", "volumeID": uuid(3), "snapshotID": ten});
    let post = |code, path: &str, body| (code, Method::POST, path.to_owned(), body);
    vec![
        post("Success", "/volumes", volume(1, json!({}))),
        post("Success", "/snapshots", snapshot(10, 1)),
        post("Success", "/snapshot_volumes", show.clone()),
        post("Success", "/tenants", tenant("t")),
        post("Success", "/t/volumes", volume(2, json!({}))),
        post("AlreadyExists", "/volumes", volume(1, json!({}))),
        post("AlreadyExists", "/snapshots", snapshot(10, 1)),
        post("AlreadyExists", "/snapshot_volumes", show),
        post("InvalidInput", "/volumes", json!({})),
        post("InvalidInput", "/tenants", json!({})),
        ("InvalidInput", Method::PATCH, format!("/volumes/{}", uuid(3)), json!({"newCapacity": 9})),
        ("InvalidInput", Method::DELETE, "/tenants/0".to_owned(), json!({})),
        post("InvalidReplicas", "/volumes", volume(4, json!({"numReplicas": 2}))),
        ("InvalidSize", Method::PATCH, format!("/volumes/{one}"), json!({"newCapacity": 1})),
        post("InvalidSize", "/clone_volume", clone(1, 1)),
        post("NoBackendWithHostIdExists", "/volumes", volume(4, json!({"hostId": "x"}))),
        ("NoFreeSpace", Method::PATCH, format!("/volumes/{one}"), json!({"newCapacity": 1000})),
        post("NoFreeSpace", "/clone_volume", {
            let mut body = clone(1, 1000);
            body["reservedSpacePercentage"] = json!(100);
            body
        }),
        post("NoMatchingBackend", "/volumes", volume(4, json!({"zones": ["x"]}))),
        post(
            "NotEnoughMatchingBackends",
            "/volumes",
            volume(4, json!({"numReplicas": 2, "replication": "host"})),
        ),
        ("NotExists", Method::DELETE, format!("/volumes/{two}"), json!({})),
        ("NotExists", Method::DELETE, format!("/t/snapshots/{ten}"), json!({})),
        post("NotExists", "/clone_volume", clone(2, 2)),
        post("TenantAlreadyExists", "/tenants", tenant("t")),
        post("TenantCapacityExceeded", "/t/volumes", volume(4, json!({}))),
        post("TenantCapacityExceeded", "/t/snapshots", snapshot(11, 2)),
        post("TenantCapacityExceeded", "/t/clone_volume", clone(2, 2)),
        ("TenantCapacityExceeded", Method::PATCH, format!("/t/volumes/{two}"), json!({"newCapacity": 4})),
        ("TenantHasVolumes", Method::DELETE, "/tenants/t".to_owned(), json!({})),
        ("TenantNotFound", Method::GET, "/nobody/snapshots".to_owned(), json!({})),
        ("TenantNotFound", Method::PUT, "/tenants/nobody".to_owned(), tenant("nobody")),
        ("VolumeIsInUse", Method::DELETE, format!("/volumes/{one}"), json!({})),
        ("VolumeIsInUse", Method::DELETE, format!("/snapshots/{ten}"), json!({})),
    ]
}

#[tokio::test]
async fn each_code_from_a_request() {
    // The reserve of a thin volume of 2 GiB is all of it.
    let running = Running::with(|c| c.reserve_floor_gib = Some(20)).await;
    let client = running.client();
    let mut seen = BTreeSet::new();
    for (code, method, path, body) in requests() {
        let answer = client.send(method.clone(), &path, body.to_string()).await;
        assert_eq!(answer.status.as_u16(), 200, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["status"], code, "{method} {path} {body}: {}", answer.body);
        assert!(answer.body["description"].as_str().is_some_and(|why| !why.is_empty()));
        seen.insert(code);
    }
    let backend = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    client.put(&format!("/backends/{backend}"), json!({"inUse": false})).await;
    assert_eq!(client.post("/tenants", tenant("u")).await["status"], "NoBackends");
    seen.insert("NoBackends");
    assert_eq!(seen, BTreeSet::from(CODES));
}
